package import Diagnostics

/// A setting of the optimizer, the schedule or the averaging that cannot be used: says which, what was found, what fits.
package struct OptimizationError: ReportableError, Equatable {
    /// The setting, as the configuration names it.
    package var setting: String
    package var problem: String

    package init(setting: String, problem: String) {
        self.setting = setting
        self.problem = problem
    }

    package var exitStatus: ExitStatus { .badConfiguration }
    package var description: String { "\(setting): \(problem)" }
}

/// Throws unless `value` satisfies `holds` (NaN satisfies nothing).
func require(
    _ setting: String,
    _ value: Double,
    _ expectation: String,
    _ holds: (Double) -> Bool
) throws(OptimizationError) {
    if !value.isFinite || !holds(value) {
        throw OptimizationError(setting: setting, problem: "expected \(expectation), found \(value).")
    }
}
