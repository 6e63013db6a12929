import Foundation
import Platform
import Synchronization
import Testing

/// A stream whose reader can be held up.
private final class HeldStream: Sendable {
    private struct State {
        var isHeld: Bool
        var isBroken = false
        var text = ""
        var waiting = 0
    }

    private let state: Mutex<State>

    init(isHeld: Bool) { state = Mutex(State(isHeld: isHeld)) }

    func take(_ stream: StandardStream, _ bytes: ArraySlice<UInt8>) -> Bool {
        state.withLock { $0.waiting += 1 }
        defer { state.withLock { $0.waiting -= 1 } }
        // A reader that takes nothing is no event: this stands for a write(2) that blocks.
        while state.withLock({ $0.isHeld }) {}
        return state.withLock { state in
            if state.isBroken { return false }
            state.text += (stream == .error ? "" : "out:") + String(decoding: bytes, as: UTF8.self)
            return true
        }
    }

    func hold() { state.withLock { $0.isHeld = true } }
    func release() { state.withLock { $0.isHeld = false } }
    func setBroken(_ isBroken: Bool) { state.withLock { $0.isBroken = isBroken } }
    var isWaiting: Bool { state.withLock { $0.waiting > 0 } }
    var text: String { state.withLock { $0.text } }
    var lines: [String] { text.split(separator: "\n").map(String.init) }
}

@Suite(.timeLimit(.minutes(15))) struct StreamWriterTests {
    @Test func writesInOrder() {
        let stream = HeldStream(isHeld: false)
        let writer = StreamWriter(sink: stream.take)
        defer { writer.close() }
        for number in 0..<1000 { writer.say("line \(number)\n", to: number % 2 == 0 ? .error : .output) }
        #expect(writer.flush())
        #expect(stream.lines == (0..<1000).map { ($0 % 2 == 0 ? "" : "out:") + "line \($0)" })
    }

    @Test func neverWaitsAndCountsWhatItDrops() {
        let stream = HeldStream(isHeld: true)
        let writer = StreamWriter(capacity: 1000, sink: stream.take)
        defer { writer.close() }
        // 10 bytes each: 100 find room.
        for number in 0..<250 { writer.say("line  \(String(1000 + number).dropFirst())\n", to: .error) }
        #expect(!writer.flush(atMost: .milliseconds(50), patience: .milliseconds(20)))
        stream.release()
        #expect(writer.flush())
        // The notice comes by itself, with nothing said after it.
        while stream.lines.count < 101 {}
        #expect(
            stream.lines.prefix(100).map { $0.suffix(3) }.elementsEqual((0..<100).map { String(1000 + $0).suffix(3) })
        )
        #expect(stream.lines.last?.hasPrefix("150 lines were dropped") == true)
        writer.say("after\n", to: .error)
        #expect(writer.flush())
        #expect(stream.lines.last == "after")
    }

    @Test func saysOnceForAllThatWasDroppedInARow() {
        let stream = HeldStream(isHeld: true)
        let writer = StreamWriter(capacity: 100, sink: stream.take)
        defer { writer.close() }
        for _ in 0..<10 { writer.say("123456789\n", to: .error) }
        writer.say("lost\nlost\n", to: .error)
        stream.release()
        #expect(writer.flush())
        // The notice takes more than half of so small a buffer: what is said before it is written would be dropped too.
        while stream.lines.count < 11 {}
        writer.say("after\n", to: .error)
        #expect(writer.flush())
        #expect(stream.lines.filter { $0.contains("dropped") }.count == 1)
        #expect(stream.lines.contains { $0.hasPrefix("2 lines were dropped") })
    }

    @Test func whatCannotBeWrittenIsToldOfWhenItCanAgain() {
        let stream = HeldStream(isHeld: false)
        let writer = StreamWriter(sink: stream.take)
        defer { writer.close() }
        stream.setBroken(true)
        for _ in 0..<3 { writer.say("lost\n", to: .error) }
        #expect(writer.flush())
        stream.setBroken(false)
        writer.say("after\n", to: .error)
        #expect(writer.flush())
        #expect(stream.lines.count == 2)
        #expect(stream.lines.first?.hasPrefix("3 lines were dropped") == true)
        #expect(stream.lines.last == "after")
    }

    @Test func flushWaitsNoLongerThanItsPatience() {
        let stream = HeldStream(isHeld: true)
        let writer = StreamWriter(sink: stream.take)
        defer { writer.close() }
        defer { stream.release() }
        writer.say("text\n", to: .error)
        while !stream.isWaiting {}
        let start = ContinuousClock.now
        #expect(!writer.flush(atMost: .seconds(20), patience: .milliseconds(100)))
        #expect(ContinuousClock.now - start < .seconds(10))
    }
}

@Suite struct TerminalTests {
    @Test(arguments: [
        (["TERM": "xterm", "LANG": "de_DE.UTF-8"], true),
        (["TERM": "xterm", "LANG": "C.utf8"], true),
        (["TERM": "dumb", "LANG": "C.UTF-8"], false),
        (["LANG": "C.UTF-8"], false),
        (["TERM": "", "LANG": "C.UTF-8"], false),
        (["TERM": "xterm", "LC_ALL": "C", "LANG": "C.UTF-8"], false),
        (["TERM": "xterm", "LC_CTYPE": "en_US.UTF-8", "LANG": "C"], true),
        (["TERM": "xterm"], false),
    ])
    func barsNeedControlCodesAndTheirCharacters(_ environment: [String: String], _ shows: Bool) {
        #expect(StandardStream.showsBars { environment[$0] } == shows)
    }
}

/// What changes a whole process: each test has one of its own.
@Suite struct StandardStreamTests {
    @Test(.timeLimit(.minutes(15)))
    func aStreamThatTakesNothingDoesNotEndTheProgram() async {
        await #expect(processExitsWith: .success) {
            signal(SIGPIPE, SIG_IGN)
            var ends: [Int32] = [0, 0]
            guard pipe(&ends) == 0, dup2(ends[1], 2) == 2 else { exit(1) }
            close(ends[0])
            close(ends[1])
            StandardStream.error.say("nobody reads this\n")
            guard StreamWriter.shared.flush() else { exit(5) }
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

    @Test(.timeLimit(.minutes(15)))
    func whatWasSaidIsWrittenBeforeTheProgramEnds() async throws {
        let exited = try await #require(processExitsWith: .success, observing: [\.standardErrorContent]) {
            StandardStream.flushAtExit()
            for number in 0..<1000 { StandardStream.error.say("line \(number)\n") }
            exit(0)
        }
        #expect(String(decoding: exited.standardErrorContent, as: UTF8.self).contains("line 999\n"))
        let crashed = try await #require(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            StandardStream.flushAtExit()
            for number in 0..<1000 { StandardStream.error.say("line \(number)\n") }
            fatalError("a defect")
        }
        #expect(String(decoding: crashed.standardErrorContent, as: UTF8.self).contains("line 999\n"))
    }
}
