import Numerics
import Sharding
import TestSupport
import Testing

@Suite("Folds")
struct FoldAssignmentTests {
    /// Patients of 1 to 12 images, a fifth of them positive, with areas over three orders of magnitude.
    private static func samples(_ patients: Int) -> [FoldAssignment.Sample] {
        let random = RandomSequence(seed: 5, purpose: .simulation)
        var samples: [FoldAssignment.Sample] = []
        for patient in 0..<patients {
            let count = random.integer(3 * patient, below: 10) < 7 ? 1 : 1 + random.integer(3 * patient + 1, below: 12)
            for image in 0..<count {
                let draw = random.integer(100_000 + patient * 20 + image, below: 1000)
                samples.append(.init(patient: "p\(patient)", area: draw < 200 ? 50 + draw * draw : 0))
            }
        }
        return samples
    }

    @Test("No patient is in two folds, and folds are alike in size and in positives", arguments: [2, 5, 8])
    func stratified(count: Int) {
        let samples = Self.samples(600)
        let folds = FoldAssignment.folds(of: samples, count: count, seed: 1)
        var home: [String: Int] = [:]
        for (sample, fold) in zip(samples, folds) {
            #expect(home.updateValue(fold, forKey: sample.patient) ?? fold == fold)
        }
        func spread(_ isCounted: (FoldAssignment.Sample) -> Bool) -> ClosedRange<Int> {
            var sizes = [Int](repeating: 0, count: count)
            for (sample, fold) in zip(samples, folds) where isCounted(sample) { sizes[fold] += 1 }
            return (sizes.min() ?? 0)...(sizes.max() ?? 0)
        }
        let all = spread { _ in true }
        #expect(all.upperBound - all.lowerBound <= samples.count / count / 50 + 1)
        let positives = spread { $0.area > 0 }
        #expect(positives.upperBound - positives.lowerBound <= 3)
        let large = spread { $0.area > 20_000 }
        // Several deciles together, each of them even to about one.
        #expect(large.upperBound - large.lowerBound <= 5)
    }

    @Test("A pure function of samples and seed; another seed gives other folds")
    func deterministic() {
        let samples = Self.samples(100)
        let folds = FoldAssignment.folds(of: samples, count: 5, seed: 1)
        #expect(FoldAssignment.folds(of: samples, count: 5, seed: 1) == folds)
        #expect(FoldAssignment.folds(of: samples, count: 5, seed: 2) != folds)
        // The order of patients decides nothing; that of samples only between equal areas.
        let reversed = FoldAssignment.folds(of: samples.reversed(), count: 5, seed: 1)
        let groups = { (samples: [FoldAssignment.Sample], folds: [Int]) in
            Dictionary(zip(samples.map(\.patient), folds), uniquingKeysWith: { first, _ in first })
        }
        let unequal = samples.filter { $0.area == 0 }
        #expect(
            groups(unequal, FoldAssignment.folds(of: unequal, count: 5, seed: 1))
                == groups(unequal.reversed(), FoldAssignment.folds(of: unequal.reversed(), count: 5, seed: 1))
        )
        #expect(reversed.count == samples.count)
    }

    @Test("One fold holds all; as many folds as patients hold one each")
    func extremes() {
        let samples = (0..<4).map { FoldAssignment.Sample(patient: "\($0)", area: $0) }
        #expect(FoldAssignment.folds(of: samples, count: 1, seed: 0) == [0, 0, 0, 0])
        #expect(FoldAssignment.folds(of: samples, count: 4, seed: 0).sorted() == [0, 1, 2, 3])
        #expect(FoldAssignment.folds(of: [], count: 3, seed: 0) == [])
    }
}
