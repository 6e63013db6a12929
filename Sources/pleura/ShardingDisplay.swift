import Foundation
import Platform
import Sharding

/// Shows the progress of sharding on standard error: a bar on a terminal, plain lines elsewhere.
///
/// Belongs to the thread that makes the shards.
final class ShardingDisplay {
    /// So many rejected items of a kind are shown; the others are in the table.
    private static let shownPerKind = 5

    private let output: String
    private let isTerminal = StandardStream.error.columns != nil
    private var shown: [String: Int] = [:]
    private var rejectedCount = 0
    private var isBarShown = false
    private var lastUpdate = ContinuousClock.now
    private var phaseStart: (done: Int, time: ContinuousClock.Instant)?
    private var lastTenth = 0

    init(output: String) {
        self.output = output
    }

    func show(_ event: ShardingEvent) {
        switch event {
        case .probed(let done, let total): progress("headers", done, total)
        case .sharded(let done, let total):
            if phaseStart == nil { phaseStart = (done, .now) }
            progress("images", done, total)
        case .kept(let shard): line("Kept \(shard), finished and verified.")
        case .finished(let shard, let samples):
            if !isTerminal { line("Finished \(shard) with \(samples) radiographs.") }
        case .note(let text): line(text)
        case .rejected(let item):
            rejectedCount += 1
            let count = shown[item.kind.name, default: 0] + 1
            shown[item.kind.name] = count
            if count <= Self.shownPerKind {
                line("Rejected \(item)")
            } else if count == Self.shownPerKind + 1 {
                line("Further items of the kind \(item.kind.name) are only listed in \(output)/rejected.csv.")
            }
        }
    }

    /// Leaves the terminal clean.
    func end() {
        clearBar()
    }

    private func clearBar() {
        guard isBarShown else { return }
        write("\r\u{1B}[K")
        isBarShown = false
    }

    private func line(_ text: String) {
        clearBar()
        write(text + "\n")
    }

    private func progress(_ phase: String, _ done: Int, _ total: Int) {
        let now = ContinuousClock.now
        if isTerminal {
            guard done == total || now - lastUpdate > .milliseconds(100) else { return }
            lastUpdate = now
            let filled = total > 0 ? done * 30 / total : 30
            let bar = String(repeating: "█", count: filled) + String(repeating: "░", count: 30 - filled)
            write("\r\u{1B}[K\(phase) \(bar) \(done)/\(total)\(pace(done, total))")
            isBarShown = true
        } else if phase == "images" {
            let tenth = total > 0 ? done * 10 / total : 10
            guard tenth > lastTenth else { return }
            lastTenth = tenth
            line("\(done) of \(total) images\(pace(done, total))")
        }
    }

    private func pace(_ done: Int, _ total: Int) -> String {
        let rejected = rejectedCount > 0 ? ", \(rejectedCount) rejected" : ""
        guard let phaseStart, done > phaseStart.done else { return rejected }
        let seconds = (ContinuousClock.now - phaseStart.time) / .seconds(1)
        guard seconds > 0 else { return rejected }
        let rate = Double(done - phaseStart.done) / seconds
        let left = Int((Double(total - done) / rate).rounded(.up))
        return String(format: ", %.0f images/s, %d:%02d left", rate, left / 60, left % 60) + rejected
    }

    private func write(_ text: String) {
        StandardStream.error.say(text)
    }
}
