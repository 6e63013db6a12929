import Sampling
import Settings
import Testing

@Suite struct SamplerTests {
    /// A data set of `count` samples in which every third is positive.
    private func sampler(
        _ rule: any SamplingRule,
        count: Int = 60,
        seed: UInt64 = 7
    ) throws -> (sampler: Sampler, isPositive: [Bool]) {
        let isPositive = (0..<count).map { $0 % 3 == 0 }
        return (
            try Sampler(rule: rule, seed: seed, samples: Array(0..<count), isPositive: isPositive, epochs: 10),
            isPositive
        )
    }

    @Test(arguments: [1, 2, 3, 10, 64, 1000], [0, 1, 5])
    func allTakesEachSampleOnce(count: Int, epoch: Int) throws {
        let order = try sampler(AllSamples(), count: count).sampler.order(of: epoch)
        #expect(order.sorted() == Array(0..<count))
    }

    @Test func ordersDifferByEpochAndSeedAndRepeat() throws {
        let first = try sampler(AllSamples()).sampler
        let other = try sampler(AllSamples(), seed: 8).sampler
        #expect(first.order(of: 3) == first.order(of: 3))
        #expect(first.order(of: 3) != first.order(of: 4))
        #expect(first.order(of: 3) != other.order(of: 3))
        #expect(first.order(of: 0) != Array(0..<60))
    }

    /// Frozen: a change of this order changes the weights of every run with this seed.
    @Test func theOrderIsPartOfTheContract() throws {
        let all = try sampler(AllSamples(), count: 10, seed: 42).sampler
        #expect(all.order(of: 0) == GoldenOrder.all)
        let share = try sampler(PositivesAndShare(0.4), count: 12, seed: 42).sampler
        #expect(share.order(of: 2) == GoldenOrder.share)
    }

    @Test(arguments: [0.8, 0.6, 0.5, 0.4, 1.0], [0, 1, 9])
    func positivesComeOnceAndNegativesInTheirShare(share: Double, epoch: Int) throws {
        let (sampler, isPositive) = try sampler(PositivesAndShare(share), count: 300)
        let order = sampler.order(of: epoch)
        let positives = order.filter { isPositive[$0] }
        #expect(positives.sorted() == Array(stride(from: 0, to: 300, by: 3)))
        #expect(order.count - positives.count == Int(100 * (1 - share) / share))
        #expect(order.count == sampler.sampleCount(of: epoch))
    }

    @Test func negativesAreDrawnWithReplacement() throws {
        let isPositive = [true, true, true, true, false, false]
        let sampler = try Sampler(
            rule: PositivesAndShare(0.2),
            seed: 1,
            samples: Array(0..<6),
            isPositive: isPositive,
            epochs: 1
        )
        // 4 · 0.8 / 0.2 is 15.999… or 16 in `Double`; either way more draws than there are negatives.
        let negatives = sampler.order(of: 0).filter { !isPositive[$0] }
        #expect(negatives.count >= 15)
        #expect(Set(negatives) == [4, 5])
    }

    /// The counts of the first place's parts 0, 1 and 2 with its 2,379 positives, computed with its expression in
    /// Python: `int(2379 * (1 - p) / p)`.
    @Test(arguments: [(0.8, 594), (0.6, 1586), (0.4, 3568)])
    func countsOfTheFirstPlace(share: Double, negatives: Int) {
        #expect(PositivesAndShare(share).negatives(for: 2379, in: 0, of: 1) == negatives)
    }

    @Test func theShareMovesLinearly() {
        let share = PositivesAndShare(0.8, last: 0.22)
        #expect(share.share(in: 0, of: 61) == 0.8)
        #expect(abs(share.share(in: 30, of: 61) - 0.51) < 1e-12)
        #expect(share.share(in: 60, of: 61) == 0.22)
        #expect(share.share(in: 99, of: 61) == 0.22)
    }

    @Test func theShuffleIsFair() throws {
        // Each of 4 samples stands at each position in about a quarter of 4,000 epochs (σ ≈ 27).
        let sampler = try sampler(AllSamples(), count: 4).sampler
        var counts = [Int](repeating: 0, count: 16)
        for epoch in 0..<4000 {
            for (position, sample) in sampler.order(of: epoch).enumerated() { counts[position * 4 + sample] += 1 }
        }
        #expect(counts.allSatisfy { abs($0 - 1000) < 140 })
    }

    /// Any split of an epoch's microbatches among workers, and any resume in the middle, sees the same samples.
    @Test(arguments: 1...9, [1, 2, 3, 4])
    func workersTogetherSeeTheEpoch(workers: Int, microbatches: Int) throws {
        let (sampler, _) = try sampler(PositivesAndShare(0.4), count: 50)
        let whole = sampler.plan(of: 2, microbatches: microbatches, microbatchSize: 3)
        var seen: [Int] = []
        for step in 0..<whole.shape.stepCount {
            // Every worker and every resumed process makes the plan anew.
            let plan = sampler.plan(of: 2, microbatches: microbatches, microbatchSize: 3)
            let count = plan.shape.batch(step).microbatchCount
            var parts = [[Int]](repeating: [], count: count)
            for worker in 0..<workers {
                for index in stride(from: worker, to: count, by: workers) {
                    let microbatch = plan.microbatch(index, ofStep: step)
                    #expect(Array(plan.samples[microbatch.positions]) == Array(microbatch.samples))
                    parts[index] = Array(microbatch.samples)
                }
            }
            seen += parts.flatMap { $0 }
            #expect(plan.microbatches(ofStep: step).map(\.samples.count) == parts.map(\.count))
        }
        #expect(seen == whole.samples)
    }

    @Test func whatCannotBeServedIsRefused() {
        #expect(throws: SamplingError.noSamples) {
            try Sampler(rule: AllSamples(), seed: 1, samples: [], isPositive: [true], epochs: 1)
        }
        #expect(throws: SamplingError.noPositives(samples: 2)) {
            try Sampler(
                rule: PositivesAndShare(0.5),
                seed: 1,
                samples: [0, 1],
                isPositive: [false, false],
                epochs: 1
            )
        }
        #expect(throws: SamplingError.noNegatives(samples: 2)) {
            try Sampler(rule: PositivesAndShare(0.5), seed: 1, samples: [0, 1], isPositive: [true, true], epochs: 1)
        }
        for share in [0, -1, 1.5, Double.nan, 1e-9] {
            #expect(throws: SamplingError.self) {
                try Sampler(
                    rule: PositivesAndShare(share),
                    seed: 1,
                    samples: [0, 1],
                    isPositive: [true, false],
                    epochs: 1
                )
            }
        }
    }

    /// Frozen as the others are.
    @Test func balancedDrawsHalfAndHalf() throws {
        let (sampler, isPositive) = try sampler(BalancedSamples(), count: 61)
        for epoch in 0..<3 {
            let order = sampler.order(of: epoch)
            #expect(order.count == 61 && sampler.sampleCount(of: epoch) == 61)
            #expect(order.filter { isPositive[$0] }.count == 30)
            #expect(order == sampler.order(of: epoch))
        }
        #expect(sampler.order(of: 0) != sampler.order(of: 1))
        // With replacement: some positives come more than once in 30 draws of 21.
        #expect(Set(sampler.order(of: 0).filter { isPositive[$0] }).count < 21)
        let small = try self.sampler(BalancedSamples(), count: 12, seed: 42).sampler
        #expect(small.order(of: 2) == GoldenOrder.balanced)
        #expect(throws: SamplingError.noNegatives(samples: 2)) {
            try Sampler(
                rule: BalancedSamples(),
                seed: 1,
                samples: [0, 1],
                isPositive: [true, true],
                epochs: 1
            )
        }
        #expect(throws: SamplingError.noPositives(samples: 1)) {
            try Sampler(rule: BalancedSamples(), seed: 1, samples: [0], isPositive: [false], epochs: 1)
        }
    }

    @Test func everyRuleHasAWordOfItsOwn() {
        #expect(Set(samplingRules.map { $0.word }).count == samplingRules.count)
        #expect(SamplingPolicy(rawValue: "balanced") == .balanced)
        #expect(SamplingPolicy(rawValue: "none") == nil)
    }
}
