import Foundation
import Platform
import Synchronization
import Testing

/// What a handler has heard.
private final class Heard: Sendable {
    private let signals = Mutex<[Int32]>([])
    func note(_ signal: Int32) { signals.withLock { $0.append(signal) } }
    var all: [Int32] { signals.withLock { $0 } }

    /// Waits for so many; a watch's thread sends no event here.
    func wait(for count: Int) -> Bool {
        let deadline = ContinuousClock.now + .seconds(30)
        while all.count < count {
            if ContinuousClock.now > deadline { return false }
            usleep(1000)
        }
        return true
    }
}

/// Signals of a process are its tests' one: one after the other, and such that nobody else uses.
@Suite(.serialized, .timeLimit(.minutes(15))) struct SignalWatchTests {
    @Test func aSecondWatchHearsAfterTheFirstHasEnded() throws {
        for _ in 0..<3 {
            let heard = Heard()
            let watch = try SignalWatch([SIGWINCH]) { heard.note($0) }
            kill(getpid(), SIGWINCH)
            #expect(heard.wait(for: 1))
            watch.cancel()
        }
    }

    @Test func everyWatchHears() throws {
        let (first, second) = (Heard(), Heard())
        let one = try SignalWatch([SIGWINCH]) { first.note($0) }
        let other = try SignalWatch([SIGWINCH]) { second.note($0) }
        kill(getpid(), SIGWINCH)
        #expect(first.wait(for: 1) && second.wait(for: 1))
        one.cancel()
        kill(getpid(), SIGWINCH)
        #expect(second.wait(for: 2))
        #expect(first.all.count == 1)
        other.cancel()
    }

    @Test(.timeLimit(.minutes(15)))
    func theDefaultReturnsWithTheLastWatch() async {
        await #expect(processExitsWith: .signal(SIGTERM)) {
            let heard = DispatchSemaphore(value: 0)
            let outer = try SignalWatch([SIGTERM]) { _ in heard.signal() }
            let inner = try SignalWatch([SIGTERM]) { _ in heard.signal() }
            kill(getpid(), SIGTERM)
            guard heard.wait(timeout: .now() + 60) == .success, heard.wait(timeout: .now() + 60) == .success else {
                exit(1)
            }
            inner.cancel()
            kill(getpid(), SIGTERM)
            guard heard.wait(timeout: .now() + 60) == .success else { exit(2) }
            outer.cancel()
            kill(getpid(), SIGTERM)
            // It may reach another thread first, and end the process a moment later.
            for _ in 0..<60 { sleep(1) }
            exit(3)
        }
    }

    @Test(.timeLimit(.minutes(15)))
    func aHangUpThatIsIgnoredStaysIgnored() async {
        await #expect(processExitsWith: .success) {
            signal(SIGHUP, SIG_IGN)
            let heard = DispatchSemaphore(value: 0)
            let watch = try SignalWatch(SignalWatch.requests) { number in
                if number == SIGHUP { exit(1) }
                heard.signal()
            }
            kill(getpid(), SIGHUP)
            kill(getpid(), SIGTERM)
            guard heard.wait(timeout: .now() + 60) == .success else { exit(2) }
            watch.cancel()
            kill(getpid(), SIGHUP)
            exit(0)
        }
    }

    /// What reaches a process between two watches, or after the last, ends it: nobody else would.
    @Test(.timeLimit(.minutes(15)))
    func aSecondWatchHearsAndTheDefaultReturnsAfterIt() async {
        await #expect(processExitsWith: .signal(SIGINT)) {
            for _ in 0..<3 {
                let heard = DispatchSemaphore(value: 0)
                let watch = try SignalWatch(SignalWatch.requests) { _ in heard.signal() }
                kill(getpid(), SIGINT)
                guard heard.wait(timeout: .now() + 60) == .success else { exit(1) }
                watch.cancel()
            }
            kill(getpid(), SIGINT)
            exit(3)
        }
    }
}
