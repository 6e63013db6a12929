import ArgumentParser
import Diagnostics
import Foundation

/// Runs blocking work on a thread of its own: Swift's pool has one thread a core, and none of them may wait.
func onOwnThread<Value: Sendable>(_ work: @escaping @Sendable () throws -> Value) async throws -> Value {
    try await withCheckedThrowingContinuation { continuation in
        let thread = Thread { continuation.resume(with: Result(catching: work)) }
        thread.stackSize = 8 << 20
        thread.start()
    }
}

/// Writes a line to standard error.
func printError(_ line: String) {
    StandardStream.error.say(line + "\n")
}

/// Runs a command's work; a `ReportableError` becomes its message on standard error and its exit status.
func reportingErrors<Value: Sendable>(
    _ command: String,
    advice: ((any ReportableError) -> String?)? = nil,
    _ work: @escaping @Sendable () throws -> Value
) async throws -> Value {
    do {
        return try await onOwnThread(work)
    } catch let error as any ReportableError {
        printError("pleura \(command): \(error)")
        if let line = advice?(error) { printError(line) }
        throw ExitCode(error.exitStatus.rawValue)
    }
}
