/// The version of this program.
package enum ProgramVersion {
    /// Coordinator and workers must have the same one: equal results need equal programs.
    package static let current = "0.1.0"
}
