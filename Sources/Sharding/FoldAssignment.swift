private import Numerics

/// Parts the samples into folds for cross-validation.
///
/// All samples of a patient are in one fold. Within that, folds get like numbers of negatives, and of positives of each
/// decile of mask area. A pure function of its arguments.
package enum FoldAssignment {
    /// A sample as far as folds are concerned.
    package struct Sample: Sendable {
        /// Samples of equal patients stay together.
        ///
        /// Give samples of unknown patients names of their own.
        package var patient: String
        /// The area of the mask in pixels; 0 for a negative.
        package var area: Int

        package init(patient: String, area: Int) {
            self.patient = patient
            self.area = area
        }
    }

    /// Deciles of the positives, and the negatives.
    private static let strata = 11

    /// A patient's samples.
    private struct Group {
        var patient: String
        var samples: [Int] = []
        /// Samples of each stratum.
        var counts = [Int](repeating: 0, count: strata)
        var order: UInt32 = 0
    }

    /// The fold of each sample, 0 ..< `count`.
    ///
    /// Patients are dealt from the one with the most samples to those with one, each to the fold that then is evenest;
    /// equals go in an order that `seed` decides.
    package static func folds(of samples: [Sample], count: Int, seed: UInt64) -> [Int] {
        precondition(count > 0, "\(count) folds")
        let stratum = strata(of: samples)
        var totals = [Int](repeating: 0, count: strata)
        for value in stratum { totals[value] += 1 }

        var groups = groups(of: samples, strata: stratum)
        let random = RandomSequence(seed: seed, purpose: .folds)
        for index in groups.indices { groups[index].order = random.word(index) }
        groups.sort { a, b in
            if a.samples.count != b.samples.count { return a.samples.count > b.samples.count }
            if a.order != b.order { return a.order < b.order }
            return a.patient.utf8.lexicographicallyPrecedes(b.patient.utf8)
        }

        var result = [Int](repeating: 0, count: samples.count)
        var held = [[Int]](repeating: [Int](repeating: 0, count: strata), count: count)
        var sizes = [Int](repeating: 0, count: count)
        for group in groups {
            // The sum over strata of squared shares grows least in the fold that holds least of the group's strata.
            var best = 0
            var bestCost = Double.infinity
            for fold in 0..<count {
                var cost =
                    Double(sizes[fold]) * Double(group.samples.count)
                    / (Double(samples.count) * Double(samples.count))
                for s in 0..<strata where group.counts[s] > 0 {
                    cost += Double(held[fold][s] * group.counts[s]) / (Double(totals[s]) * Double(totals[s]))
                }
                if cost < bestCost {
                    best = fold
                    bestCost = cost
                }
            }
            for sample in group.samples { result[sample] = best }
            for s in 0..<strata { held[best][s] += group.counts[s] }
            sizes[best] += group.samples.count
        }
        return result
    }

    /// 0 for negatives, 1 ...
    ///
    /// 10 for the deciles of the positives' areas.
    private static func strata(of samples: [Sample]) -> [Int] {
        let positives = samples.indices.filter { samples[$0].area > 0 }.sorted { a, b in
            samples[a].area != samples[b].area ? samples[a].area < samples[b].area : a < b
        }
        var result = [Int](repeating: 0, count: samples.count)
        for (rank, sample) in positives.enumerated() { result[sample] = 1 + rank * 10 / positives.count }
        return result
    }

    /// The patients in the order of their names.
    private static func groups(of samples: [Sample], strata: [Int]) -> [Group] {
        var indices: [String: Int] = [:]
        var groups: [Group] = []
        for (index, sample) in samples.enumerated() {
            let group = indices[sample.patient] ?? groups.count
            if group == groups.count {
                indices[sample.patient] = group
                groups.append(Group(patient: sample.patient))
            }
            groups[group].samples.append(index)
            groups[group].counts[strata[index]] += 1
        }
        return groups.sorted { $0.patient.utf8.lexicographicallyPrecedes($1.patient.utf8) }
    }
}
