import ArgumentParser
import Diagnostics
import Platform

/// Writes a line to standard error.
func printError(_ line: String) {
    StandardStream.error.say(line + "\n")
}

/// Writes a line of what the command was asked for to standard output; throws where that does not take it.
func printResult(_ line: String) throws {
    try StandardStream.output.writeLine(line)
}

/// Writes what was done to standard output, where the work itself is in files: that nobody can be told of it does not
/// undo it.
func printSummary(_ line: String) {
    do { try StandardStream.output.writeLine(line) } catch { printError("warning: \(error)") }
}

/// Runs a command's work; a `ReportableError` becomes its message on standard error and its exit status.
func reportingErrors<Value>(
    _ command: String,
    advice: ((any ReportableError) -> String?)? = nil,
    _ work: () throws -> Value
) throws -> Value {
    do {
        return try work()
    } catch let error as any ReportableError {
        printError("pleura \(command): \(error)")
        if let line = advice?(error) { printError(line) }
        throw ExitCode(error.exitStatus.rawValue)
    }
}
