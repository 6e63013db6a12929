import KernelSelection
import Kernels
import Testing

/// The error of Winograd over bfloat16 against fp64 on values that were never rounded, beside that of the direct
/// algorithm over bfloat16: what both lose to their elements, and Winograd to its transforms besides.
@Suite struct BFloat16AccuracyTests {
    private func rounded(_ value: Float) -> Float { BFloat16.float(BFloat16.bits(value)) }

    @Test(.enabled(if: KernelVariant.best != .reference), arguments: WinogradAccuracyTests.shapes.dropLast())
    func `Winograd over bfloat16 stays near the exact values`(_ shape: WinogradAccuracyTests.Shape) {
        let g = ConvolutionGeometry(
            inputChannels: shape.inputs,
            outputChannels: shape.outputs,
            kernelHeight: 3,
            kernelWidth: 3,
            padding: 1
        )
        #expect(g.usesWinograd(for: .bfloat16))
        let table = KernelVariant.best.bfloat16Table
        let size = shape.size
        var state: UInt64 = 1
        func next() -> Float {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Float(Int32(truncatingIfNeeded: state >> 32)) * 0x1p-31
        }
        // As behind a ReLU: half of them are zeros.
        let inputs = (0..<size * size * shape.inputs).map { _ in max(0, next()) }
        let gradients = (0..<size * size * shape.outputs).map { _ in next() }
        let weights = (0..<g.storageCount).map { _ in next() }
        let x = FormatTensor(1, size, size, shape.inputs, .bfloat16)
        let dy = FormatTensor(1, size, size, shape.outputs, .bfloat16)
        for (index, value) in inputs.enumerated() { x[index / shape.inputs, index % shape.inputs] = value }
        for (index, value) in gradients.enumerated() { dy[index / shape.outputs, index % shape.outputs] = value }
        func element(_ values: [Float], _ channels: Int, _ row: Int, _ column: Int, _ channel: Int) -> Float {
            let inside = row >= 0 && row < size && column >= 0 && column < size
            return inside ? values[(row * size + column) * channels + channel] : 0
        }

        let y = FormatTensor(1, size, size, shape.outputs, .bfloat16)
        let dx = FormatTensor(1, size, size, shape.inputs, .bfloat16)
        var dw = [Float](repeating: 0, count: g.storageCount)
        let bytes = [ConvolutionPass.forward, .backwardInput, .backwardWeights].map {
            g.scratchBytes($0, for: .bfloat16, images: 1, height: size, width: size)
        }
        let scratch = UnsafeMutableRawPointer.allocate(byteCount: bytes.max() ?? 0, alignment: 64)
        defer { scratch.deallocate() }
        table.convolution(x.view, weights, nil, y.view, g, false, scratch)
        table.convolutionBackwardInput(dy.view, weights, nil, dx.view, g, false, false, scratch)
        table.convolutionBackwardWeights(x.view, dy.view, &dw, g, scratch)

        var errors = [WinogradAccuracyTests.Errors](repeating: .init(), count: 3)
        for sample in 0..<300 {
            func draw(below limit: Int) -> Int { min(limit - 1, Int(abs(next()) * Float(limit))) }
            let (row, column) = (draw(below: size), draw(below: size))
            let (input, output) = (draw(below: shape.inputs), draw(below: shape.outputs))
            // Sums of `Float` are as good as exact here.
            var direct = 0.0
            var exact = 0.0
            func add(_ a: Float, _ b: Float) {
                direct += Double(rounded(a)) * Double(rounded(b))
                exact += Double(a) * Double(b)
            }
            func finish(_ pass: Int, _ winograd: Float, _ round: (Float) -> Float) {
                errors[pass].add(winograd: winograd, direct: round(Float(direct)), exact: exact)
                (direct, exact) = (0, 0)
            }
            for tap in 0..<9 {
                for k in 0..<shape.inputs {
                    let index = g.storageIndex(output: output, input: k, ky: tap / 3, kx: tap % 3)
                    add(element(inputs, shape.inputs, row + tap / 3 - 1, column + tap % 3 - 1, k), weights[index])
                }
            }
            finish(0, y[row * size + column, output], rounded)
            for tap in 0..<9 {
                for k in 0..<shape.outputs {
                    let index = g.storageIndex(output: k, input: input, ky: tap / 3, kx: tap % 3)
                    add(element(gradients, shape.outputs, row + 1 - tap / 3, column + 1 - tap % 3, k), weights[index])
                }
            }
            finish(1, dx[row * size + column, input], rounded)
            if sample < 60 {
                let (ky, kx) = (row % 3, column % 3)
                for r in 0..<size {
                    for c in 0..<size {
                        add(
                            element(inputs, shape.inputs, r + ky - 1, c + kx - 1, input),
                            element(gradients, shape.outputs, r, c, output)
                        )
                    }
                }
                finish(2, dw[g.storageIndex(output: output, input: input, ky: ky, kx: kx)]) { $0 }
            }
        }
        for (pass, error) in zip(["forward", "to the input", "to the weights"], errors) {
            let (winograd, direct) = error.relative
            print("bfloat16, \(shape), \(pass): Winograd \(winograd), direct \(direct)")
            #expect(winograd < (pass == "to the weights" ? 2.5 : 2) * direct)
            #expect(winograd < 6e-3)
        }
    }
}
