import Kernels
import Synchronization

/// A table whose convolutions are direct where those of `table` are Winograd's, and how many there were.
///
/// Which is taken follows from the shape, so the shape is another: 4×4 taps, the last row and column zero, behind as much
/// more padding. The results are the same but for their rounding.
func directTable(_ table: KernelTable) -> (table: KernelTable, count: Counter) {
    let count = Counter()
    var direct = table
    direct.convolution = { x, weights, bias, y, geometry, relu, scratch in
        guard geometry.usesWinograd(for: .float32) else {
            return table.convolution(x, weights, bias, y, geometry, relu, scratch)
        }
        count.add()
        let wide = geometry.widened
        wide.withScratch(.forward, x) { own in
            table.convolution(x, geometry.widening(weights), bias, y, wide, relu, own)
        }
    }
    direct.convolutionBackwardInput = { dy, weights, bias, dx, geometry, relu, accumulate, scratch in
        guard geometry.usesWinograd(for: .float32) else {
            return table.convolutionBackwardInput(dy, weights, bias, dx, geometry, relu, accumulate, scratch)
        }
        count.add()
        let wide = geometry.widened
        wide.withScratch(.backwardInput, dx) { own in
            table.convolutionBackwardInput(dy, geometry.widening(weights), bias, dx, wide, relu, accumulate, own)
        }
    }
    direct.convolutionBackwardWeights = { x, dy, dw, geometry, scratch in
        guard geometry.usesWinograd(for: .float32) else {
            return table.convolutionBackwardWeights(x, dy, dw, geometry, scratch)
        }
        count.add()
        let wide = geometry.widened
        var gradient = [Float](repeating: 0, count: wide.storageCount)
        wide.withScratch(.backwardWeights, x) { own in
            table.convolutionBackwardWeights(x, dy, &gradient, wide, own)
        }
        gradient.withUnsafeBufferPointer { gradient in
            guard let base = gradient.baseAddress else { return }
            geometry.forEachTap { narrow, wide, length in (dw + narrow).update(from: base + wide, count: length) }
        }
    }
    return (direct, count)
}

/// A count that kernels on any thread share.
final class Counter: Sendable {
    private let count = Mutex(0)

    var value: Int { count.withLock { $0 } }

    func add() { count.withLock { $0 += 1 } }
}

extension ConvolutionGeometry {
    /// The same convolution with a row and a column of taps more, which are to be zero.
    fileprivate var widened: ConvolutionGeometry {
        ConvolutionGeometry(
            inputChannels: inputChannels,
            outputChannels: outputChannels,
            kernelHeight: kernelHeight + 1,
            kernelWidth: kernelWidth + 1,
            padding: padding,
            paddingAfter: paddingAfter + 1
        )
    }

    /// Calls `body` with the offsets of each tap's weights in this one's storage and in the widened one's, and their count.
    fileprivate func forEachTap(_ body: (_ narrow: Int, _ wide: Int, _ length: Int) -> Void) {
        let wide = widened
        for output in Swift.stride(from: 0, to: outputChannels, by: Self.lanes) {
            for ky in 0..<kernelHeight {
                for kx in 0..<kernelWidth {
                    body(
                        storageIndex(output: output, input: 0, ky: ky, kx: kx),
                        wide.storageIndex(output: output, input: 0, ky: ky, kx: kx),
                        inputChannels * Self.lanes
                    )
                }
            }
        }
    }

    fileprivate func widening(_ weights: UnsafePointer<Float>) -> [Float] {
        var result = [Float](repeating: 0, count: widened.storageCount)
        result.withUnsafeMutableBufferPointer { result in
            guard let base = result.baseAddress else { return }
            forEachTap { narrow, wide, length in (base + wide).update(from: weights + narrow, count: length) }
        }
        return result
    }

    fileprivate func withScratch(_ pass: ConvolutionPass, _ x: TensorView, _ body: (UnsafeMutableRawPointer) -> Void) {
        let bytes = scratchBytes(pass, for: .float32, images: x.images, height: x.height, width: x.width)
        let scratch = UnsafeMutableRawPointer.allocate(byteCount: max(64, bytes), alignment: 64)
        body(scratch)
        scratch.deallocate()
    }
}
