/// Why a worker is slow.
package enum SlowCause: String, Hashable, Sendable, CustomStringConvertible {
    /// Its microbatches take long.
    case compute
    /// It waits for its samples.
    case data
    /// Its gradients and sums reach the others late, or theirs reach it late.
    case network

    package var description: String { rawValue }
}

/// That a worker is slow, and by how much.
package struct Slowness: Hashable, Sendable {
    package var cause: SlowCause
    /// How many times as long as the others it takes for a sample; of the network, a step's time over that of its
    /// computation.
    package var factor: Double

    package init(cause: SlowCause, factor: Double) {
        self.cause = cause
        self.factor = factor
    }
}

/// How fast the workers compute, by what they report of the last steps, and who of them is slow.
///
/// Equal reports in equal order give equal values. Figures are medians: a single step that took long, for whatever
/// reason, moves nobody's share.
struct WorkerSpeeds: Sendable {
    /// What one report says, in nanoseconds.
    private struct Figures: Sendable {
        /// Thread time for a sample: waiting for it, and computing it.
        var data: Double
        var compute: Double

        var total: Double { data + compute }
    }

    /// What a worker reports of a step.
    struct Observation: Sendable {
        var worker: WorkerNumber
        var threads: UInt32
        var timings: StepTimings
    }

    /// How the work was split last, and by what.
    private struct Split: Sendable {
        var members: [Member]
        var leafCount: Int
        var costs: [Double]
        var runs: [Range<Int>]
        /// What the best runs for the costs take.
        var time: Double
    }

    private struct Track: Sendable {
        /// Of the last steps in which it computed, the newest at the end.
        var figures: [Figures] = []
        /// Of the last steps, whether a majority of the others named it as the last.
        var wasLast: [Bool] = []
        /// What it took for a sample, by the figures that decide who is slow, and by those that decide how work is split; nil
        /// before there are two.
        private(set) var total: Double?
        private(set) var cost: Double?
        var stepsWithoutWork = 0
        private(set) var slowness: Slowness?
        /// What it has been found to be for so many steps, where that is another verdict than the one that stands.
        private var found: (cause: SlowCause?, steps: Int)?
        /// How often it was slow and is not any more.
        private var recoveries = 0

        mutating func take(_ timings: StepTimings, threads: UInt32) {
            guard timings.samples > 0 else {
                stepsWithoutWork += 1
                return
            }
            // Data and compute are means over the worker's threads.
            let scale = Double(max(1, threads)) / Double(timings.samples)
            if figures.count == WorkerSpeeds.kept { figures.removeFirst() }
            figures.append(
                Figures(
                    data: max(0, Double(timings.data.inNanoseconds)) * scale,
                    compute: max(1, Double(timings.compute.inNanoseconds) * scale)
                )
            )
            stepsWithoutWork = 0
            total = median(\.total, of: WorkerSpeeds.window)
            if let long = median(\.total, of: WorkerSpeeds.kept), let last = median(\.total, of: WorkerSpeeds.recent) {
                let isChanged = last > long * WorkerSpeeds.change || last * WorkerSpeeds.change < long
                cost = isChanged ? last : long
            }
        }

        /// The median of the last `count` figures, nil before there are two; of two the smaller.
        func median(_ value: (Figures) -> Double, of count: Int) -> Double? {
            let figures = figures.suffix(count)
            return figures.count >= 2 ? WorkerSpeeds.middle(figures.map(value)) : nil
        }

        /// Takes the verdict of a step; returns whether another cause stands since. One that stands gives way only to what
        /// lasts: for some steps, and for the more of them the oftener the worker has gone back and forth, so that one at the
        /// edge does not fill the log.
        mutating func take(_ verdict: Slowness?) -> Bool {
            if verdict?.cause == slowness?.cause {
                (slowness, found) = (verdict, nil)
                return false
            }
            let steps = found.map { $0.cause == verdict?.cause ? $0.steps + 1 : 1 } ?? 1
            guard steps >= WorkerSpeeds.patience << min(recoveries, WorkerSpeeds.mostDoublings) else {
                found = (verdict?.cause, steps)
                return false
            }
            if verdict == nil { recoveries += 1 }
            (slowness, found) = (verdict, nil)
            return true
        }

        mutating func note(isLast: Bool) {
            if wasLast.count == WorkerSpeeds.window { wasLast.removeFirst() }
            wasLast.append(isLast)
        }
    }

    /// Figures that are kept, and decide how the work is split; the newest `recent` of them do where they are another
    /// speed altogether, by this factor.
    private static let kept = 9
    private static let recent = 3
    private static let change = 1.25
    /// Figures that decide who is slow.
    private static let window = 5
    /// A worker is slow from the first factor on, and until it is below the second.
    private static let slow = 1.5
    private static let notSlow = 1.25
    /// For how many steps in a row another verdict must be found before it stands, and how often that doubles.
    private static let patience = 3
    private static let mostDoublings = 8
    /// A new split must promise to save such a part of the step: samples have been loaded by the old one.
    private static let leastGain = 0.05
    /// A worker that gets no work is tried again at the price of such a part of the time.
    private static let trialShare = 1.0 / 16
    /// The network is looked at where a step spends such a part of its time, and so many nanoseconds, on it alone.
    private static let networkShare = 1.0 / 3
    private static let networkTime = 2e7

    private var tracks: [WorkerNumber: Track] = [:]
    /// Of the last steps: how much longer a step took than its computation, as a factor; nil where little.
    private var networkFactors: [Double?] = []
    private var split: Split?

    /// What is known to be slow about `worker`.
    func slowness(of worker: WorkerNumber) -> Slowness? { tracks[worker]?.slowness }

    // MARK: Reports

    /// Takes the reports of a step; returns the workers that are slow since, or are not slow any more.
    mutating func observe(_ reports: [Observation]) -> [WorkerNumber] {
        for report in reports {
            tracks[report.worker, default: Track()].take(report.timings, threads: report.threads)
        }
        if tracks.count > reports.count {
            let present = Set(reports.map(\.worker))
            tracks = tracks.filter { present.contains($0.key) }
        }
        observeNetwork(reports)
        let medians = reports.map { tracks[$0.worker]?.total }
        guard let usual = Self.middle(medians.compactMap { $0 }) else { return [] }
        var changed: [WorkerNumber] = []
        for (report, median) in zip(reports, medians) {
            guard let median, judge(report.worker, takes: median, usually: usual) else { continue }
            changed.append(report.worker)
        }
        return changed
    }

    private mutating func observeNetwork(_ reports: [Observation]) {
        func nanoseconds(_ duration: Duration) -> Double { max(0, Double(duration.inNanoseconds)) }
        let computing = reports.map { nanoseconds($0.timings.computing) }.max() ?? 0
        // Who computes longest waits least: what it waits, all wait for something else than computation.
        let waited = reports.map { nanoseconds($0.timings.wait) }.min() ?? 0
        let isLate = waited >= Self.networkTime && waited >= Self.networkShare * (computing + waited)
        if networkFactors.count == Self.window { networkFactors.removeFirst() }
        networkFactors.append(isLate ? (computing + waited) / max(1, computing) : nil)
        var votes: [WorkerNumber: Int] = [:]
        for report in reports {
            if let last = report.timings.waitedFor, last != report.worker { votes[last, default: 0] += 1 }
        }
        for report in reports {
            let voices = votes[report.worker] ?? 0
            // One of two cannot be told from the other: each has waited for the other's last word.
            let isLast = isLate && reports.count > 2 && 2 * voices > reports.count - 1
            if let index = tracks.index(forKey: report.worker) { tracks.values[index].note(isLast: isLast) }
        }
    }

    /// Decides whether the worker is slow, a sample taking it so long and all of them `usual`; returns whether that has
    /// changed.
    private mutating func judge(_ worker: WorkerNumber, takes own: Double, usually usual: Double) -> Bool {
        guard let track = tracks[worker] else { return false }
        var slowness: Slowness?
        let factor = own / usual
        let isKnown = track.slowness.map { $0.cause != .network } ?? false
        // One that gets no work any more adds no figures.
        let isKnownEnough = track.figures.count >= Self.window || track.stepsWithoutWork > 0
        if isKnownEnough, factor >= (isKnown ? Self.notSlow : Self.slow) {
            let waits = track.median(\.data, of: Self.window) ?? 0
            slowness = Slowness(cause: 2 * waits > own - usual ? .data : .compute, factor: factor)
        } else if track.wasLast.count(where: { $0 }) > Self.window / 2 {
            slowness = Slowness(cause: .network, factor: Self.middle(networkFactors.compactMap { $0 }) ?? 1)
        }
        return tracks[worker]?.take(slowness) ?? false
    }

    private static func middle(_ values: [Double]) -> Double? {
        values.isEmpty ? nil : values.sorted()[(values.count - 1) / 2]
    }

    // MARK: Splits

    /// Runs of microbatches for `members`, in proportion to their speeds.
    mutating func runs(leafCount: Int, members: [Member]) -> [Range<Int>] {
        let capacities = WorkSplit.capacities(of: members)
        let known = members.map { tracks[$0.worker]?.cost }
        guard let usual = Self.middle(known.compactMap { $0 }) else {
            split = nil
            return WorkSplit.runs(leafCount: leafCount, capacities: capacities)
        }
        // One that has not reported yet is taken to be as fast as the others. Nobody who says to take no time gets all.
        let costs = known.map { max(($0 ?? usual) / usual, 1.0 / 16) }
        var runs: [Range<Int>]
        let time: Double
        if let split, split.costs == costs, split.members == members, split.leafCount == leafCount {
            (runs, time) = (split.runs, split.time)
        } else {
            runs = WorkSplit.runs(leafCount: leafCount, capacities: capacities, costs: costs)
            time = WorkSplit.time(of: runs, capacities: capacities, costs: costs)
            if let split, split.members == members, split.leafCount == leafCount,
                split.runs.indices.allSatisfy({ split.runs[$0].isEmpty == runs[$0].isEmpty }),
                WorkSplit.time(of: split.runs, capacities: capacities, costs: costs) * (1 - Self.leastGain) <= time
            {
                runs = split.runs
            }
            split = Split(members: members, leafCount: leafCount, costs: costs, runs: runs, time: time)
        }
        // One that is too slow for any work is given some now and then: it may have become faster.
        let tried = members.indices.filter { position in
            guard runs[position].isEmpty, let track = tracks[members[position].worker] else { return false }
            return Double(track.stepsWithoutWork) * time * Self.trialShare >= costs[position]
        }
        if tried.isEmpty { return runs }
        return WorkSplit.runs(leafCount: leafCount, capacities: capacities, costs: costs, needed: Set(tried))
    }
}

extension CoordinatorMachine {
    /// Learns from a step's reports how fast the members are, and says who is slow since.
    mutating func observe(_ reports: [MemberReport]) {
        // As many as there are members, in their order.
        let changed = speeds.observe(
            zip(members.indices, reports).map { position, said in
                WorkerSpeeds.Observation(
                    worker: said.worker,
                    threads: members[position].hello.threads,
                    timings: said.report.timings
                )
            }
        )
        for worker in changed {
            let name = names(of: [worker])
            guard let slowness = speeds.slowness(of: worker) else {
                log(.notice, "\(name) is not slow any more")
                continue
            }
            let times = tenths(slowness.factor)
            switch slowness.cause {
            case .compute:
                log(
                    .warning,
                    "\(name) is slow: computing a sample takes it \(times) times as long as the others (compute)"
                )
            case .data:
                log(
                    .warning,
                    "\(name) is slow: with waiting for it, a sample takes it \(times) times as long as the others (data)"
                )
            case .network:
                log(
                    .warning,
                    "\(name) is slow: all wait for its gradients and sums, and a step takes \(times) times as long as its "
                        + "computation (network)"
                )
            }
        }
    }

    private func tenths(_ value: Double) -> String {
        let tenths = Int((min(max(value, 0), 1e6) * 10).rounded())
        return "\(tenths / 10).\(tenths % 10)"
    }
}
