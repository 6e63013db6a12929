/// The exit status of the program, after `sysexits.h`; docs/formats.md lists them for users.
package enum ExitStatus: Int32, Sendable {
    case done = 0
    /// The command line was wrong.
    case usage = 64
    /// Input was read and found bad.
    case badInput = 65
    /// Input does not exist or cannot be opened.
    case missingInput = 66
    /// A defect of the program, or of the machine it runs on.
    case `internal` = 70
    /// A failure that may pass: a full disk, a lost worker, a port in use.
    case temporary = 75
    /// The configuration was wrong.
    case badConfiguration = 78
}

/// An error that a user may read: it says what was asked, what was found and what to do, and how the program exits.
///
/// `description` is the whole message: sentences, no type names, paths and values in full.
package protocol ReportableError: Error, CustomStringConvertible, Sendable {
    var exitStatus: ExitStatus { get }
}
