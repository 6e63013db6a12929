import Yams

extension RunConfiguration {
    /// A number, or one that is found where it is needed.
    package enum CountChoice: Sendable, Equatable {
        case auto
        case count(Int)

        /// The number, where one is given.
        package var count: Int? {
            if case .count(let count) = self { count } else { nil }
        }
    }

    /// Compute threads of each of `workers` workers on a host of so many usable cores; `workers.count` of them where it is
    /// not said.
    ///
    /// Where the configuration leaves it to the machine: an equal share of the cores, and no more than have work.
    package func threads(usable cores: Int, workers here: Int? = nil) -> Int {
        switch workers.threads {
        case .count(let count): return count
        case .auto: return max(1, min(cores / max(1, here ?? workers.count), mostThreads))
        }
    }

    /// The microbatches of a step for each worker, at most: more threads would have nothing to do.
    package var mostThreads: Int {
        let workers = max(1, workers.count)
        return max(1, (training.microbatches + workers - 1) / workers)
    }

    /// The steps of the warm-up in a run of so many steps. Where the configuration leaves it to the run: a twentieth of it,
    /// and 200 at most.
    package func warmUpSteps(of total: UInt64) -> Int {
        schedule.warmupSteps.count ?? Int(min(200, total / 20))
    }
}

extension RunConfiguration.CountChoice: ConfigurationValue {
    static var kind: String { "auto or a whole number" }

    init(node: Node) throws(ValueProblem) {
        if node.bareText == "auto" {
            self = .auto
            return
        }
        guard let text = node.bareText, let count = Int(text) else { throw node.refusal(expected: Self.kind) }
        self = .count(count)
    }

    var yaml: String { count.map(String.init) ?? "auto" }
}

extension ValueCheck where Value == RunConfiguration.CountChoice {
    /// Applies to a number.
    static func unlessAuto(_ range: ClosedRange<Int>) -> ValueCheck {
        ValueCheck(text: "auto or a whole number, \(range.lowerBound) to \(range.upperBound)", saysType: true) {
            $0.count.map(range.contains) ?? true
        }
    }
}
