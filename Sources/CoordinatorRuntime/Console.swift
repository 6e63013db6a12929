package import Coordination
import Foundation
import Glibc
import Platform
import Reporting
import RunLinks
import Synchronization

/// The coordinator's lines for people, on standard error: a progress bar on a terminal, plain lines elsewhere.
package final class Console: Sendable {
    private let display: Mutex<ProgressDisplay>
    private let isVerbose: Bool
    private let isQuiet: Bool

    /// `isVerbose` shows every sentence of the machine; `isQuiet` warnings and errors only.
    package init(isVerbose: Bool = false, isQuiet: Bool = false) {
        self.isVerbose = isVerbose
        self.isQuiet = isQuiet
        display = Mutex(ProgressDisplay(style: StandardStream.error.columns.map { .terminal(columns: $0) } ?? .log))
    }

    /// Hands text on in the order in which it was made; nothing here waits for the terminal.
    private func write(_ text: (inout ProgressDisplay) -> String) {
        display.withLock { StandardStream.error.say(text(&$0)) }
    }

    package func log(_ level: LogLevel, _ sentence: String) {
        if level == .info && !isVerbose || isQuiet && level < .warning { return }
        let mark = level == .warning ? "warning: " : level == .error ? "error: " : ""
        write { $0.message(mark + Self.cut(sentence)) }
    }

    /// Most of what a sentence may have: parts of it may come from other machines.
    private static func cut(_ sentence: String) -> String {
        let most = 4000
        // A line break in it does not begin a line of the log's own.
        let sentence = sentence.replacing("\n", with: "\n    ")
        if sentence.utf8.count <= most { return sentence }
        let start = String(decoding: sentence.utf8.prefix(most), as: UTF8.self)
        return "\(start)… (\(sentence.utf8.count - most) bytes more)"
    }

    /// A line that is always shown.
    package func say(_ sentence: String) {
        if !isQuiet { write { $0.message(sentence) } }
    }

    func step(_ record: Reporting.StepRecord, done: Int, total: Int, epochs: Int, score: WorkProgress.Score) {
        if isQuiet { return }
        let now = Duration.nanoseconds((MonotonicClock.now - Instant(nanoseconds: 0)).inNanoseconds)
        let progress = WorkProgress.training(
            epoch: record.epoch,
            epochs: epochs,
            done: done,
            steps: total,
            loss: record.loss,
            score: score,
            imagesPerSecond: record.imagesPerSecond
        )
        write { $0.update(progress, at: now) }
    }

    func validation(_ record: Reporting.ValidationRecord, by metric: String, best: ValidationLine.Best?) {
        say(ValidationLine(record, by: metric, best: best).text)
    }

    package func finish() { write { $0.finish() } }
}

extension LogLevel: Comparable {
    package static func < (a: LogLevel, b: LogLevel) -> Bool { a.rawValue < b.rawValue }
}
