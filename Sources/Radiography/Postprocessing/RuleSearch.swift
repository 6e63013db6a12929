/// Finds the threshold or triplet with the best score on images whose truth is known.
///
/// Each image is upsampled once: `counts` notes how many pixels lie above each level of the grid, and `best` needs no
/// more than these. So images may be counted anywhere, in any order, and the result is the same.
package struct RuleSearch: Sendable {
    /// The rules tried, in order; of equal scores the first wins.
    package let rules: [MaskRule]
    /// All levels that rules compare with, ascending.
    private let levels: [Float]

    /// How many pixels of one image, at 1024 × 1024, lie above each level.
    package struct LevelCounts: Sendable, Equatable {
        fileprivate var predicted: [Int64]
        fileprivate var intersection: [Int64]
        fileprivate var truth: Int64
    }

    /// The best rule with its score, and the scores of all rules in their order.
    package struct Outcome: Sendable, Equatable {
        package var rule: MaskRule
        package var score: DiceScore
        package var scores: [DiceScore]
    }

    /// Plain thresholds first, then all triplets of `tops`, `areas` and `bottoms`.
    ///
    /// There is at least one rule.
    package init(thresholds: [Float], tops: [Float] = [], areas: [Int] = [], bottoms: [Float] = []) {
        var rules = thresholds.map { MaskRule.threshold($0) }
        for top in tops {
            for area in areas {
                for bottom in bottoms { rules.append(.triplet(top: top, area: area, bottom: bottom)) }
            }
        }
        self.init(rules: rules)
    }

    package init(rules: [MaskRule]) {
        precondition(!rules.isEmpty, "a search without rules")
        self.rules = rules
        var levels: Set<Float> = []
        for rule in rules {
            switch rule {
            case .threshold(let threshold): levels.insert(threshold)
            case .triplet(let top, _, let bottom): levels.formUnion([top, bottom])
            }
        }
        self.levels = levels.sorted()
    }

    /// Notes what one image has above each level.
    ///
    /// Pure; any thread.
    package func counts(
        of map: UnsafeBufferPointer<Float>,
        size: Int,
        truth: RunLengthMask
    ) -> LevelCounts {
        let side = RunLengthMask.challengeSide
        precondition(truth.width == side && truth.height == side, "a truth of \(truth.width)×\(truth.height)")
        // Bin k: above k levels. Sums over bins ≥ k give the pixels above level k - 1.
        var predicted = [Int64](repeating: 0, count: levels.count + 1)
        var intersection = predicted
        let lowest = levels[0]
        var run = 0
        let finder = LevelFinder(levels: levels)
        MapUpsampler(size: size).forEachColumn(of: map, above: lowest) { x, column in
            for y in 0..<side where column[y] > lowest { predicted[finder.bin(column[y])] += 1 }
            // The parts of truth in this column; a run may go on into the next.
            let first = x * side
            while run < truth.runs.count && Int(truth.runs[run].end) <= first { run += 1 }
            var next = run
            while next < truth.runs.count && Int(truth.runs[next].start) < first + side {
                let from = max(0, Int(truth.runs[next].start) - first)
                let to = min(side, Int(truth.runs[next].end) - first)
                for y in from..<to where column[y] > lowest { intersection[finder.bin(column[y])] += 1 }
                next += 1
            }
        }
        for bin in stride(from: levels.count - 1, to: 0, by: -1) {
            predicted[bin] += predicted[bin + 1]
            intersection[bin] += intersection[bin + 1]
        }
        return LevelCounts(
            predicted: Array(predicted.dropFirst()),
            intersection: Array(intersection.dropFirst()),
            truth: Int64(truth.area)
        )
    }

    package func counts(of map: ProbabilityMap, truth: RunLengthMask) -> LevelCounts {
        map.values.withUnsafeBufferPointer { counts(of: $0, size: map.size, truth: truth) }
    }

    /// The rule with the highest mean Dice over the images, added in their order.
    ///
    /// There is at least one image.
    package func best(of images: [LevelCounts]) -> Outcome {
        precondition(!images.isEmpty, "a search without images")
        let scores = rules.map { rule in DiceScore(images.lazy.map { counts(of: $0, under: rule) }) }
        var best = 0
        for number in scores.indices where (scores[number].meanDice ?? 0) > (scores[best].meanDice ?? 0) {
            best = number
        }
        return Outcome(rule: rules[best], score: scores[best], scores: scores)
    }

    /// The best rule over `count` images, whose maps and truths are asked for one after the other.
    package func best(
        count: Int,
        image: (_ index: Int) throws -> (map: ProbabilityMap, truth: RunLengthMask)
    ) rethrows -> Outcome {
        var counted: [LevelCounts] = []
        counted.reserveCapacity(count)
        for index in 0..<count {
            let (map, truth) = try image(index)
            counted.append(counts(of: map, truth: truth))
        }
        return best(of: counted)
    }

    /// The metric's counts of an image under one of the rules.
    package func counts(of image: LevelCounts, under rule: MaskRule) -> ImageCounts {
        func above(_ level: Float) -> ImageCounts {
            // Every level of a rule is in the table.
            let index = levels.firstIndex(of: level) ?? 0
            return ImageCounts(
                intersection: image.intersection[index],
                predicted: image.predicted[index],
                truth: image.truth
            )
        }
        switch rule {
        case .threshold(let threshold): return above(threshold)
        case .triplet(let top, let area, let bottom):
            if above(top).predicted < Int64(area) {
                return ImageCounts(intersection: 0, predicted: 0, truth: image.truth)
            }
            return above(bottom)
        }
    }
}

/// How many of some ascending levels a value is above.
private struct LevelFinder {
    let levels: [Float]
    /// For each 1/256 of the range 0...1, the levels at or below its lower end that need no comparison.
    private let starts: [Int]

    init(levels: [Float]) {
        self.levels = levels
        starts = (0...256).map { step in levels.prefix { $0 < Float(step) / 256 }.count }
    }

    @inline(__always)
    func bin(_ value: Float) -> Int {
        let held = value < 0 ? 0 : value > 1 ? 1 : value
        var bin = starts[Int(held * 256)]
        while bin < levels.count && value > levels[bin] { bin += 1 }
        return bin
    }
}
