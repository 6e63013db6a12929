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
private let optimizers: [String: Optimizer] = [
    "sgd": .sgd(momentum: 0, nesterov: false, weightDecay: 0),
    "sgd_momentum": .sgd(momentum: 0.9, nesterov: false, weightDecay: 1e-4),
    "sgd_nesterov": .sgd(momentum: 0.9, nesterov: true, weightDecay: 1e-2),
    "adam": .adam(beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0),
    "adam_decay": .adam(beta1: 0.8, beta2: 0.99, epsilon: 1e-6, weightDecay: 1e-2),
    "adamw": .adamW(beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 1e-1),
]

@Suite struct OptimizerTests {
    @Test(arguments: optimizers.keys.sorted())
    func `twelve steps are PyTorch's`(_ name: String) throws {
        let file = try HDF5File.open(fixture("optimizers.h5"))
        let optimizer = try #require(optimizers[name])
        let start = try file.read("start", as: Float.self).values
        let gradients = try file.read("gradients", as: Float.self).values
        let expected = try file.read(name, as: Double.self).values
        for kernels in tables {
            let vectors = Vectors(start, slots: optimizer.slots.count)
            for step in 0..<12 {
                for i in 0..<start.count { vectors.gradients[i] = gradients[step * start.count + i] }
                let bits = optimizer.step(step + 1, learningRate: 0.01 * Double(step + 1))
                // Two ranges: as two threads would share it.
                for range in [0..<20, 20..<start.count] {
                    bits.apply(
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

    @Test func `division into ranges and kernel tables does not change the bits`() {
        let random = RandomSequence(seed: 5, purpose: .simulation)
        let start = (0..<1000).map { random.uniform($0, in: -1...1) }
        let optimizer = Optimizer.adamW(beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.1)
        let undecayed = [16..<32, 100..<117, 990..<1000]
        var results: [[Float]] = []
        for kernels in tables {
            for cuts in [[0, 1000], [0, 16, 500, 1000], [0, 20, 110, 995, 1000]] {
                let vectors = Vectors(start, slots: 2)
                for step in 1...3 {
                    for i in 0..<1000 { vectors.gradients[i] = random.uniform(1000 * step + i, in: -1...1) }
                    for (lower, upper) in zip(cuts, cuts.dropFirst()) {
                        optimizer.step(step, learningRate: 1e-2, gradientScale: 0.7).apply(
                            to: vectors.weights,
                            gradients: vectors.gradients,
                            slots: vectors.slots,
                            range: lower..<upper,
                            undecayed: undecayed,
                            kernels: kernels
                        )
                    }
                }
                results.append(vectors.values)
            }
        }
        #expect(results.allSatisfy { $0 == results[0] })
    }

    @Test func `excluded parameters do not decay`() {
        let optimizer = Optimizer.adamW(beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.5)
        let vectors = Vectors([Float](repeating: 1, count: 48), slots: 2)
        optimizer.step(1, learningRate: 0.1).apply(
            to: vectors.weights,
            gradients: vectors.gradients,
            slots: vectors.slots,
            range: 0..<48,
            undecayed: [16..<32],
            kernels: .reference
        )
        #expect(vectors.values[0] == 0.95 && vectors.values[16] == 1 && vectors.values[31] == 1)
        #expect(vectors.values[32] == 0.95)
    }

    @Test func `constants out of range are refused`() {
        #expect(throws: OptimizationError.self) {
            try Optimizer.sgd(momentum: 1, nesterov: false, weightDecay: 0).validate()
        }
        #expect(throws: OptimizationError.self) {
            try Optimizer.sgd(momentum: 0, nesterov: true, weightDecay: 0).validate()
        }
        #expect(throws: OptimizationError.self) {
            try Optimizer.adam(beta1: 0.9, beta2: .nan, epsilon: 1e-8, weightDecay: 0).validate()
        }
        for optimizer in optimizers.values { #expect(throws: Never.self) { try optimizer.validate() } }
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
