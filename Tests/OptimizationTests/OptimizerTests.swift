import HDF5IO
import KernelSelection
import Kernels
import Numerics
import Optimization
import Testing

func fixture(_ name: String) -> String {
    var parts = #filePath.split(separator: "/", omittingEmptySubsequences: false)
    parts.removeLast(2)
    return parts.joined(separator: "/") + "/Fixtures/" + name
}

/// Flat vectors in memory of their own.
final class Vectors {
    let count: Int
    let weights: UnsafeMutablePointer<Float>
    let gradients: UnsafeMutablePointer<Float>
    let slots: [UnsafeMutablePointer<Float>]

    init(_ weights: [Float], slots: Int) {
        count = weights.count
        self.weights = .allocate(capacity: count)
        self.weights.initialize(from: weights, count: count)
        gradients = .allocate(capacity: count)
        gradients.initialize(repeating: 0, count: count)
        self.slots = (0..<slots).map { _ in
            let slot = UnsafeMutablePointer<Float>.allocate(capacity: weights.count)
            slot.initialize(repeating: 0, count: weights.count)
            return slot
        }
    }

    deinit {
        weights.deallocate()
        gradients.deallocate()
        for slot in slots { slot.deallocate() }
    }

    var values: [Float] { Array(UnsafeBufferPointer(start: weights, count: count)) }
}

let tables: [KernelTable] = KernelVariant.allCases.filter(\.isSupported).map(\.table)

/// The optimizers of `Tests/Fixtures/optimizers.py`, under its names.
private let optimizers: [String: any Optimizer] = [
    "sgd": make(SGD.self) { $0.momentum = 0 },
    "sgd_momentum": make(SGD.self) { $0.weightDecay = 1e-4 },
    "sgd_nesterov": make(SGD.self) {
        $0.nesterov = true
        $0.weightDecay = 1e-2
    },
    "adam": make(Adam.self) { _ in },
    "adam_decay": make(Adam.self) {
        ($0.beta1, $0.beta2, $0.epsilon, $0.weightDecay) = (0.8, 0.99, 1e-6, 1e-2)
    },
    "adamw": make(AdamW.self) { $0.weightDecay = 1e-1 },
    "radam": make(RAdam.self) { $0.weightDecay = 1e-1 },
    "radam_short": make(RAdam.self) { ($0.beta1, $0.beta2, $0.epsilon) = (0.8, 0.9, 1e-3) },
]

private func make(
    _ family: any Optimizer.Type,
    _ change: (inout OptimizerConstants) -> Void
) -> any Optimizer {
    var constants = OptimizerConstants()
    change(&constants)
    return family.init(constants)
}

extension Optimizer {
    /// An update with the words of its step, as a worker has it.
    fileprivate func step(_ number: Int, rate: Double, scale: Float = 1) throws -> any OptimizerUpdate {
        try #require(update(words: words(step: number, rate: rate), scale: scale))
    }
}

@Suite struct OptimizerTests {
    @Test func `every optimizer has golden values`() {
        let tested = Set(optimizers.values.map { type(of: $0).name })
        #expect(tested == Set(optimizerFamilies.map { $0.name }))
        #expect(Set(optimizerFamilies.map { $0.name }).count == optimizerFamilies.count)
    }

    @Test(arguments: optimizers.keys.sorted())
    func `twelve steps are PyTorch's`(_ name: String) throws {
        let optimizer = try #require(optimizers[name])
        try expectGolden(name, slots: optimizer.slots.count) { step, rate in
            try optimizer.step(step, rate: rate)
        }
    }

    @Test func `groups have rates and decays of their own`() throws {
        var constants = OptimizerConstants()
        constants.weightDecay = 0.1
        let groups = try ParameterGroups(
            AdamW.self,
            constants,
            parameters: [
                (end: 10, factors: .init(decay: 0)), (end: 20, factors: .init(rate: 0.1)),
                (end: 21, factors: .init(rate: 0.1)), (end: 37, factors: .init(rate: 0.1, decay: 0)),
            ]
        )
        // One more than the three that have parameters: the optimizer as it is configured.
        #expect(groups.words(step: 1, rate: 1).count == 4 * 3)
        #expect(groups.slots == ["exp_avg", "exp_avg_sq"])
        try expectGolden("groups", slots: 2) { step, rate in
            try #require(groups.update(words: groups.words(step: step, rate: rate), scale: 1))
        }
    }

    /// Compares twelve steps with those of the fixture, at its rates.
    private func expectGolden(
        _ name: String,
        slots: Int,
        _ update: (_ step: Int, _ rate: Double) throws -> any OptimizerUpdate
    ) throws {
        let file = try HDF5File.open(fixture("optimizers.h5"))
        let start = try file.read("start", as: Float.self).values
        let gradients = try file.read("gradients", as: Float.self).values
        let expected = try file.read(name, as: Double.self).values
        for kernels in tables {
            let vectors = Vectors(start, slots: slots)
            for step in 0..<12 {
                for i in 0..<start.count { vectors.gradients[i] = gradients[step * start.count + i] }
                let update = try update(step + 1, 0.01 * Double(step + 1))
                // Two ranges: as two threads would share it.
                for range in [0..<20, 20..<start.count] {
                    update.apply(
                        to: vectors.weights,
                        gradients: vectors.gradients,
                        slots: vectors.slots,
                        range: range,
                        kernels: kernels
                    )
                }
                let worst = zip(vectors.values, expected[step * start.count..<(step + 1) * start.count])
                    .reduce(0.0) { max($0, abs(Double($1.0) - $1.1)) }
                #expect(worst < 2e-6, "step \(step + 1), \(kernels.name)")
            }
        }
    }

    @Test func `division into ranges and kernel tables does not change the bits`() throws {
        let random = RandomSequence(seed: 5, purpose: .simulation)
        let start = (0..<1000).map { random.uniform($0, in: -1...1) }
        var constants = OptimizerConstants()
        constants.weightDecay = 0.1
        let plain = ParameterGroups.Factors()
        let undecayed = ParameterGroups.Factors(decay: 0)
        let optimizer = try ParameterGroups(
            AdamW.self,
            constants,
            parameters: [
                (16, plain), (32, undecayed), (100, plain), (117, undecayed), (990, plain), (1000, undecayed),
            ]
        )
        var results: [[Float]] = []
        for kernels in tables {
            for cuts in [[0, 1000], [0, 16, 500, 1000], [0, 20, 110, 995, 1000]] {
                let vectors = Vectors(start, slots: 2)
                for step in 1...3 {
                    for i in 0..<1000 { vectors.gradients[i] = random.uniform(1000 * step + i, in: -1...1) }
                    let update = try #require(
                        optimizer.update(words: optimizer.words(step: step, rate: 1e-2), scale: 0.7)
                    )
                    for (lower, upper) in zip(cuts, cuts.dropFirst()) {
                        update.apply(
                            to: vectors.weights,
                            gradients: vectors.gradients,
                            slots: vectors.slots,
                            range: lower..<upper,
                            kernels: kernels
                        )
                    }
                }
                results.append(vectors.values)
            }
        }
        #expect(results.allSatisfy { $0 == results[0] })
    }

    @Test func `parameters of a group do not decay`() throws {
        var constants = OptimizerConstants()
        constants.weightDecay = 0.5
        let optimizer = try ParameterGroups(
            AdamW.self,
            constants,
            parameters: [(16, .init()), (32, .init(decay: 0)), (48, .init())]
        )
        let vectors = Vectors([Float](repeating: 1, count: 48), slots: 2)
        try #require(optimizer.update(words: optimizer.words(step: 1, rate: 0.1), scale: 1)).apply(
            to: vectors.weights,
            gradients: vectors.gradients,
            slots: vectors.slots,
            range: 0..<48,
            kernels: .reference
        )
        #expect(vectors.values[0] == 0.95 && vectors.values[16] == 1 && vectors.values[31] == 1)
        #expect(vectors.values[32] == 0.95)
    }

    /// The words come from another process: no count of them may trap or change a weight.
    @Test(arguments: optimizers.keys.sorted())
    func `words of another count are no update`(_ name: String) throws {
        let optimizer = try #require(optimizers[name])
        let words = optimizer.words(step: 1, rate: 0.1)
        for other in [[], Array(words.dropLast()), words + [0], words + words] {
            #expect(optimizer.update(words: other, scale: 1) == nil)
        }
        let groups = try ParameterGroups(
            type(of: optimizer),
            OptimizerConstants(),
            parameters: [(16, .init()), (32, .init(rate: 0.5))]
        )
        let all = groups.words(step: 1, rate: 0.1)
        #expect(all.count == 2 * words.count)
        for other in [[], Array(all.dropLast()), all + [0], words, all + words, all + all] {
            #expect(groups.update(words: other, scale: 1) == nil)
        }
    }

    /// A second moment beyond the largest `Float` makes no NaN, as it makes none in Adam.
    @Test func `an early step of RAdam takes huge gradients`() throws {
        let optimizer = make(RAdam.self) { _ in }
        let vectors = Vectors([1, 1], slots: 2)
        (vectors.gradients[0], vectors.gradients[1]) = (1e25, 1)
        try optimizer.step(1, rate: 0.5).apply(
            to: vectors.weights,
            gradients: vectors.gradients,
            slots: vectors.slots,
            range: 0..<2,
            kernels: .reference
        )
        #expect(vectors.values == [1, 0.5])
    }

    @Test func `constants out of range are refused`() throws {
        #expect(throws: OptimizationError.self) { try make(SGD.self) { $0.momentum = 1 }.validate() }
        #expect(throws: OptimizationError.self) {
            try make(SGD.self) { ($0.momentum, $0.nesterov) = (0, true) }.validate()
        }
        #expect(throws: OptimizationError.self) { try make(Adam.self) { $0.beta2 = .nan }.validate() }
        #expect(throws: OptimizationError.self) { try make(RAdam.self) { $0.weightDecay = -1 }.validate() }
        for optimizer in optimizers.values { #expect(throws: Never.self) { try optimizer.validate() } }
        let many = (1...100).map { (end: 16 * $0, factors: ParameterGroups.Factors(rate: Double($0))) }
        #expect(throws: OptimizationError.self) {
            _ = try ParameterGroups(SGD.self, OptimizerConstants(), parameters: many)
        }
    }
}

@Suite struct GradientNormTests {
    @Test func `the norm adds fixed blocks in order`() {
        let count = 2 * GradientNorm.blockSize + 77
        let random = RandomSequence(seed: 8, purpose: .simulation)
        let vectors = Vectors((0..<count).map { random.uniform($0, in: -1...1) }, slots: 0)
        let exact = vectors.values.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
        var norms: Set<Double> = []
        for kernels in tables {
            let whole = GradientNorm.norm(vectors.weights, count: count, kernels: kernels)
            let backwards = (0..<3).reversed().map {
                GradientNorm.sumOfSquares(vectors.weights, count: count, block: $0, kernels: kernels)
            }
            norms.insert(whole)
            norms.insert(GradientNorm.norm(of: backwards.reversed()))
        }
        #expect(norms.count == 1)
        #expect(abs((norms.first ?? 0) - exact) < 1e-9 * exact)
    }

    @Test func `clipping is PyTorch's formula`() {
        #expect(GradientNorm.clipScale(norm: 0.5, maximum: 1) == 1)
        #expect(GradientNorm.clipScale(norm: 4, maximum: 1) == Float(1 / (4 + 1e-6)))
        #expect(GradientNorm.clipScale(norm: 4, maximum: nil) == 1)
        #expect(GradientNorm.clipScale(norm: 1, maximum: 1) == Float(1 / (1 + 1e-6)))
        #expect(GradientNorm.clipScale(norm: .nan, maximum: 1).isNaN)
    }
}

@Suite struct WeightAverageTests {
    @Test func `the average moves by the weight`() throws {
        let average = Vectors([Float](repeating: 1, count: 40), slots: 0)
        let weights = Vectors([Float](repeating: 3, count: 40), slots: 0)
        let rule = WeightAverage(decay: 0.75, warmsUp: false)
        WeightAverage.update(
            average.weights,
            towards: weights.weights,
            weight: rule.weight(1),
            range: 8..<40,
            kernels: .reference
        )
        #expect(average.values == [Float](repeating: 1, count: 8) + [Float](repeating: 1.5, count: 32))
        #expect(WeightAverage(decay: 0.999).weight(1) == Float(1 - 2.0 / 11))
        #expect(WeightAverage(decay: 0.999).weight(1_000_000) == Float(1 - 0.999))
        #expect(throws: OptimizationError.self) { try WeightAverage(decay: 1).validate() }
    }
}
