#if BF16
    import Kernels
#endif

#if !BF16
    extension Reference {
        @Sendable static func convolution(
            x: TensorView,
            weights: UnsafePointer<Float>,
            bias: UnsafePointer<Float>?,
            y: TensorView,
            geometry g: ConvolutionGeometry,
            relu: Bool,
            scratch: UnsafeMutableRawPointer
        ) {
            if g.usesWinograd(for: .float32) {
                let job = ReferenceWinograd(geometry: g, weights: weights, transposed: false)
                job.run(source: x, bias: bias, destination: y, relu: relu, accumulate: false)
                return
            }
            for n in 0..<y.images {
                for oy in 0..<y.height {
                    for ox in 0..<y.width {
                        for output in 0..<g.outputChannels {
                            var lanes = [Float](repeating: 0, count: g.sumsInLanes ? 16 : 1)
                            for ky in 0..<g.kernelHeight {
                                for kx in 0..<g.kernelWidth {
                                    let iy = oy * g.stride - g.padding + ky * g.dilation
                                    let ix = ox * g.stride - g.padding + kx * g.dilation
                                    let inside = iy >= 0 && iy < x.height && ix >= 0 && ix < x.width
                                    let depth = g.sumsInLanes ? (g.inputChannels + 15) / 16 * 16 : g.inputChannels
                                    for input in 0..<depth {
                                        let exists = input < g.inputChannels
                                        let value = inside && exists ? x.pixel(n, iy, ix)[input] : 0
                                        let index = g.storageIndex(output: output, input: input, ky: ky, kx: kx)
                                        lanes[input % lanes.count].addProduct(value, exists ? weights[index] : 0)
                                    }
                                }
                            }
                            while lanes.count > 1 {
                                let half = lanes.count / 2
                                lanes = (0..<half).map { lanes[$0] + lanes[$0 + half] }
                            }
                            var sum = lanes[0]
                            if let bias { sum += bias[output] }
                            y.pixel(n, oy, ox)[output] = relu ? clampBelow(sum) : sum
                        }
                    }
                }
            }
        }

        @Sendable static func convolutionBackwardInput(
            dy: TensorView,
            weights: UnsafePointer<Float>,
            bias: UnsafePointer<Float>?,
            dx: TensorView,
            geometry g: ConvolutionGeometry,
            relu: Bool,
            accumulate: Bool,
            scratch: UnsafeMutableRawPointer
        ) {
            if g.usesWinograd(for: .float32) {
                let job = ReferenceWinograd(geometry: g, weights: weights, transposed: true)
                job.run(source: dy, bias: bias, destination: dx, relu: relu, accumulate: accumulate)
                return
            }
            for n in 0..<dx.images {
                for iy in 0..<dx.height {
                    for ix in 0..<dx.width {
                        for input in 0..<g.inputChannels {
                            var sum: Float = 0
                            for ky in 0..<g.kernelHeight {
                                for kx in 0..<g.kernelWidth {
                                    let y = iy + g.padding - ky * g.dilation
                                    let x = ix + g.padding - kx * g.dilation
                                    guard y % g.stride == 0, x % g.stride == 0 else { continue }
                                    let inside = y >= 0 && x >= 0 && y / g.stride < dy.height && x / g.stride < dy.width
                                    for output in 0..<g.outputChannels {
                                        let value = inside ? dy.pixel(n, y / g.stride, x / g.stride)[output] : 0
                                        let index = g.storageIndex(output: output, input: input, ky: ky, kx: kx)
                                        sum.addProduct(value, weights[index])
                                    }
                                }
                            }
                            if let bias { sum += bias[input] }
                            if relu { sum = clampBelow(sum) }
                            store(sum, at: dx.pixel(n, iy, ix) + input, accumulate: accumulate)
                        }
                    }
                }
            }
        }

        @Sendable static func convolutionBackwardWeights(
            x: TensorView,
            dy: TensorView,
            dw: UnsafeMutablePointer<Float>,
            geometry g: ConvolutionGeometry,
            scratch: UnsafeMutableRawPointer
        ) {
            for index in 0..<g.storageCount { dw[index] = 0 }
            if g.usesWinograd(for: .float32) {
                ReferenceWinograd.gradient(x: x, dy: dy, dw: dw, geometry: g)
                return
            }
            let rows = g.rowsPerRun(outputWidth: dy.width)
            let countsZeros = g.sumsInLanes || g.foldsColumns
            for output in 0..<g.outputChannels {
                for input in 0..<g.inputChannels {
                    for ky in 0..<g.kernelHeight {
                        for kx in 0..<g.kernelWidth {
                            var total: Float = 0
                            for first in stride(from: 0, to: dy.images * dy.height, by: rows) {
                                var sum: Float = 0
                                for row in first..<min(first + rows, dy.images * dy.height) {
                                    let (n, oy) = row.quotientAndRemainder(dividingBy: dy.height)
                                    let iy = oy * g.stride - g.padding + ky * g.dilation
                                    let hasRow = iy >= 0 && iy < x.height
                                    guard hasRow || countsZeros else { continue }
                                    for ox in 0..<dy.width {
                                        let ix = ox * g.stride - g.padding + kx * g.dilation
                                        let inside = hasRow && ix >= 0 && ix < x.width
                                        guard inside || countsZeros else { continue }
                                        let value = inside ? x.pixel(n, iy, ix)[input] : 0
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
#endif
