import Foundation
import Glibc
import Synchronization

/// Calls a handler for signals, on a thread of Dispatch's.
///
/// A signal that is watched does not end the program. With its last watch the signal's default action returns.
package final class SignalWatch: @unchecked Sendable {
    /// The signals by which a program is asked to end: Ctrl-C, `kill`, and a terminal that was closed.
    package static let requests = [SIGINT, SIGTERM, SIGHUP]

    // The sources are made once and only cancelled.
    private let sources: [any DispatchSourceSignal]
    private let numbers: Mutex<[Int32]>
    /// How many watches each signal has.
    private static let watches = Mutex<[Int32: Int]>([:])

    /// Watches `signals`, except a SIGHUP that whoever started the program wants ignored, as `nohup` does.
    ///
    /// A signal that comes after this has returned is heard.
    package init(_ signals: [Int32], _ handler: @escaping @Sendable (Int32) -> Void) {
        let taken = signals.filter(Self.take)
        numbers = Mutex(taken)
        let registered = DispatchGroup()
        sources = taken.map { number in
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            source.setEventHandler { handler(number) }
            registered.enter()
            source.setRegistrationHandler { registered.leave() }
            source.resume()
            return source
        }
        registered.wait()
    }

    private static func take(_ number: Int32) -> Bool {
        watches.withLock { watches in
            if let count = watches[number] {
                // Dispatch puts a handler of its own in the place of `SIG_IGN` with the first source of a signal only:
                // to ignore it again would make it deaf to both watches.
                watches[number] = count + 1
                return true
            }
            let former = signal(number, SIG_IGN)
            if number == SIGHUP, unsafeBitCast(former, to: Int.self) == unsafeBitCast(SIG_IGN, to: Int.self) {
                return false
            }
            watches[number] = 1
            return true
        }
    }

    /// Ends the watch; once is enough. Call it from the main thread, where there is one.
    package func cancel() {
        for source in sources { source.cancel() }
        let taken = numbers.withLock { numbers in
            defer { numbers = [] }
            return numbers
        }
        var restored = sigset_t()
        sigemptyset(&restored)
        Self.watches.withLock { watches in
            for number in taken {
                let count = (watches[number] ?? 1) - 1
                watches[number] = count > 0 ? count : nil
                if count > 0 { continue }
                signal(number, SIG_DFL)
                sigaddset(&restored, number)
            }
        }
        // Dispatch blocks signals in the thread that it first found one in: they would never be delivered.
        pthread_sigmask(SIG_UNBLOCK, &restored, nil)
    }

    /// What users call a request to end.
    package static func name(of signal: Int32) -> String {
        switch signal {
        case SIGINT: "Ctrl-C"
        case SIGTERM: "SIGTERM"
        case SIGHUP: "SIGHUP (its terminal was closed)"
        default: "signal \(signal)"
        }
    }
}
