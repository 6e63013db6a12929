import KernelSelection
import Kernels
import Testing

/// The kernels of activations, gates and pooling give the reference's bits, in both formats.
@Suite struct OperatorKernelTests {
    static let channels = EqualBits.channels
    static let special: [Float] = [
        .nan, .infinity, -.infinity, -0.0, .leastNonzeroMagnitude, 88.9, -104.5, -87.5, 3e38, -3e38,
    ]

    private func check(_ results: (KernelTable) -> [[UInt32]], _ comment: @autoclosure () -> String) {
        for (reference, vector) in GroupedConvolutionTests.pairs {
            let expected = results(reference)
            let found = results(vector)
            for index in expected.indices where expected[index] != found[index] {
                Issue.record("result \(index) of \(vector.name) over \(vector.format), \(comment())")
            }
        }
    }

    /// A tensor with values that are not finite, and others at the edges of the exponential.
    private func strange(_ format: ElementFormat, _ channels: Int, images: Int = 2) -> FormatTensor {
        let x = FormatTensor(images, 5, 7, channels, format, extra: 2, seed: 1)
        for (index, value) in Self.special.enumerated() { x[index * 3, index % channels] = value }
        return x
    }

    @Test(arguments: channels)
    func pointwise(channels: Int) {
        check(
            { table in
                let x = strange(table.format, channels)
                let dy = FormatTensor(2, 5, 7, channels, table.format, seed: 2)
                func run(_ body: (TensorView) -> Void) -> [UInt32] {
                    let y = FormatTensor(2, 5, 7, channels, table.format, extra: 1, seed: 3)
                    body(y.view)
                    return y.bits
                }
                let key = DropoutKey(seed: 5, step: 6, position: 7, firstWord: 13)
                let gate = FormatTensor(2, 1, 1, channels, table.format, extra: 3, seed: 4)
                return [
                    run { table.silu(x.view, $0) },
                    run { table.siluBackward(x.view, dy.view, $0, true) },
                    run { table.siluBackward(x.view, dy.view, $0, false) },
                    run { table.leakyReLU(x.view, $0, 0.2) },
                    run { table.leakyReLUBackward(x.view, dy.view, $0, 0.2, true) },
                    run { table.softmax(x.view, $0) },
                    run { table.softmaxBackward(x.view, dy.view, $0, true) },
                    run { table.scaleChannels(x.view, gate.view, $0, true) },
                    run { table.scaleChannels(x.view, gate.view, $0, false) },
                    run { table.dropConnect(x.view, $0, 0.75, 2_147_483_648, key, true) },
                ]
            },
            "\(channels) channels"
        )
    }

    @Test(arguments: channels)
    func gates(channels: Int) {
        for (images, height, width) in EqualBits.extents {
            check(
                { table in
                    let x = FormatTensor(images, height, width, channels, table.format, extra: 2, seed: 1)
                    let dy = FormatTensor(images, height, width, channels, table.format, seed: 2)
                    return [false, true].map { accumulate in
                        let gate = FormatTensor(images, 1, 1, channels, table.format, extra: 5, seed: 3)
                        table.scaleChannelsBackward(x.view, dy.view, gate.view, accumulate)
                        return gate.bits
                    }
                },
                "\(images)×\(height)×\(width)×\(channels)"
            )
        }
    }

    static let activations: [Activation] = [.none, .relu, .silu, .leakyReLU(slope: 0.25)]

    @Test(arguments: activations, channels)
    func normalization(activation: Activation, channels: Int) {
        for (images, height, width) in EqualBits.extents {
            check(
                { table in
                    let x = FormatTensor(images, height, width, channels, table.format, extra: 2, seed: 1)
                    let dy = FormatTensor(images, height, width, channels, table.format, seed: 2)
                    let y = FormatTensor(images, height, width, channels, table.format, seed: 3)
                    let vectors = (0..<3).map { randomVector(channels, seed: 10 + $0) }
                    var gamma = [Float](repeating: 0, count: channels + 16)
                    var beta = gamma
                    var results: [[UInt32]] = []
                    for residual in [nil, dy.view] {
                        let out = FormatTensor(images, height, width, channels, table.format, extra: 1)
                        table.scaleShift(x.view, vectors[0], vectors[1], residual, out.view, activation)
                        results.append(out.bits)
                    }
                    vectors[0].withUnsafeBufferPointer { scale in
                        vectors[1].withUnsafeBufferPointer { shift in
                            let gradient = ActivationGradient(
                                activation,
                                y: y.view,
                                scale: scale.baseAddress,
                                shift: shift.baseAddress
                            )
                            table.batchNormBackwardSums(
                                x.view,
                                dy.view,
                                gradient,
                                vectors[0],
                                vectors[1],
                                &gamma,
                                &beta
                            )
                            results += [gamma, beta].map { $0.prefix(channels).map(\.bitPattern) }
                            for accumulate in [false, true] {
                                let dx = FormatTensor(images, height, width, channels, table.format, seed: 5)
                                let residual = FormatTensor(images, height, width, channels, table.format, seed: 6)
                                table.batchNormBackward(
                                    x.view,
                                    dy.view,
                                    gradient,
                                    vectors[0],
                                    vectors[1],
                                    vectors[2],
                                    dx.view,
                                    accumulate,
                                    accumulate ? residual.view : nil,
                                    true
                                )
                                results += [dx.bits, residual.bits]
                            }
                        }
                    }
                    return results
                },
                "\(images)×\(height)×\(width)×\(channels)"
            )
        }
    }

    @Test(arguments: [(9, 13), (2, 3), (1, 1), (40, 5), (7, 28)], [false, true])
    func bilinear(size: (Int, Int), alignCorners: Bool) {
        for (images, height, width) in EqualBits.extents {
            for channels in [1, 16, 21, 33, 48, 64, 100] {
                check(
                    { table in
                        let x = FormatTensor(images, height, width, channels, table.format, extra: 2, seed: 1)
                        let y = FormatTensor(images, size.0, size.1, channels, table.format, extra: 3)
                        table.upsampleBilinear(x.view, y.view, alignCorners)
                        return [y.bits]
                            + [false, true].map { accumulate in
                                let dx = FormatTensor(
                                    images,
                                    height,
                                    width,
                                    channels,
                                    table.format,
                                    extra: 1,
                                    seed: 7
                                )
                                table.upsampleBilinearBackward(y.view, dx.view, alignCorners, accumulate)
                                return dx.bits
                            }
                    },
                    "\(images)×\(height)×\(width)×\(channels) to \(size)"
                )
            }
        }
    }

    static let windows = [
        PoolingWindow(size: 3, stride: 2, padding: 1),
        PoolingWindow(size: 3, stride: 2, ceilMode: true),
        PoolingWindow(size: 2, stride: 2),
        PoolingWindow(size: 2, stride: 3, padding: 1, ceilMode: true),
        PoolingWindow(size: 5, stride: 1, padding: 2, countsPadding: false),
        PoolingWindow(size: 3, stride: 2, padding: 1, ceilMode: true, countsPadding: false),
        PoolingWindow(size: 1, stride: 2),
    ]

    @Test(arguments: windows, channels)
    func pooling(window: PoolingWindow, channels: Int) {
        for (images, height, width) in EqualBits.extents {
            guard min(height, width) + 2 * window.padding >= window.size else { continue }
            let (oh, ow) = (window.outputExtent(height), window.outputExtent(width))
            check(
                { table in
                    let x = FormatTensor(images, height, width, channels, table.format, extra: 2, seed: 1)
                    if images == 2 {
                        for (index, value) in Self.special.enumerated() { x[index * 9, index % channels] = value }
                    }
                    let y = FormatTensor(images, oh, ow, channels, table.format, extra: 1)
                    var taps = [UInt8](repeating: 0, count: images * oh * ow * channels + 16)
                    table.maxPool(x.view, y.view, &taps, window)
                    var results = [y.bits, taps.map(UInt32.init)]
                    let dy = FormatTensor(images, oh, ow, channels, table.format, extra: 2, seed: 4)
                    table.averagePool(x.view, y.view, window)
                    results.append(y.bits)
                    for accumulate in [false, true] {
                        let dx = FormatTensor(images, height, width, channels, table.format, extra: 1, seed: 9)
                        table.maxPoolBackward(dy.view, taps, dx.view, window, accumulate)
                        results.append(dx.bits)
                        table.averagePoolBackward(dy.view, dx.view, window, accumulate)
                        results.append(dx.bits)
                    }
                    return results
                },
                "\(window) on \(images)×\(height)×\(width)×\(channels)"
            )
        }
    }
}

/// What IEEE says of values that are not finite.
@Suite struct NotFiniteTests {
    private func one(_ value: Float, _ body: (KernelTable, TensorView, TensorView) -> Void) -> [Float] {
        KernelVariant.allCases.filter(\.isSupported).map { variant in
            let x = FormatTensor(1, 1, 1, 1, .float32)
            let y = FormatTensor(1, 1, 1, 1, .float32)
            x[0, 0] = value
            body(variant.table, x.view, y.view)
            return y[0, 0]
        }
    }

    @Test func `activations`() {
        #expect(one(.nan) { $0.silu($1, $2) }.allSatisfy { $0.isNaN })
        #expect(one(.infinity) { $0.silu($1, $2) }.allSatisfy { $0 == .infinity })
        // -∞ · 0, as in PyTorch.
        #expect(one(-.infinity) { $0.silu($1, $2) }.allSatisfy { $0.isNaN })
        #expect(one(-200) { $0.silu($1, $2) }.allSatisfy { $0 == 0 })
        #expect(one(.nan) { $0.leakyReLU($1, $2, 0.1) }.allSatisfy { $0.isNaN })
        #expect(one(-.infinity) { $0.leakyReLU($1, $2, 0.1) }.allSatisfy { $0 == -.infinity })
        #expect(one(.infinity) { $0.softmax($1, $2) }.allSatisfy { $0.isNaN })
        #expect(one(-3e38) { $0.softmax($1, $2) }.allSatisfy { $0 == 1 })
        let window = PoolingWindow(size: 1, stride: 1)
        #expect(one(.infinity) { $0.averagePool($1, $2, window) }.allSatisfy { $0 == .infinity })
    }
}
