/// How well scores tell positives from negatives: the area under the receiver operating characteristic.
package enum ROC {
    /// The share of pairs of a positive and a negative in which the positive has the higher score, ties counting half;
    /// images count as often as `weights` says. Nil without a pair.
    package static func area(scores: [Float], isPositive: [Bool], weights: [Int]? = nil) -> Double? {
        RankedScores(scores: scores, isPositive: isPositive).area(weights: weights)
    }

    /// The interval of the area (E. DeLong, D. DeLong and D. Clarke-Pearson, Biometrics 44, 1988; by ranks: X. Sun and
    /// W. Xu, IEEE Signal Processing Letters 21, 2014).
    ///
    /// Nil with fewer than two positives or negatives, and where the variance is 0, as of an area of 1: it is no sign of
    /// certainty there.
    package static func interval(scores: [Float], isPositive: [Bool]) -> Interval? {
        let positives = zip(scores, isPositive).filter(\.1).map(\.0)
        let negatives = zip(scores, isPositive).filter { !$0.1 }.map(\.0)
        guard positives.count > 1, negatives.count > 1 else { return nil }
        let all = middleRanks(positives + negatives)
        let (count, others) = (Double(positives.count), Double(negatives.count))
        // The share of the other kind that each image is above of, or below.
        let wins = zip(all, middleRanks(positives)).map { ($0 - $1) / others }
        let losses = zip(all[positives.count...], middleRanks(negatives)).map { 1 - ($0 - $1) / count }
        let area = wins.reduce(0, +) / count
        let variance = Self.variance(wins) / count + Self.variance(losses) / others
        guard variance > 1e-15 else { return nil }
        let reach = Interval.normalQuantile * variance.squareRoot()
        return Interval(max(0, area - reach), min(1, area + reach))
    }

    /// The rank of each value from 1; equal ones have the mean of their ranks.
    private static func middleRanks(_ values: [Float]) -> [Double] {
        let order = values.indices.sorted { values[$0] < values[$1] }
        var ranks = [Double](repeating: 0, count: values.count)
        var start = 0
        while start < order.count {
            var end = start + 1
            while end < order.count && values[order[end]] == values[order[start]] { end += 1 }
            for place in start..<end { ranks[order[place]] = Double(start + end + 1) / 2 }
            start = end
        }
        return ranks
    }

    private static func variance(_ values: [Double]) -> Double {
        let mean = values.reduce(0, +) / Double(values.count)
        return values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(values.count - 1)
    }
}

/// Scores in order, for areas under many weights.
struct RankedScores {
    /// The images from the lowest score up.
    private let order: [Int]
    /// Whether the score is the same as that of the image before.
    private let isTied: [Bool]
    private let isPositive: [Bool]

    /// A score that is not a number counts as the lowest.
    init(scores: [Float], isPositive: [Bool]) {
        let scores = scores.map { $0.isNaN ? -.infinity : $0 }
        let order = scores.indices.sorted { (scores[$0], $0) < (scores[$1], $1) }
        isTied = order.indices.map { $0 > 0 && scores[order[$0]] == scores[order[$0 - 1]] }
        self.order = order
        self.isPositive = isPositive
    }

    /// The area, images counting as often as `weights` says; nil without a pair.
    func area(weights: [Int]? = nil) -> Double? {
        // Twice the pairs that are won; negatives below, and those of the same score.
        var (won, below, level) = (0, 0, 0)
        var (positives, levelPositives) = (0, 0)
        func close() {
            won += levelPositives * (2 * below + level)
            below += level
            positives += levelPositives
            (level, levelPositives) = (0, 0)
        }
        for (place, image) in order.enumerated() {
            if !isTied[place] { close() }
            let weight = weights?[image] ?? 1
            if isPositive[image] { levelPositives += weight } else { level += weight }
        }
        close()
        return positives > 0 && below > 0 ? Double(won) / (2 * Double(positives) * Double(below)) : nil
    }
}
