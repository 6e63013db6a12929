import KernelSelection
import Kernels
import Testing

/// Winograd's error against fp64, beside that of the direct algorithm in `Float`, on the shapes of a U-Net with the
/// encoder ResNet34 at 256².
@Suite struct WinogradAccuracyTests {
    struct Shape: CustomStringConvertible, Sendable {
        var inputs: Int
        var outputs: Int
        var size: Int

        var description: String { "\(inputs) → \(outputs) at \(size)²" }

        init(_ inputs: Int, _ outputs: Int, _ size: Int) {
            self.inputs = inputs
            self.outputs = outputs
            self.size = size
        }
    }

    static let shapes = [
        Shape(64, 64, 64), Shape(128, 128, 32), Shape(256, 256, 16), Shape(512, 512, 8), Shape(768, 256, 16),
        Shape(384, 128, 32), Shape(192, 64, 64), Shape(128, 32, 128), Shape(32, 32, 128), Shape(32, 16, 256),
        Shape(16, 16, 256),
    ]

    /// The errors of one pass at some places: root mean squares over that of the exact values.
    struct Errors {
        private var winograd = 0.0
        private var direct = 0.0
        private var exact = 0.0

        mutating func add(winograd: Float, direct: Float, exact: Double) {
            self.winograd += (Double(winograd) - exact) * (Double(winograd) - exact)
            self.direct += (Double(direct) - exact) * (Double(direct) - exact)
            self.exact += exact * exact
        }

        var relative: (winograd: Double, direct: Double) {
            ((winograd / exact).squareRoot(), (direct / exact).squareRoot())
        }
    }

    @Test(.enabled(if: KernelVariant.best != .reference), arguments: shapes)
    func `Winograd stays near the exact values`(_ shape: Shape) {
        let g = ConvolutionGeometry(
            inputChannels: shape.inputs,
            outputChannels: shape.outputs,
            kernelHeight: 3,
            kernelWidth: 3,
            padding: 1
        )
        #expect(g.usesWinograd(for: .float32))
        let table = KernelVariant.best.table
        let size = shape.size
        let x = TestTensor(1, size, size, shape.inputs)
        let dy = TestTensor(1, size, size, shape.outputs)
        var weights = [Float](repeating: 0, count: g.storageCount)
        var state: UInt64 = 1
        func next() -> Float {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Float(Int32(truncatingIfNeeded: state >> 32)) * 0x1p-31
        }
        for index in 0..<x.view.pixels * shape.inputs { x.view.floats[index] = next() }
        for index in 0..<dy.view.pixels * shape.outputs { dy.view.floats[index] = next() }
        for index in weights.indices { weights[index] = next() }
        func element(_ tensor: TestTensor, _ row: Int, _ column: Int, _ channel: Int) -> Float {
            let inside = row >= 0 && row < size && column >= 0 && column < size
            return inside ? tensor.view.floats[(row * size + column) * tensor.view.channels + channel] : 0
        }

        let y = TestTensor(1, size, size, shape.outputs)
        let dx = TestTensor(1, size, size, shape.inputs)
        var dw = [Float](repeating: 0, count: g.storageCount)
        let forward = ScratchMemory(g, .forward, x.view)
        let backward = ScratchMemory(g, .backwardInput, x.view)
        let gradient = ScratchMemory(g, .backwardWeights, x.view)
        table.convolution(x.view, weights, nil, y.view, g, false, forward.base)
        table.convolutionBackwardInput(dy.view, weights, nil, dx.view, g, false, false, backward.base)
        table.convolutionBackwardWeights(x.view, dy.view, &dw, g, gradient.base)

        var errors = [Errors(), Errors(), Errors()]
        for sample in 0..<300 {
            func draw(below limit: Int) -> Int {
                min(limit - 1, Int(abs(next()) * Float(limit)))
            }
            let (row, column) = (draw(below: size), draw(below: size))
            let (input, output) = (draw(below: shape.inputs), draw(below: shape.outputs))
            var direct: Float = 0
            var exact = 0.0
            func add(_ a: Float, _ b: Float) {
                direct.addProduct(a, b)
                exact += Double(a) * Double(b)
            }
            func finish(_ pass: Int, _ winograd: Float) {
                errors[pass].add(winograd: winograd, direct: direct, exact: exact)
                (direct, exact) = (0, 0)
            }
            for tap in 0..<9 {
                for k in 0..<shape.inputs {
                    let index = g.storageIndex(output: output, input: k, ky: tap / 3, kx: tap % 3)
                    add(element(x, row + tap / 3 - 1, column + tap % 3 - 1, k), weights[index])
                }
            }
            finish(0, element(y, row, column, output))
            for tap in 0..<9 {
                for k in 0..<shape.outputs {
                    let index = g.storageIndex(output: k, input: input, ky: tap / 3, kx: tap % 3)
                    add(element(dy, row + 1 - tap / 3, column + 1 - tap % 3, k), weights[index])
                }
            }
            finish(1, element(dx, row, column, input))
            if sample < 60 {
                let (ky, kx) = (row % 3, column % 3)
                var total: Float = 0
                for r in 0..<size {
                    for c in 0..<size { add(element(x, r + ky - 1, c + kx - 1, input), element(dy, r, c, output)) }
                    // In runs, as the direct algorithm adds.
                    if (r + 1) % g.rowsPerRun(outputWidth: size) == 0 || r == size - 1 {
                        total += direct
                        direct = 0
                    }
                }
                direct = total
                finish(2, dw[g.storageIndex(output: output, input: input, ky: ky, kx: kx)])
            }
        }
        for (pass, error) in zip(["forward", "to the input", "to the weights"], errors) {
            let (winograd, direct) = error.relative
            print("\(shape), \(pass): Winograd \(winograd), direct \(direct)")
            // Sums of products are shorter than the direct ones; those over tiles are not, and the transforms add to both.
            #expect(winograd < (pass == "to the weights" ? 2 : 1) * direct)
            #expect(winograd < 1.2e-6)
        }
    }
}
