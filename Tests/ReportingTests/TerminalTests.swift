import Reporting
import Testing

@Suite("Columns")
struct ColumnsTests {
    @Test(arguments: [
        (Duration.zero, "0:00"), (.milliseconds(59_999), "0:59"), (.seconds(245), "4:05"), (.seconds(3723), "1:02:03"),
        (.seconds(183_840), "2d 03:04"), (.seconds(-5), "0:00"),
    ])
    func clocks(duration: Duration, text: String) {
        #expect(Columns.clock(duration) == text)
    }
}

@Suite("Progress")
struct ProgressTests {
    private func progress(_ done: Int, epoch: Int = 2, loss: Double = 0.4312, dice: Double? = 0.612) -> WorkProgress {
        .training(
            epoch: epoch,
            epochs: 12,
            done: done,
            steps: 480,
            loss: loss,
            score: .init("mean_dice", last: dice, best: dice.map { $0 + 0.1 }),
            imagesPerSecond: 35.21
        )
    }

    /// The line that stands on the terminal after `text`.
    private func shown(_ text: String) -> String {
        #expect(text.hasPrefix("\r\u{1B}[K"))
        return String(text.dropFirst(4))
    }

    @Test func aTerminalShowsOneLine() {
        var display = ProgressDisplay(style: .terminal(columns: 138))
        #expect(
            shown(display.update(progress(0, dice: nil), at: .zero))
                == "epoch  3/12 " + String(repeating: "─", count: 39)
                + "    0/480  loss  0.4312  mean_dice      -  best      -  images/s    35.2        - left"
        )
        let line = shown(display.update(progress(120), at: .seconds(60)))
        #expect(
            line == "epoch  3/12 " + String(repeating: "━", count: 9) + String(repeating: "─", count: 30)
                + "  120/480  loss  0.4312  mean_dice 0.6120  best 0.7120  images/s    35.2     3:00 left"
        )
    }

    @Test(arguments: [1, 20, 30, 40, 60, 80, 81, 100, 200, 400])
    func aLineFitsAnyTerminal(columns: Int) {
        var display = ProgressDisplay(style: .terminal(columns: columns))
        let line = shown(display.update(progress(120), at: .zero))
        #expect(line.count <= max(20, columns - 1))
        #expect(!line.contains("\n"))
        if columns >= 60 { #expect(line.contains("120/480") && line.contains("left")) }
        if columns >= 80 { #expect(line.contains("loss") && line.contains("mean_dice")) }
        if columns >= 120 { #expect(line.contains("best") && line.contains("images/s")) }
    }

    @Test func aTerminalIsDrawnAtMostTenTimesASecond() {
        var display = ProgressDisplay(style: .terminal(columns: 80))
        let drawn = (0..<1000).filter { !display.update(progress($0 / 10), at: .milliseconds($0)).isEmpty }
        #expect(drawn == [0, 100, 200, 300, 400, 500, 600, 700, 800, 900])
        #expect(!display.update(progress(480), at: .milliseconds(1001)).isEmpty, "the end is always drawn")
    }

    @Test func messagesStandAboveTheBar() {
        var display = ProgressDisplay(style: .terminal(columns: 80))
        #expect(display.message("early") == "early\n")
        let line = shown(display.update(progress(1), at: .zero))
        #expect(display.message("checkpoint written") == "\r\u{1B}[Kcheckpoint written\n" + line)
        #expect(display.finish() == "\n")
        #expect(display.finish().isEmpty)
    }

    @Test func aLogGetsALineForEachEpochAndEveryFewSeconds() {
        var display = ProgressDisplay(style: .log)
        var lines: [String] = []
        for second in 0...60 {
            let text = display.update(progress(second, epoch: second / 25), at: .seconds(second))
            if !text.isEmpty { lines.append(text) }
        }
        #expect(lines.allSatisfy { $0.hasSuffix("\n") && !$0.contains("\u{1B}") && !$0.contains("\r") })
        #expect(Set(lines.map(\.count)).count == 1, "columns do not move")
        #expect(
            lines[0]
                == "epoch  1/12  step   0/480  loss  0.4312  mean_dice 0.6120  best 0.7120  images/s    35.2  left        -\n"
        )
        // At 0, 10, 20, at the epoch's change at 25, at 35, 45, at 50, and at 60.
        #expect(lines.count == 8)
        #expect(lines[3].hasPrefix("epoch  2/12  step  25/480") && lines[3].hasSuffix("left     7:35\n"))
        #expect(display.message("text") == "text\n" && display.finish().isEmpty)
    }

    @Test func theRemainingTimeOfAResumedRunLeavesOutWhatWasDoneBefore() {
        var display = ProgressDisplay(style: .log, interval: .zero)
        _ = display.update(progress(240), at: .seconds(1000))
        #expect(display.update(progress(300), at: .seconds(1060)).hasSuffix("left     3:00\n"))
        #expect(display.update(progress(480), at: .seconds(1240)).hasSuffix("left     0:00\n"))
    }
}
