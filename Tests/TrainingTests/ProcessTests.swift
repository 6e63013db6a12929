import Diagnostics
import Foundation
import Testing
import Training

/// What changes a whole process: each test has one of its own.
@Suite struct ProcessTests {
    @Test(.timeLimit(.minutes(5)))
    func aStreamThatTakesNothingDoesNotEndTheProgram() async {
        await #expect(processExitsWith: .success) {
            StandardStream.ignoreBrokenPipes()
            var ends: [Int32] = [0, 0]
            guard pipe(&ends) == 0, dup2(ends[1], 2) == 2 else { exit(1) }
            close(ends[0])
            close(ends[1])
            StandardStream.error.say("nobody reads this\n")
            let full = open("/dev/full", O_WRONLY)
            guard full >= 0, dup2(full, 1) == 1 else { exit(2) }
            do throws(StreamError) {
                try StandardStream.output.write("a result\n")
                exit(3)
            } catch {
                exit(error.code == ENOSPC && error.description.contains("standard output") ? 0 : 4)
            }
        }
    }

    @Test(.timeLimit(.minutes(5)))
    func theDefaultReturnsWithTheLastWatch() async {
        await #expect(processExitsWith: .signal(SIGTERM)) {
            let heard = DispatchSemaphore(value: 0)
            let outer = SignalWatch([SIGTERM]) { _ in heard.signal() }
            let inner = SignalWatch([SIGTERM]) { _ in heard.signal() }
            kill(getpid(), SIGTERM)
            guard heard.wait(timeout: .now() + 60) == .success, heard.wait(timeout: .now() + 60) == .success else {
                exit(1)
            }
            inner.cancel()
            kill(getpid(), SIGTERM)
            guard heard.wait(timeout: .now() + 60) == .success else { exit(2) }
            outer.cancel()
            kill(getpid(), SIGTERM)
            exit(3)
        }
    }

    @Test(.timeLimit(.minutes(5)))
    func aHangUpThatIsIgnoredStaysIgnored() async {
        await #expect(processExitsWith: .success) {
            signal(SIGHUP, SIG_IGN)
            let heard = DispatchSemaphore(value: 0)
            let watch = SignalWatch(SignalWatch.requests) { number in
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
}
