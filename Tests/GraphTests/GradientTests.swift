import Graph
import Kernels
import TestSupport
import Testing

/// Every operator's gradient rule against central differences of its own forward pass, by the scalar reference.
@Suite struct GradientTests {
    @Test(arguments: operatorCases, [false, true])
    func `gradients are those of finite differences`(_ operation: OperatorCase, twice: Bool) throws {
        let rig = try Rig(operation.graph(twice: twice), images: operation.images)
        rig.poisonFreedMemory()
        let input = randomValues(operation.images * operation.input.elements, seed: 1)
        let targets = randomMask(operation.images * rig.program.outputShape.pixels, seed: 2)
        for parameter in rig.layout.parameters {
            // Away from symmetric starting points; a variety of scales.
            let values = randomValues(parameter.elementCount, seed: UInt64(100 + parameter.rank))
            let offset: Float = parameter.name.hasSuffix("op.weight") && parameter.shape.count == 1 ? 1 : 0
            _ = rig.layout.import(values.map { $0 * 0.7 + offset }, as: parameter, into: rig.weights.base)
        }
        rig.train(input, targets)
        let gradients = rig.layout.parameters.map { rig.gradient($0) }
        #expect(areFinite(gradients.flatMap { $0 }))
        let largest = gradients.joined().reduce(Float(0)) { max($0, abs($1)) }
        #expect(largest > 1e-4, "the case exercises nothing")

        for (parameter, gradient) in zip(rig.layout.parameters, gradients) {
            let values = rig.layout.export(parameter, from: rig.weights.base)
            var misses = 0
            let checked = sampled(parameter.elementCount)
            for index in checked {
                // A wide step sees less of the rounding, a narrow one crosses fewer kinks; a wrong rule fits neither.
                let fits = [0x1p-7, 0x1p-9, 0x1p-11].contains { step in
                    let difference = centralDifference(rig, parameter, values, index, Float(step), input, targets)
                    return abs(difference - Double(gradient[index])) < 2e-3 * Double(largest) + 2e-5
                }
                if !fits { misses += 1 }
            }
            // Even the narrowest step may cross the kink of a ReLU or of a maximum, once in a while.
            let allowed = hasKinks(operation) ? (checked.count + 11) / 12 : 0
            #expect(misses <= allowed, "\(parameter.name): \(misses) of \(checked.count)")
            _ = rig.layout.import(values, as: parameter, into: rig.weights.base)
        }
    }

    /// Up to 24 indices, spread over the parameter.
    private func sampled(_ count: Int) -> [Int] {
        count <= 24 ? Array(0..<count) : (0..<24).map { $0 * (count - 1) / 23 }
    }

    private func hasKinks(_ operation: OperatorCase) -> Bool {
        operation.name.contains("relu") || operation.kind == "max pooling" || operation.name == "add"
            || operation.name == "pooling_linear" || operation.name == "transposed_3x3"
    }

    private func centralDifference(
        _ rig: Rig,
        _ parameter: ParameterSpec,
        _ values: [Float],
        _ index: Int,
        _ step: Float,
        _ input: [Float],
        _ targets: [Float]
    ) -> Double {
        func loss(_ value: Float) -> Double {
            var moved = values
            moved[index] = value
            _ = rig.layout.import(moved, as: parameter, into: rig.weights.base)
            rig.train(input, targets)
            return rig.loss
        }
        // The step as it is after rounding.
        let upper = values[index] + step
        let lower = values[index] - step
        return (loss(upper) - loss(lower)) / Double(upper - lower)
    }
}
