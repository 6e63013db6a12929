package import Diagnostics

/// Why a configuration was refused: every problem that was found, each with its place.
package struct ConfigurationError: ReportableError, Equatable {
    /// One problem.
    package struct Problem: Sendable, Equatable {
        /// Where the value came from.
        package let origin: Origin
        /// What was asked, what was found and what to do.
        package let message: String
    }

    /// Where a value came from.
    package enum Origin: Sendable, Hashable {
        /// A place in a file; line and column count from 1.
        case file(path: String, line: Int, column: Int)
        /// A file as a whole.
        case wholeFile(path: String)
        /// The text after `--set`.
        case flag(String)
        /// No place: a default, or a value set by the program.
        case none
    }

    /// The most problems that are found and told: behind so many stands a file of another kind.
    static let listed = 40

    /// In the order of the file, then of the flags; one more than `listed` at most.
    package let problems: [Problem]
    /// `missingInput` where the file cannot be read, else `badConfiguration`.
    package let exitStatus: ExitStatus

    package init(problems: [Problem], exitStatus: ExitStatus = .badConfiguration) {
        self.problems = problems
        self.exitStatus = exitStatus
    }

    package var description: String {
        let lines = problems.prefix(Self.listed).map { problem in
            let place = problem.origin.description
            return place.isEmpty ? problem.message : "\(place): \(problem.message)"
        }
        let left = problems.count - lines.count
        return (lines + (left > 0 ? ["… and more of the kind; mend these first"] : [])).joined(separator: "\n")
    }
}

extension ConfigurationError.Origin: CustomStringConvertible {
    package var description: String {
        switch self {
        case .file(let path, let line, let column): "\(path), line \(line), column \(column)"
        case .wholeFile(let path): path
        case .flag(let text): "--set \(text)"
        case .none: ""
        }
    }
}
