internal import CSystem
internal import Glibc
internal import Synchronization

/// Calls a handler for signals, on a thread that the process has for them.
///
/// The process catches a signal once, with its first watch, and every watch hears of it. A signal that is watched does not end the program; one that no watch is left for has its default
/// action again, even where it had come before the last watch was cancelled.
package final class SignalWatch: Sendable {
    /// The signals by which a program is asked to end: Ctrl-C, `kill`, a terminal that was closed, and a scheduler that
    /// tells a job beforehand that its time is over, as `sbatch --signal=USR1@60`.
    package static let requests = [SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2]

    private let number: UInt64

    /// Watches `signals`, except those that whoever started the program wants ignored: a SIGHUP, as `nohup` does, and a
    /// terminal's stop.
    ///
    /// A signal that comes after this has returned is heard.
    package init(_ signals: [Int32], _ handler: @escaping @Sendable (Int32) -> Void) throws(SystemError) {
        number = try SignalDesk.shared.watch(signals, handler)
    }

    /// Ends the watch; once is enough.
    package func cancel() { SignalDesk.shared.cancel(number) }

    deinit { cancel() }

    /// Carries out the default action of a watched signal, once. Call it from a handler.
    ///
    /// Returns when the process goes on, where it stops.
    package static func obey(_ signal: Int32) {
        system_default_signal(signal)
        // Sent to this thread, so that it has come before the next line.
        raise(signal)
        _ = system_catch_signal(signal)
    }

    /// What users call a request to end.
    package static func name(of signal: Int32) -> String {
        switch signal {
        case SIGINT: "Ctrl-C"
        case SIGTERM: "SIGTERM"
        case SIGHUP: "SIGHUP (its terminal was closed)"
        case SIGUSR1: "SIGUSR1"
        case SIGUSR2: "SIGUSR2"
        default: "signal \(signal)"
        }
    }
}

/// The process's one watch of signals.
private final class SignalDesk: Sendable {
    static let shared = SignalDesk()

    private struct Entry: Sendable {
        var number: UInt64
        var call: @Sendable (Int32) -> Void
    }

    private struct State: Sendable {
        var entries: [Int32: [Entry]] = [:]
        var next: UInt64 = 1
        var isListening = false
    }

    private let state = Mutex(State())

    func watch(_ signals: [Int32], _ handler: @escaping @Sendable (Int32) -> Void) throws(SystemError) -> UInt64 {
        try state.withLock { state throws(SystemError) in
            if !state.isListening {
                try listen()
                state.isListening = true
            }
            let number = state.next
            state.next += 1
            for signal in signals {
                if state.entries[signal, default: []].isEmpty {
                    if [SIGHUP, SIGTSTP].contains(signal) && system_is_signal_ignored(signal) { continue }
                    guard system_catch_signal(signal) == 0 else {
                        throw .call("a watch of signal \(signal)", code: errno)
                    }
                }
                state.entries[signal, default: []].append(Entry(number: number, call: handler))
            }
            return number
        }
    }

    func cancel(_ number: UInt64) {
        state.withLock { state in
            for signal in Array(state.entries.keys) {
                guard var entries = state.entries[signal], entries.contains(where: { $0.number == number }) else {
                    continue
                }
                entries.removeAll { $0.number == number }
                state.entries[signal] = entries.isEmpty ? nil : entries
                if entries.isEmpty { system_default_signal(signal) }
            }
        }
    }

    /// Starts the thread that hears of signals.
    private func listen() throws(SystemError) {
        guard system_signal_descriptor() >= 0 else { throw .call("a pipe for signals", code: errno) }
        var thread = pthread_t()
        let status = system_start_thread(
            &thread,
            { _ in
                system_name_thread("pleura-signal")
                SignalDesk.shared.hear()
                return nil
            },
            nil
        )
        guard status == 0 else { throw .thread(code: status) }
        pthread_detach(thread)
    }

    private func hear() {
        let descriptor = system_signal_descriptor()
        var byte: UInt8 = 0
        while true {
            guard read(descriptor, &byte, 1) == 1 else { continue }
            let signal = Int32(byte)
            let entries = state.withLock { $0.entries[signal] ?? [] }
            for entry in entries { entry.call(signal) }
            // No watch is left: the signal takes its default action.
            if entries.isEmpty { kill(getpid(), signal) }
        }
    }
}
