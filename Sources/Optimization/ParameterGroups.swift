import Kernels

/// An optimizer over a network's trained parameters, some of which may learn at another rate or decay otherwise.
///
/// Each group is the optimizer with a weight decay of its own at a rate of its own; the first one has the constants as they
/// are configured. The words of an update are those of the groups, one after the other.
package struct ParameterGroups: Sendable {
    /// The factors on the learning rate and on the weight decay of some parameters.
    package struct Factors: Hashable, Sendable {
        package var rate = 1.0
        package var decay = 1.0

        package init(rate: Double = 1, decay: Double = 1) {
            self.rate = rate
            self.decay = decay
        }
    }

    /// No run has more groups: their words travel with each step.
    package static let limit = 64

    private let groups: [(optimizer: any Optimizer, rate: Double)]
    /// Ascending ranges of the flat vector with their groups, without a gap.
    private let parts: [(range: Range<Int>, group: Int)]

    /// The optimizer `family` with `constants` over a flat vector.
    ///
    /// - Parameter parameters: ends of the parameters in the flat vector, ascending, the last one the vector's; and the
    ///   factors of each.
    /// - Throws: where the constants, or those times their factors, are none of the optimizer's; where the groups are too
    ///   many.
    package init(
        _ family: any Optimizer.Type,
        _ constants: OptimizerConstants,
        parameters: [(end: Int, factors: Factors)]
    ) throws(OptimizationError) {
        var numbers = [Factors(): 0]
        var groups: [(optimizer: any Optimizer, rate: Double)] = [(family.init(constants), 1)]
        var parts: [(range: Range<Int>, group: Int)] = []
        for (end, factors) in parameters {
            let start = parts.last?.range.upperBound ?? 0
            var number = groups.count
            if let known = numbers[factors] {
                number = known
            } else {
                try require("optimizer.groups.rate", factors.rate, "a number ≥ 0") { $0 >= 0 }
                var own = constants
                own.weightDecay *= factors.decay
                numbers[factors] = number
                groups.append((family.init(own), factors.rate))
            }
            if let last = parts.last, last.group == number {
                parts[parts.count - 1].range = last.range.lowerBound..<end
            } else {
                parts.append((start..<end, number))
            }
        }
        if groups.count > Self.limit {
            throw OptimizationError(
                setting: "optimizer.groups",
                problem: "make \(groups.count) pairs of rate and decay; \(Self.limit) are allowed"
            )
        }
        for group in groups { try group.optimizer.validate() }
        self.groups = groups
        self.parts = parts
    }

    /// Names of the state vectors: the optimizer's.
    package var slots: [String] { groups[0].optimizer.slots }

    /// The bits of update `step`, counted from 1, at the schedule's learning rate.
    package func words(step: Int, rate: Double) -> [UInt32] {
        groups.flatMap { $0.optimizer.words(step: step, rate: rate * $0.rate) }
    }

    /// The update of which `words` are the numbers; nil where they are too many or too few.
    package func update(words: [UInt32], scale: Float) -> (any OptimizerUpdate)? {
        guard words.count % groups.count == 0 else { return nil }
        let count = words.count / groups.count
        var updates: [any OptimizerUpdate] = []
        for (index, group) in groups.enumerated() {
            let own = Array(words[index * count..<(index + 1) * count])
            guard let update = group.optimizer.update(words: own, scale: scale) else { return nil }
            updates.append(update)
        }
        return GroupedUpdate(updates: updates, parts: parts)
    }
}

/// An update in which every part of the flat vector has that of its group.
private struct GroupedUpdate: OptimizerUpdate {
    let updates: [any OptimizerUpdate]
    let parts: [(range: Range<Int>, group: Int)]

    func apply(
        to weights: UnsafeMutablePointer<Float>,
        gradients: UnsafePointer<Float>,
        slots: [UnsafeMutablePointer<Float>],
        range: Range<Int>,
        kernels: KernelTable
    ) {
        for part in parts where part.range.overlaps(range) {
            updates[part.group].apply(
                to: weights,
                gradients: gradients,
                slots: slots,
                range: part.range.clamped(to: range),
                kernels: kernels
            )
        }
    }
}
