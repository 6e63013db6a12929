#if BF16
    import Kernels
#endif

extension Reference {
    @Sendable static func groupedConvolution(
        x: TensorView,
        weights: UnsafePointer<Float>,
        bias: UnsafePointer<Float>?,
        y: TensorView,
        geometry g: ConvolutionGeometry,
        relu: Bool
    ) {
        for n in 0..<y.images {
            for oy in 0..<y.height {
                for ox in 0..<y.width {
                    for output in 0..<g.outputChannels {
                        let firstInput = output / g.outputsPerGroup * g.inputsPerGroup
                        var sum: Float = 0
                        for ky in 0..<g.kernelHeight {
                            let iy = oy * g.stride - g.padding + ky * g.dilation
                            guard iy >= 0, iy < x.height else { continue }
                            for input in 0..<g.inputsPerGroup {
                                for kx in 0..<g.kernelWidth {
                                    let ix = ox * g.stride - g.padding + kx * g.dilation
                                    let inside = ix >= 0 && ix < x.width
                                    let value = inside ? x.pixel(n, iy, ix)[firstInput + input] : 0
                                    let index = g.storageIndex(output: output, input: input, ky: ky, kx: kx)
                                    sum.addProduct(value, weights[index])
                                }
                            }
                        }
                        if let bias { sum += bias[output] }
                        y.pixel(n, oy, ox)[output] = relu ? clampBelow(sum) : sum
                    }
                }
            }
        }
    }

    @Sendable static func groupedConvolutionBackwardInput(
        dy: TensorView,
        weights: UnsafePointer<Float>,
        dx: TensorView,
        geometry g: ConvolutionGeometry,
        accumulate: Bool,
        scratch: UnsafeMutableRawPointer
    ) {
        for n in 0..<dx.images {
            for iy in 0..<dx.height {
                for ix in 0..<dx.width {
                    for input in 0..<g.inputChannels {
                        let firstOutput = input / g.inputsPerGroup * g.outputsPerGroup
                        var sum: Float = 0
                        for ky in (0..<g.kernelHeight).reversed() {
                            let y = iy + g.padding - ky * g.dilation
                            guard y % g.stride == 0, y >= 0, y / g.stride < dy.height else { continue }
                            for output in 0..<g.outputsPerGroup {
                                for kx in (0..<g.kernelWidth).reversed() {
                                    let x = ix + g.padding - kx * g.dilation
                                    guard x % g.stride == 0 else { continue }
                                    let inside = x >= 0 && x / g.stride < dy.width
                                    let index = g.storageIndex(
                                        output: firstOutput + output,
                                        input: input % g.inputsPerGroup,
                                        ky: ky,
                                        kx: kx
                                    )
                                    let value =
                                        inside ? dy.pixel(n, y / g.stride, x / g.stride)[firstOutput + output] : 0
                                    sum.addProduct(value, weights[index])
                                }
                            }
                        }
                        store(sum, at: dx.pixel(n, iy, ix) + input, accumulate: accumulate)
                    }
                }
            }
        }
    }

    @Sendable static func groupedConvolutionBackwardWeights(
        x: TensorView,
        dy: TensorView,
        dw: UnsafeMutablePointer<Float>,
        geometry g: ConvolutionGeometry
    ) {
        for index in 0..<g.storageCount { dw[index] = 0 }
        let rows = g.rowsPerRun(outputWidth: dy.width)
        for output in 0..<g.outputChannels {
            let firstInput = output / g.outputsPerGroup * g.inputsPerGroup
            for input in 0..<g.inputsPerGroup {
                for ky in 0..<g.kernelHeight {
                    for kx in 0..<g.kernelWidth {
                        var total: Float = 0
                        for first in stride(from: 0, to: dy.images * dy.height, by: rows) {
                            var sum: Float = 0
                            for row in first..<min(first + rows, dy.images * dy.height) {
                                let (n, oy) = row.quotientAndRemainder(dividingBy: dy.height)
                                let iy = oy * g.stride - g.padding + ky * g.dilation
                                guard iy >= 0, iy < x.height else { continue }
                                for ox in 0..<dy.width {
                                    let ix = ox * g.stride - g.padding + kx * g.dilation
                                    guard ix >= 0, ix < x.width else { continue }
                                    let value = x.pixel(n, iy, ix)[firstInput + input]
                                    sum.addProduct(value, dy.pixel(n, oy, ox)[output])
                                }
                            }
                            total += sum
                        }
                        dw[g.storageIndex(output: output, input: input, ky: ky, kx: kx)] = total
                    }
                }
            }
        }
    }
}
