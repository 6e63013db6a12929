/// How far a long piece of work is: what a progress display shows.
package struct WorkProgress: Sendable, Equatable {
    /// One figure beside the bar, such as `loss 0.4312`.
    package struct Figure: Sendable, Equatable {
        package let name: String
        /// Of a width that does not change, so that the line does not jump.
        package let text: String

        package init(_ name: String, _ text: String) {
            self.name = name
            self.text = text
        }
    }

    /// What stands before the bar, such as `epoch  3/12`; a new heading gets a line of its own in a log.
    package var heading: String
    /// Units of work that are done, of `total`.
    package var done: Int
    package var total: Int
    /// What is counted: `step`, `image`.
    package var unit: String
    /// In the order of their importance: a narrow terminal drops the last ones.
    package var figures: [Figure]

    package init(heading: String, done: Int, total: Int, unit: String, figures: [Figure] = []) {
        self.heading = heading
        self.done = done
        self.total = total
        self.unit = unit
        self.figures = figures
    }

    /// The figure that decides which network is the best.
    package struct Score: Sendable, Equatable {
        /// What it is called.
        package var name: String
        /// Of the last validation, and the best so far; nil before the first.
        package var last: Double?
        package var best: Double?

        package init(_ name: String, last: Double? = nil, best: Double? = nil) {
            self.name = name
            self.last = last
            self.best = best
        }
    }

    /// The progress of a training run.
    ///
    /// - Parameters:
    ///   - epoch: counts from 0; shown from 1.
    ///   - done: steps that are committed.
    package static func training(
        epoch: Int,
        epochs: Int,
        done: Int,
        steps: Int,
        loss: Double,
        score: Score,
        imagesPerSecond: Double
    ) -> WorkProgress {
        let width = String(epochs).count
        func figure(_ name: String, _ value: Double?) -> Figure {
            Figure(name, value.map { Columns.fixed($0, width: 6, decimals: 4) } ?? Columns.right("-", width: 6))
        }
        return WorkProgress(
            heading: "epoch \(Columns.whole(min(epoch + 1, epochs), width: width))/\(epochs)",
            done: done,
            total: steps,
            unit: "step",
            figures: [
                Figure("loss", Columns.fixed(loss, width: 7, decimals: 4)),
                figure(score.name, score.last),
                figure("best", score.best),
                Figure("images/s", Columns.fixed(imagesPerSecond, width: 7, decimals: 1)),
            ]
        )
    }
}

/// Turns progress into text for a terminal or for a log.
///
/// It has no clock: the caller passes the time. On a terminal one line is drawn again in place, at most ten times a second. In a log a line is written when the
/// heading changes, at the end, and otherwise every few seconds.
package struct ProgressDisplay: Sendable {
    /// Where the text goes.
    package enum Style: Sendable, Equatable {
        /// A terminal of so many columns.
        case terminal(columns: Int)
        /// A file or a pipe.
        case log
    }

    private let style: Style
    private let interval: Duration
    /// The first update of this process, from which the remaining time is reckoned: a resumed run does not start at 0.
    private var origin: (time: Duration, done: Int)?
    private var lastDrawn: (time: Duration, heading: String)?
    /// The bar that stands on the terminal's last line.
    private var standing = ""

    /// - Parameter interval: the shortest time between two drawings; 0.1 s on terminals and 10 s in logs by default.
    package init(style: Style, interval: Duration? = nil) {
        self.style = style
        self.interval = interval ?? (style == .log ? .seconds(10) : .milliseconds(100))
    }

    /// Text to write for new progress; empty where it is too early to draw again.
    ///
    /// - Parameter now: time since any fixed moment; it never goes back.
    package mutating func update(_ progress: WorkProgress, at now: Duration) -> String {
        let start = origin ?? (now, progress.done)
        origin = start
        let complete = progress.done >= progress.total
        if let last = lastDrawn {
            let newHeading = style == .log && last.heading != progress.heading
            guard now - last.time >= interval || newHeading || complete else { return "" }
        }
        lastDrawn = (now, progress.heading)
        let remaining = Self.remaining(progress, since: start, at: now)
        switch style {
        case .log:
            return Self.logLine(progress, remaining: remaining) + "\n"
        case .terminal(let columns):
            standing = Self.bar(progress, remaining: remaining, columns: columns)
            return "\r\u{1B}[K" + standing
        }
    }

    /// Text to write for a message between updates: the message stands above the bar.
    package func message(_ text: String) -> String {
        guard case .terminal(let columns) = style else { return text + "\n" }
        let lines = TextWrap.sentences(text, columns: columns)
        return standing.isEmpty ? lines + "\n" : "\r\u{1B}[K" + lines + "\n" + standing
    }

    /// Text to write when the work ends or is interrupted: leaves the bar where it is.
    package mutating func finish() -> String {
        defer { standing = "" }
        return style == .log || standing.isEmpty ? "" : "\n"
    }

    // MARK: - Lines

    /// The time that the rest takes at the mean speed so far; nil before anything is known.
    private static func remaining(
        _ progress: WorkProgress,
        since start: (time: Duration, done: Int),
        at now: Duration
    ) -> Duration? {
        let done = progress.done - start.done
        guard progress.done < progress.total else { return .zero }
        guard done > 0, now > start.time else { return nil }
        return (now - start.time) * (Double(progress.total - progress.done) / Double(done))
    }

    private static func count(_ progress: WorkProgress) -> String {
        "\(Columns.whole(progress.done, width: String(progress.total).count))/\(progress.total)"
    }

    private static func logLine(_ progress: WorkProgress, remaining: Duration?) -> String {
        var parts = progress.heading.isEmpty ? [] : [progress.heading]
        parts.append("\(progress.unit) \(count(progress))")
        parts += progress.figures.map { "\($0.name) \($0.text)" }
        parts.append("left \(Columns.right(remaining.map(Columns.clock) ?? "-", width: 8))")
        return parts.joined(separator: "  ")
    }

    /// One line, as wide as the terminal allows.
    ///
    /// `epoch  3/12 ━━━━━━━━━━──────────  120/480  loss  0.4312  dice 0.6120  images/s    35.2   1:30 left`
    static func bar(_ progress: WorkProgress, remaining: Duration?, columns: Int) -> String {
        // The last column stays empty: writing into it would wrap on some terminals.
        let width = max(20, columns - 1)
        let head = progress.heading.isEmpty ? "" : progress.heading + " "
        let left = Columns.right(remaining.map(Columns.clock) ?? "-", width: 7) + " left"
        let tails = [count(progress), left] + progress.figures.map { "\($0.name) \($0.text)" }
        let shortestBar = 8
        // Count and remaining time go in first, figures by importance while they fit.
        var used = head.count + shortestBar
        var shown: [String] = []
        for tail in tails {
            guard used + 2 + tail.count <= width else { break }
            used += 2 + tail.count
            shown.append(tail)
        }
        if shown.count > 1 { shown.append(shown.remove(at: 1)) }
        let length = max(0, min(40, width - used + shortestBar))
        let share = progress.total > 0 ? Double(progress.done) / Double(progress.total) : 0
        let filled = max(0, min(length, Int(share * Double(length))))
        let bar = String(repeating: "━", count: filled) + String(repeating: "─", count: length - filled)
        return String((head + ([bar] + shown).joined(separator: "  ")).prefix(width))
    }
}
