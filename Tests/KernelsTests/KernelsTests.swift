import KernelSelection
import Kernels
import Numerics
import Testing

/// A tensor in memory of its own, with slack around it filled with a value that no kernel may use or change.
final class TestTensor {
    static let poison: Float = 12345.678
    let view: TensorView
    private let memory: UnsafeMutablePointer<Float>
    private let count: Int

    init(_ images: Int, _ height: Int, _ width: Int, _ channels: Int, pixelStride: Int? = nil, seed: Int? = nil) {
        let stride = pixelStride ?? channels
        count = images * height * width * stride + 32
        memory = .allocate(capacity: count)
        memory.initialize(repeating: Self.poison, count: count)
        view = TensorView(
            memory + 16,
            images: images,
            height: height,
            width: width,
            channels: channels,
            pixelStride: stride
        )
        if let seed {
            let random = RandomSequence(seed: UInt64(seed), purpose: .simulation)
            for pixel in 0..<view.pixels {
                for c in 0..<channels {
                    (view.floats + pixel * stride)[c] = random.uniform(pixel * channels + c, in: -1...1)
                }
            }
        }
    }

    deinit { memory.deallocate() }

    /// The bits of everything, slack included: equal bits mean equal results and nothing written beside them. Which NaN
    /// a NaN is depends on the compiler's choice of operands and is no part of the contract.
    var bits: [UInt32] { (0..<count).map { memory[$0].isNaN ? Float.nan.bitPattern : memory[$0].bitPattern } }
}

/// The scratch memory of a pass of a convolution over `x`, filled with NaN, with slack that must not change.
final class ScratchMemory {
    let base: UnsafeMutableRawPointer
    private let floats: UnsafeMutablePointer<Float>
    private let count: Int

    init(_ g: ConvolutionGeometry, _ pass: ConvolutionPass, _ x: TensorView) {
        let bytes = g.scratchBytes(pass, for: .float32, images: x.images, height: x.height, width: x.width)
        count = bytes / 4
        base = .allocate(byteCount: bytes + 256, alignment: 64)
        floats = base.bindMemory(to: Float.self, capacity: count + 64)
        floats.initialize(repeating: .nan, count: count)
        (floats + count).initialize(repeating: TestTensor.poison, count: 64)
    }

    deinit { base.deallocate() }

    var slack: [UInt32] { (count..<count + 64).map { floats[$0].bitPattern } }
}

func randomVector(_ count: Int, seed: Int) -> [Float] {
    let random = RandomSequence(seed: UInt64(seed), purpose: .simulation, epoch: 1)
    return (0..<count + 16).map { random.uniform($0, in: -1...1) }
}

/// The vector variants that this machine can run.
let vectorVariants = KernelVariant.allCases.filter { $0 != .reference && $0.isSupported }

@Suite struct EqualBits {
    static let geometries: [ConvolutionGeometry] = [
        .init(inputChannels: 16, outputChannels: 16, kernelHeight: 3, kernelWidth: 3, padding: 1),
        .init(inputChannels: 5, outputChannels: 40, kernelHeight: 3, kernelWidth: 3, padding: 1),
        .init(inputChannels: 33, outputChannels: 17, kernelHeight: 3, kernelWidth: 3, stride: 2, padding: 1),
        .init(inputChannels: 3, outputChannels: 20, kernelHeight: 7, kernelWidth: 7, stride: 2, padding: 3),
        .init(inputChannels: 20, outputChannels: 1, kernelHeight: 3, kernelWidth: 3, padding: 1),
        .init(inputChannels: 12, outputChannels: 48, kernelHeight: 1, kernelWidth: 1),
        .init(inputChannels: 7, outputChannels: 9, kernelHeight: 1, kernelWidth: 1, stride: 2),
        .init(inputChannels: 4, outputChannels: 31, kernelHeight: 2, kernelWidth: 2, stride: 2),
        .init(inputChannels: 6, outputChannels: 8, kernelHeight: 3, kernelWidth: 3, padding: 2, dilation: 2),
        .init(inputChannels: 70, outputChannels: 130, kernelHeight: 1, kernelWidth: 1),
        .init(inputChannels: 35, outputChannels: 3, kernelHeight: 1, kernelWidth: 1),
        .init(inputChannels: 16, outputChannels: 1, kernelHeight: 3, kernelWidth: 3, padding: 1),
        .init(inputChannels: 9, outputChannels: 2, kernelHeight: 3, kernelWidth: 2, stride: 2, padding: 1),
        .init(inputChannels: 1, outputChannels: 20, kernelHeight: 3, kernelWidth: 3, padding: 1),
        .init(inputChannels: 4, outputChannels: 33, kernelHeight: 5, kernelWidth: 5, stride: 2, padding: 2),
        .init(inputChannels: 3, outputChannels: 24, kernelHeight: 3, kernelWidth: 3, stride: 2, paddingAfter: 1),
        .init(inputChannels: 18, outputChannels: 20, kernelHeight: 3, kernelWidth: 3, padding: 1, paddingAfter: 3),
        .init(inputChannels: 16, outputChannels: 50, kernelHeight: 3, kernelWidth: 3),
        .init(inputChannels: 37, outputChannels: 16, kernelHeight: 3, kernelWidth: 3, padding: 2),
        .init(inputChannels: 130, outputChannels: 150, kernelHeight: 3, kernelWidth: 3, padding: 1),
    ]
    static let extents = [(1, 1, 1), (1, 3, 5), (2, 7, 13), (3, 17, 4), (1, 20, 33)]

    static func fits(_ g: ConvolutionGeometry, _ height: Int, _ width: Int) -> Bool {
        height + g.padding + g.paddingAfter > g.dilation * (g.kernelHeight - 1)
            && width + g.padding + g.paddingAfter > g.dilation * (g.kernelWidth - 1)
    }

    @Test(arguments: vectorVariants, geometries)
    func convolution(variant: KernelVariant, g: ConvolutionGeometry) {
        for (images, height, width) in Self.extents {
            let outHeight = g.outputHeight(height)
            let outWidth = g.outputWidth(width)
            guard Self.fits(g, height, width) else { continue }
            let x = TestTensor(images, height, width, g.inputChannels, pixelStride: g.inputChannels + 3, seed: 1)
            let weights = EqualBits.storageWeights(g, seed: 2)
            let bias = randomVector(g.outputChannels, seed: 3)
            let results = [KernelTable.reference, variant.table].map { table in
                let y = TestTensor(images, outHeight, outWidth, g.outputChannels, pixelStride: g.outputChannels + 5)
                let scratch = ScratchMemory(g, .forward, x.view)
                table.convolution(x.view, weights, bias, y.view, g, true, scratch.base)
                return y.bits + scratch.slack
            }
            #expect(results[0] == results[1], "\(g) on \(images)×\(height)×\(width)")
        }
    }

    @Test(arguments: vectorVariants, geometries)
    func convolutionBackwardInput(variant: KernelVariant, g: ConvolutionGeometry) {
        for (images, height, width) in Self.extents {
            guard Self.fits(g, height, width) else { continue }
            let dy = TestTensor(images, g.outputHeight(height), g.outputWidth(width), g.outputChannels, seed: 4)
            let weights = EqualBits.storageWeights(g, seed: 2)
            let biases = randomVector(g.inputChannels, seed: 3)
            for accumulate in [false, true] {
                let results = [KernelTable.reference, variant.table].map { table in
                    let dx = TestTensor(
                        images,
                        height,
                        width,
                        g.inputChannels,
                        pixelStride: g.inputChannels + 1,
                        seed: 5
                    )
                    let scratch = ScratchMemory(g, .backwardInput, dx.view)
                    table.convolutionBackwardInput(
                        dy.view,
                        weights,
                        biases,
                        dx.view,
                        g,
                        accumulate,
                        accumulate,
                        scratch.base
                    )
                    return dx.bits + scratch.slack
                }
                #expect(results[0] == results[1], "\(g) on \(images)×\(height)×\(width)")
            }
        }
    }

    @Test(arguments: vectorVariants, geometries)
    func convolutionBackwardWeights(variant: KernelVariant, g: ConvolutionGeometry) {
        for (images, height, width) in Self.extents {
            guard Self.fits(g, height, width) else { continue }
            let x = TestTensor(images, height, width, g.inputChannels, seed: 6)
            let dy = TestTensor(images, g.outputHeight(height), g.outputWidth(width), g.outputChannels, seed: 7)
            let results = [KernelTable.reference, variant.table].map { table in
                var dw = [Float](repeating: .nan, count: g.storageCount)
                let scratch = ScratchMemory(g, .backwardWeights, x.view)
                table.convolutionBackwardWeights(x.view, dy.view, &dw, g, scratch.base)
                return dw.map(\.bitPattern) + scratch.slack
            }
            #expect(results[0] == results[1], "\(g) on \(images)×\(height)×\(width)")
        }
    }

    static func storageWeights(_ g: ConvolutionGeometry, seed: Int) -> [Float] {
        let values = randomVector(g.storageCount, seed: seed)
        var weights = [Float](repeating: 0, count: g.storageCount)
        for output in 0..<g.outputChannels {
            for input in 0..<g.inputChannels {
                for tap in 0..<g.taps {
                    let index = g.storageIndex(
                        output: output,
                        input: input,
                        ky: tap / g.kernelWidth,
                        kx: tap % g.kernelWidth
                    )
                    weights[index] = values[index]
                }
            }
        }
        return weights
    }

    static let channels = [1, 3, 16, 21, 64, 70]

    @Test(arguments: vectorVariants, channels)
    func normalization(variant: KernelVariant, channels: Int) {
        for (images, height, width) in Self.extents {
            let x = TestTensor(images, height, width, channels, pixelStride: channels + 2, seed: 1)
            let dy = TestTensor(images, height, width, channels, seed: 2)
            let y = TestTensor(images, height, width, channels, seed: 3)
            let vectors = (0..<3).map { randomVector(channels, seed: 10 + $0) }
            let results = [KernelTable.reference, variant.table].map { table in
                var sums = [Float](repeating: 0, count: channels + 16)
                var mean = sums
                var variance = sums
                var gamma = sums
                var beta = sums
                let relu = ActivationGradient(.relu, y: y.view)
                table.channelSums(x.view, &sums)
                table.batchStatistics(x.view, &mean, &variance)
                let out = TestTensor(images, height, width, channels, pixelStride: channels + 1)
                table.scaleShift(x.view, vectors[0], vectors[1], dy.view, out.view, .relu)
                table.batchNormBackwardSums(x.view, dy.view, relu, vectors[0], vectors[1], &gamma, &beta)
                let dx = TestTensor(images, height, width, channels, seed: 5)
                let residual = TestTensor(images, height, width, channels, seed: 6)
                table.batchNormBackward(
                    x.view,
                    dy.view,
                    relu,
                    vectors[0],
                    vectors[1],
                    vectors[2],
                    dx.view,
                    false,
                    residual.view,
                    true
                )
                let plain = TestTensor(images, height, width, channels, seed: 7)
                table.batchNormBackward(
                    x.view,
                    dy.view,
                    ActivationGradient(.none),
                    vectors[0],
                    vectors[1],
                    vectors[2],
                    plain.view,
                    true,
                    nil,
                    false
                )
                let scalars = [sums, mean, variance, gamma, beta].map { $0.prefix(channels).map(\.bitPattern) }
                return scalars + [out.bits, dx.bits, residual.bits, plain.bits]
            }
            #expect(results[0] == results[1], "\(images)×\(height)×\(width)×\(channels)")
        }
    }

    @Test(arguments: vectorVariants, channels)
    func pointwise(variant: KernelVariant, channels: Int) {
        let (images, height, width) = (2, 5, 7)
        let a = TestTensor(images, height, width, channels, pixelStride: channels + 2, seed: 1)
        let b = TestTensor(images, height, width, channels, seed: 2)
        for special in [Float.nan, .infinity, -.infinity, -0.0, .leastNonzeroMagnitude, 88.9, -104.5, -87.5] {
            a.view.floats[special.isNaN ? 0 : Int(special.bitPattern % 61) * a.view.pixelStride] = special
        }
        let results = [KernelTable.reference, variant.table].map { table in
            func run(_ body: (TensorView) -> Void) -> [UInt32] {
                let y = TestTensor(images, height, width, channels, pixelStride: channels + 1, seed: 3)
                body(y.view)
                return y.bits
            }
            let key = DropoutKey(seed: 5, step: 6, position: 7, firstWord: 13)
            return [
                run { table.relu(a.view, $0) },
                run { table.reluBackward(a.view, b.view, $0, true) },
                run { table.sigmoid(a.view, $0) },
                run { table.sigmoidBackward(a.view, b.view, $0, false) },
                run { table.add(a.view, b.view, $0, true) },
                run { table.copy(a.view, $0, true) },
                run { table.fill($0, 3) },
                run { table.dropout(a.view, $0, 0.75, 3_221_225_472, key, false) },
            ]
        }
        #expect(results[0] == results[1])
    }

    @Test(arguments: vectorVariants, channels)
    func resampling(variant: KernelVariant, channels: Int) {
        for (images, height, width) in Self.extents {
            let x = TestTensor(images, height, width, channels, pixelStride: channels + 2, seed: 1)
            let windows = [PoolingWindow(size: 3, stride: 2, padding: 1), PoolingWindow(size: 2, stride: 2)]
            let results = [KernelTable.reference, variant.table].map { table in
                var all: [[UInt32]] = []
                for window in windows where window.outputExtent(height) > 0 && window.outputExtent(width) > 0 {
                    let (oh, ow) = (window.outputExtent(height), window.outputExtent(width))
                    let y = TestTensor(images, oh, ow, channels)
                    var taps = [UInt8](repeating: 0, count: images * oh * ow * channels + 16)
                    table.maxPool(x.view, y.view, &taps, window)
                    let dx = TestTensor(images, height, width, channels, pixelStride: channels + 1, seed: 9)
                    table.maxPoolBackward(y.view, taps, dx.view, window, true)
                    all += [y.bits, taps.map(UInt32.init), dx.bits]
                }
                let pooled = TestTensor(images, 1, 1, channels)
                table.globalAveragePool(x.view, pooled.view)
                let spread = TestTensor(images, height, width, channels)
                table.globalAveragePoolBackward(pooled.view, spread.view, false)
                let large = TestTensor(images, 3 * height, 3 * width, channels, pixelStride: channels + 4)
                table.upsampleNearest(x.view, large.view, 3)
                let small = TestTensor(images, height, width, channels, seed: 4)
                table.upsampleNearestBackward(large.view, small.view, 3, true)
                all += [pooled.bits, spread.bits, large.bits, small.bits]
                for align in [false, true] {
                    let y = TestTensor(images, 2 * height + 1, width + 3, channels)
                    table.upsampleBilinear(x.view, y.view, align)
                    let dx = TestTensor(images, height, width, channels, pixelStride: channels + 1)
                    table.upsampleBilinearBackward(y.view, dx.view, align, false)
                    all += [y.bits, dx.bits]
                }
                return all
            }
            #expect(results[0] == results[1], "\(images)×\(height)×\(width)×\(channels)")
        }
    }

    @Test(arguments: vectorVariants, [2, 1.5] as [Float])
    func losses(variant: KernelVariant, gamma: Float) {
        for (images, height, width) in Self.extents + [(2, 40, 41)] {
            let logits = TestTensor(images, height, width, 1, seed: 1)
            for pixel in 0..<logits.view.pixels { logits.view.floats[pixel] *= pixel % 3 == 0 ? 30 : 3 }
            let targets = TestTensor(images, height, width, 1, seed: 2)
            for pixel in 0..<targets.view.pixels { targets.view.floats[pixel] = targets.view.floats[pixel] > 0 ? 1 : 0 }
            var coefficients = [LossCoefficients](repeating: LossCoefficients(), count: images)
            for image in 0..<images {
                coefficients[image].cross = 0.5
                coefficients[image].target = -0.25
                coefficients[image].probability = 0.125
                coefficients[image].constant = 0.3
                coefficients[image].focal = image == 0 ? 0.7 : 0
            }
            let results = [KernelTable.reference, variant.table].map { table in
                var sums = [LossSums](repeating: LossSums(), count: images)
                table.lossSums(logits.view, targets.view, gamma, &sums)
                let gradient = TestTensor(images, height, width, 1)
                table.lossGradient(logits.view, targets.view, gamma, coefficients, gradient.view)
                return (sums, gradient.bits)
            }
            #expect(results[0].0 == results[1].0)
            #expect(results[0].1 == results[1].1)
        }
    }

    @Test(arguments: vectorVariants, [1, 16, 37, 100, 4096])
    func vectors(variant: KernelVariant, count: Int) {
        let a = randomVector(count, seed: 1)
        let b = randomVector(count, seed: 2)
        let results = [KernelTable.reference, variant.table].map { table in
            var all: [[UInt32]] = []
            func keep(_ v: [Float]) { all.append(v.prefix(count).map(\.bitPattern)) }
            var sum = a
            table.addVectors(&sum, b, count)
            keep(sum)
            table.sumVectors(a, b, &sum, count)
            keep(sum)
            // Above the largest bfloat16, denormals, ties and infinities among them.
            var special = a
            let values: [Float] = [
                .greatestFiniteMagnitude, .leastNonzeroMagnitude * 70_000, 1.00390625, -1.01171875, .infinity,
            ]
            for (index, value) in values.enumerated() where index < count { special[index] = value }
            table.sumRounded(special, b, &sum, count)
            keep(sum)
            let previous = sum
            table.roundVector(&sum, count)
            // What was rounded stays.
            #expect(sum.prefix(count) == previous.prefix(count))
            sum = special
            table.roundVector(&sum, count)
            keep(sum)
            var halves = [UInt16](repeating: 7, count: count + 1)
            table.packVector(special, &halves, count)
            #expect(halves[count] == 7)
            var unpacked = [Float](repeating: 7, count: count + 1)
            table.unpackVector(halves, &unpacked, count)
            #expect(unpacked[count] == 7)
            #expect(unpacked.prefix(count) == sum.prefix(count))
            let norm = table.sumOfSquares(a, count).bitPattern
            all.append([UInt32(truncatingIfNeeded: norm), UInt32(truncatingIfNeeded: norm >> 32)])
            for (momentum, first) in [(0, true), (0.9, true), (0.9, false)] as [(Float, Bool)] {
                var w = a
                var m = b
                let step = SGDStep(
                    learningRate: 0.1,
                    momentum: momentum,
                    weightDecay: 0.01,
                    nesterov: first,
                    firstStep: first,
                    gradientScale: 0.5
                )
                table.sgd(&w, b, &m, count, step)
                keep(w)
                keep(m)
            }
            var w = a
            var m = b
            var v = b.map { $0 * $0 }
            let step = AdamStep(
                stepSize: 0.01,
                oneMinusBeta1: 0.1,
                beta2: 0.999,
                oneMinusBeta2: 0.001,
                epsilon: 1e-8,
                rootCorrection2: 0.0447,
                weightDecay: 0.01,
                decay: 0.999,
                gradientScale: 1
            )
            table.adam(&w, b, &m, &v, count, step)
            keep(w)
            keep(m)
            keep(v)
            table.movingAverage(&w, a, 0.01, count)
            keep(w)
            return all
        }
        #expect(results[0] == results[1])
    }
}
