import Kernels
import Numerics

extension ParameterLayout {
    // MARK: Checkpoints

    /// The parameter in PyTorch's shape, row-major, out of a flat vector of weights or of an optimizer's slot.
    package func export(_ parameter: ParameterSpec, from vector: UnsafePointer<Float>) -> [Float] {
        let source = vector + parameter.offset
        switch parameter.storage {
        case .vector(let count):
            return Array(UnsafeBufferPointer(start: source, count: count))
        case .convolution(let geometry):
            var values = [Float](repeating: 0, count: parameter.elementCount)
            Self.eachWeight(geometry) { index, storage in values[index] = source[storage] }
            return values
        }
    }

    /// Writes a parameter given in PyTorch's shape, row-major, into a flat vector; padding becomes 0.
    ///
    /// Returns false, and writes nothing, where the count is not the parameter's.
    package func `import`(
        _ values: [Float],
        as parameter: ParameterSpec,
        into vector: UnsafeMutablePointer<Float>
    ) -> Bool {
        guard values.count == parameter.elementCount else { return false }
        let destination = vector + parameter.offset
        destination.update(repeating: 0, count: padded(parameter.count))
        switch parameter.storage {
        case .vector:
            for (index, value) in values.enumerated() { destination[index] = value }
        case .convolution(let geometry):
            Self.eachWeight(geometry) { index, storage in destination[storage] = values[index] }
        }
        return true
    }

    /// Pairs PyTorch's row-major index of each weight with its index in the storage layout.
    private static func eachWeight(_ geometry: ConvolutionGeometry, _ body: (_ index: Int, _ storage: Int) -> Void) {
        let (inputs, taps) = (geometry.inputsPerGroup, geometry.taps)
        // From one tap to the next in the storage layout; `ConvolutionGeometry.storageIndex`, counted on.
        let stride = inputs * ConvolutionGeometry.lanes
        var index = 0
        for output in 0..<geometry.outputChannels {
            let first = geometry.storageIndex(output: output, input: 0, ky: 0, kx: 0)
            for input in 0..<inputs {
                var storage = first + input * ConvolutionGeometry.lanes
                for _ in 0..<taps {
                    body(index, storage)
                    index += 1
                    storage += stride
                }
            }
        }
    }

    // MARK: The start of a run

    /// Draws all parameters and sets all buffers to their initial values.
    ///
    /// Element i of PyTorch's shape of the parameter with rank p is (2u - 1) · bound, u the uniform number i of the
    /// sequence (`seed`, initialization, 0, p): exact but for one rounding, so that any implementation of Philox
    /// gives the same bits. `Tests/Fixtures/philox.py` is one.
    package func initialize(
        seed: UInt64,
        weights: UnsafeMutablePointer<Float>,
        buffers: UnsafeMutablePointer<Float>
    ) {
        weights.update(repeating: 0, count: weightCount)
        for parameter in parameters {
            _ = `import`(Self.initialValues(of: parameter, seed: seed), as: parameter, into: weights)
        }
        buffers.update(repeating: 0, count: bufferCount)
        for buffer in self.buffers {
            (buffers + buffer.offset).update(repeating: buffer.initial, count: buffer.count)
        }
    }

    /// The initial values of a parameter in PyTorch's shape, row-major.
    package static func initialValues(of parameter: ParameterSpec, seed: UInt64) -> [Float] {
        let count = parameter.elementCount
        switch parameter.initialization {
        case .constant(let value):
            return [Float](repeating: value, count: count)
        case .uniform(let bound):
            let sequence = RandomSequence(
                seed: seed,
                purpose: .initialization,
                epoch: 0,
                position: UInt32(parameter.rank)
            )
            var values: [Float] = []
            values.reserveCapacity(count)
            for block in 0..<(count + 3) / 4 {
                let words = sequence.words(block: block)
                for lane in 0..<min(4, count - 4 * block) {
                    let uniform = Float(words[lane] >> 8) * 0x1p-24
                    values.append((2 * uniform - 1) * bound)
                }
            }
            return values
        }
    }

    // MARK: After a step's sum

    /// Moves the running statistics: running ← (1 - m) · running + m · Σ, in `Double`, rounded once.
    ///
    /// `sums` is the step's flat vector of sums. Pure function of its arguments: every worker gets the same bits.
    package func applyStatistics(_ sums: UnsafePointer<Float>, to buffers: UnsafeMutablePointer<Float>) {
        for layer in statistics {
            move(buffers + layer.runningMean, sums + layer.mean, layer.channels, layer.momentum)
            move(buffers + layer.runningVariance, sums + layer.variance, layer.channels, layer.momentum)
        }
    }

    private func move(
        _ running: UnsafeMutablePointer<Float>,
        _ value: UnsafePointer<Float>,
        _ count: Int,
        _ momentum: Double
    ) {
        for c in 0..<count {
            running[c] = Float((1 - momentum) * Double(running[c]) + momentum * Double(value[c]))
        }
    }

    /// The loss and its parts out of the step's sums: means over the global batch.
    package func lossValues(_ sums: UnsafePointer<Float>) -> [(name: String, value: Double)] {
        losses.map { ($0.name, Double(sums[$0.offset]) + Double(sums[$0.offset + 1])) }
    }
}
