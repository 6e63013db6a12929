import Foundation
import Platform
import Reporting

/// The progress of work on images, or on something else that is counted, on standard error: a bar on a terminal, a line every few seconds elsewhere.
///
/// Belongs to the thread that does the work.
final class ProgressLine {
    private var display: ProgressDisplay
    private let heading: String
    private let unit: String
    private let start = ContinuousClock.now

    init(_ heading: String, unit: String = "image") {
        self.heading = heading
        self.unit = unit
        display = ProgressDisplay(style: StandardStream.error.columns.map { .terminal(columns: $0) } ?? .log)
    }

    func show(done: Int, total: Int, rejected: Int = 0) {
        let elapsed = ContinuousClock.now - start
        let seconds = elapsed / .seconds(1)
        let rate = seconds > 0 ? String(format: "%7.1f", Double(done) / seconds) : "      -"
        var figures = [WorkProgress.Figure("\(unit)s/s", rate)]
        if rejected > 0 { figures.append(WorkProgress.Figure("rejected", "\(rejected)")) }
        write(
            display.update(
                WorkProgress(heading: heading, done: done, total: total, unit: unit, figures: figures),
                at: elapsed
            )
        )
    }

    /// A line above the bar.
    func say(_ line: String) { write(display.message(line)) }

    /// Leaves the terminal clean.
    func end() { write(display.finish()) }

    private func write(_ text: String) {
        if !text.isEmpty { StandardStream.error.say(text) }
    }
}
