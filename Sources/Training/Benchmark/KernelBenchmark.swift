import Foundation
package import Kernels

/// Times kernels over the shapes of the networks, beside the limit that binds them.
package struct KernelBenchmark {
    /// One kernel on one shape.
    package struct Row: Codable, Sendable {
        package var kernel: String
        package var shape: String
        /// Median of the repetitions.
        package var medianSeconds: Double
        package var minimumSeconds: Double
        /// Floating-point operations, a fused multiply-add counted as two; 0 for kernels that move memory.
        package var gflops: Double
        /// Bytes read and written once each, per second.
        package var gigabytesPerSecond: Double
        /// Of the limit that binds it: arithmetic or memory.
        package var fractionOfLimit: Double

        enum CodingKeys: String, CodingKey {
            case kernel, shape, gflops
            case medianSeconds = "median_s"
            case minimumSeconds = "min_s"
            case gigabytesPerSecond = "gb_s"
            case fractionOfLimit = "fraction_of_limit"
        }
    }

    /// What one core can do, measured on this machine.
    package struct Limits: Codable, Sendable {
        /// Fused multiply-adds in registers.
        package var fmaGflops: Double
        /// A copy of 256 MiB: bytes read and written.
        package var copyGigabytesPerSecond: Double

        enum CodingKeys: String, CodingKey {
            case fmaGflops = "fma_limit_gflops"
            case copyGigabytesPerSecond = "copy_limit_gb_s"
        }
    }

    private let table: KernelTable
    private let repetitions: Int

    package init(table: KernelTable, repetitions: Int = 7) {
        self.table = table
        self.repetitions = repetitions
    }

    /// Measures the limits: the best of several short runs, since a limit is what is reached undisturbed.
    package func limits() -> Limits {
        Limits(fmaGflops: fmaLimit(), copyGigabytesPerSecond: copyLimit())
    }

    /// GFLOP/s of fused multiply-adds in registers on the calling thread.
    package func fmaLimit() -> Double {
        let iterations = 4_000_000
        let seconds = time { _ = table.fmaRounds(iterations) }.minimum
        return 384 * Double(iterations) / seconds / 1e9
    }

    private func copyLimit() -> Double {
        let count = 32 << 20
        let memory = Memory(count: 2 * count)
        let view = { (base: UnsafeMutablePointer<Float>) in
            TensorView(base, images: 1, height: 1, width: count / 64, channels: 64)
        }
        let seconds = time { table.copy(view(memory.base), view(memory.base + count), false) }.minimum
        return 8 * Double(count) / seconds / 1e9
    }

    /// A convolution with its three passes; `images` × `size`² inputs.
    package func convolution(_ g: ConvolutionGeometry, images: Int, size: Int, limits: Limits) -> [Row] {
        let out = g.outputHeight(size)
        let x = Memory(count: images * size * size * g.inputChannels)
        let y = Memory(count: images * out * out * g.outputChannels)
        let weights = Memory(count: g.storageCount)
        let passes = [ConvolutionPass.forward, .backwardInput, .backwardWeights]
        let needed = passes.map {
            g.scratchBytes($0, for: table.format, images: images, height: size, width: size)
        }
        let memory = Memory(count: (needed.max() ?? 0) / 4 + 16)
        let scratch = UnsafeMutableRawPointer(memory.base)
        defer { withExtendedLifetime((x, y, weights, memory)) {} }
        let xView = TensorView(x.base, images: images, height: size, width: size, channels: g.inputChannels)
        let yView = TensorView(y.base, images: images, height: out, width: out, channels: g.outputChannels)
        let operations = 2 * Double(images * out * out * g.outputChannels) * Double(g.taps * g.inputChannels)
        let bytes = 4 * Double(x.count + y.count + weights.count)
        let shape =
            "\(images)x\(size)x\(size)x\(g.inputChannels) -> \(g.outputChannels), "
            + "\(g.kernelHeight)x\(g.kernelWidth) s\(g.stride)"
        return [
            row("convolution", shape, operations, bytes, limits) {
                table.convolution(xView, weights.base, nil, yView, g, false, scratch)
            },
            row("convolution_backward_input", shape, operations, bytes, limits) {
                table.convolutionBackwardInput(yView, weights.base, nil, xView, g, false, false, scratch)
            },
            row("convolution_backward_weights", shape, operations, bytes, limits) {
                table.convolutionBackwardWeights(xView, yView, weights.base, g, scratch)
            },
        ]
    }

    /// Normalisation, resampling and optimizer kernels: what streams memory.
    package func streaming(images: Int, size: Int, channels: Int, limits: Limits) -> [Row] {
        let count = images * size * size * channels
        let memory = (0..<5).map { _ in Memory(count: count) }
        let views = memory.map {
            TensorView($0.base, images: images, height: size, width: size, channels: channels)
        }
        let half = TensorView(
            memory[1].base,
            images: images,
            height: size / 2,
            width: size / 2,
            channels: channels
        )
        let vectors = (0..<5).map { _ in Memory(count: channels) }
        let taps = UnsafeMutablePointer<UInt8>.allocate(capacity: count + 16)
        defer { taps.deallocate() }
        let shape = "\(images)x\(size)x\(size)x\(channels)"
        let unit = 4 * Double(count)
        let window = PoolingWindow(size: 3, stride: 2, padding: 1)
        let step = AdamStep(
            stepSize: 1e-3,
            oneMinusBeta1: 0.1,
            beta2: 0.999,
            oneMinusBeta2: 1e-3,
            epsilon: 1e-8,
            rootCorrection2: 1,
            weightDecay: 0,
            decay: 1,
            gradientScale: 1
        )
        return [
            row("batch_statistics", shape, 0, unit, limits) {
                table.batchStatistics(views[0], vectors[0].base, vectors[1].base)
            },
            row("scale_shift_relu", shape, 0, 2 * unit, limits) {
                table.scaleShift(views[0], vectors[0].base, vectors[1].base, nil, views[1], .relu)
            },
            row("scale_shift_add_relu", shape, 0, 3 * unit, limits) {
                table.scaleShift(views[0], vectors[0].base, vectors[1].base, views[2], views[1], .relu)
            },
            row("batch_norm_backward_sums", shape, 0, 3 * unit, limits) {
                table.batchNormBackwardSums(
                    views[0],
                    views[1],
                    ActivationGradient(.relu, y: views[2]),
                    vectors[0].base,
                    vectors[1].base,
                    vectors[2].base,
                    vectors[3].base
                )
            },
            row("batch_norm_backward", shape, 0, 4 * unit, limits) {
                table.batchNormBackward(
                    views[0],
                    views[1],
                    ActivationGradient(.relu, y: views[2]),
                    vectors[0].base,
                    vectors[1].base,
                    vectors[2].base,
                    views[3],
                    false,
                    nil,
                    false
                )
            },
            row("max_pool_3x3_s2", shape, 0, 1.3125 * unit, limits) {
                table.maxPool(views[0], half, taps, window)
            },
            row("max_pool_3x3_s2_backward", shape, 0, 1.3125 * unit, limits) {
                table.maxPoolBackward(half, taps, views[0], window, false)
            },
            row("upsample_nearest_2", shape, 0, 1.25 * unit, limits) { table.upsampleNearest(half, views[0], 2) },
            row("upsample_nearest_2_backward", shape, 0, 1.25 * unit, limits) {
                table.upsampleNearestBackward(views[0], half, 2, false)
            },
            row("adam", shape, 0, 7 * unit, limits) {
                table.adam(memory[0].base, memory[1].base, memory[2].base, memory[3].base, count, step)
            },
            row("add_vectors", shape, 0, 3 * unit, limits) {
                table.addVectors(memory[0].base, memory[1].base, count)
            },
        ]
    }

    private func row(
        _ kernel: String,
        _ shape: String,
        _ operations: Double,
        _ bytes: Double,
        _ limits: Limits,
        _ body: () -> Void
    ) -> Row {
        let seconds = time(body)
        let arithmetic = operations / seconds.median / 1e9 / limits.fmaGflops
        let memory = bytes / seconds.median / 1e9 / limits.copyGigabytesPerSecond
        return Row(
            kernel: kernel,
            shape: shape,
            medianSeconds: seconds.median,
            minimumSeconds: seconds.minimum,
            gflops: operations / seconds.median / 1e9,
            gigabytesPerSecond: bytes / seconds.median / 1e9,
            fractionOfLimit: operations > 0 ? arithmetic : memory
        )
    }

    /// Median and minimum over the repetitions, each at least 5 ms of calls.
    private func time(_ body: () -> Void) -> (median: Double, minimum: Double) {
        let clock = ContinuousClock()
        func once(_ calls: Int) -> Double {
            let elapsed = clock.measure { for _ in 0..<calls { body() } }
            return Double(elapsed.components.seconds) + Double(elapsed.components.attoseconds) * 1e-18
        }
        let first = once(1)
        let calls = max(1, min(1000, Int(0.005 / max(first, 1e-9))))
        let samples = (0..<repetitions).map { _ in once(calls) / Double(calls) }.sorted()
        return (samples[samples.count / 2], samples[0])
    }

    /// Memory on huge pages where the system has them, filled with small numbers.
    private final class Memory {
        let base: UnsafeMutablePointer<Float>
        let count: Int

        init(count: Int) {
            self.count = count
            let bytes = (count * 4 + 64 + (2 << 20) - 1) / (2 << 20) * (2 << 20)
            let raw = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 2 << 20)
            madvise(raw, bytes, 14)
            base = raw.bindMemory(to: Float.self, capacity: bytes / 4)
            for index in 0..<bytes / 4 { base[index] = Float(index & 15) * 0.0625 - 0.4 }
        }

        deinit { UnsafeMutableRawPointer(base).deallocate() }
    }
}
