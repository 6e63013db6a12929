import ArgumentParser
import Diagnostics
import Platform
import Reporting

/// Writes a line to standard error.
func printError(_ line: String) {
    StandardStream.error.say(fitted(line, StandardStream.error) + "\n")
}

/// Writes a line of what the command was asked for to standard output; throws where that does not take it.
func printResult(_ line: String) throws {
    try StandardStream.output.writeLine(fitted(line, StandardStream.output))
}

/// Lines that a terminal need not break.
private func fitted(_ text: String, _ stream: StandardStream) -> String {
    stream.columns.map { TextWrap.sentences(text, columns: $0) } ?? text
}

/// Writes what was done to standard output, where the work itself is in files: that nobody can be told of it does not
/// undo it.
func printSummary(_ line: String) {
    do { try printResult(line) } catch { printError("warning: \(error)") }
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
