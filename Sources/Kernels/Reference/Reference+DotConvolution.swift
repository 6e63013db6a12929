#if BF16
    import Kernels

    // Dense convolutions over bfloat16 in chains of dot steps: see `KernelTable`. All arithmetic flushes denormals in and out.

    extension Reference {
        /// `value`, or zero of its sign where it is denormal.
        static func flushed(_ value: Float) -> Float {
            abs(value) < Float.leastNormalMagnitude ? Float(signOf: value, magnitudeOf: 0) : value
        }

        /// fma(a, b, c) of values that are not denormal, flushed as a processor flushes: where the result, rounded to 24 bits
        /// with any exponent, is below the least normal number.
        static func flushingFMA(_ a: Float, _ b: Float, _ c: Float) -> Float {
            let rounded = c.addingProduct(a, b)
            guard abs(rounded) == Float.leastNormalMagnitude else { return flushed(rounded) }
            // The product of two bfloat16 is exact in `Double`, and with it the sum in two parts.
            let product = Double(a) * Double(b)
            let sum = product + Double(c)
            let back = sum - product
            let error = (product - (sum - back)) + (Double(c) - back)
            // Half a unit in the 24th place below the least normal number rounds up to it.
            let limit = Double(Float.leastNormalMagnitude) * (1 - 0x1p-25)
            let excess = (abs(sum) - limit) + (sum < 0 ? -error : error)
            return excess < 0 ? Float(signOf: rounded, magnitudeOf: 0) : rounded
        }

        /// One dot step: the odd elements first.
        static func dot(_ sum: Float, _ even: (Float, Float), _ odd: (Float, Float)) -> Float {
            let first = flushingFMA(flushed(odd.0), flushed(odd.1), sum)
            return flushingFMA(flushed(even.0), flushed(even.1), first)
        }

        static func add(_ a: Float, _ b: Float) -> Float { flushed(flushed(a) + flushed(b)) }

        static func roundedWeight(_ weights: UnsafePointer<Float>, _ index: Int) -> Float {
            BFloat16.float(BFloat16.bits(weights[index]))
        }

        @Sendable static func convolution(
            x: TensorView,
            weights: UnsafePointer<Float>,
            bias: UnsafePointer<Float>?,
            y: TensorView,
            geometry g: ConvolutionGeometry,
            relu: Bool,
            scratch: UnsafeMutableRawPointer
        ) {
            if g.usesWinograd(for: .bfloat16) {
                let job = ReferenceWinograd(geometry: g, weights: weights, transposed: false)
                job.run(source: x, bias: bias, destination: y, relu: relu, accumulate: false)
                return
            }
            for n in 0..<y.images {
                for oy in 0..<y.height {
                    for ox in 0..<y.width {
                        for output in 0..<g.outputChannels {
                            var sum: Float = 0
                            for ky in 0..<g.kernelHeight {
                                let iy = oy * g.stride - g.padding + ky * g.dilation
                                // The values of a row of taps in order.
                                func pair(_ index: Int) -> (Float, Float) {
                                    let (kx, input) = index.quotientAndRemainder(dividingBy: g.inputChannels)
                                    guard kx < g.kernelWidth else { return (0, 0) }
                                    let ix = ox * g.stride - g.padding + kx * g.dilation
                                    let inside = iy >= 0 && iy < x.height && ix >= 0 && ix < x.width
                                    let place = g.storageIndex(output: output, input: input, ky: ky, kx: kx)
                                    return (
                                        inside ? x.pixel(n, iy, ix)[input] : 0,
                                        roundedWeight(weights, place)
                                    )
                                }
                                for index in stride(from: 0, to: g.kernelWidth * g.inputChannels, by: 2) {
                                    sum = dot(sum, pair(index), pair(index + 1))
                                }
                            }
                            if let bias { sum = add(sum, bias[output]) }
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
            if g.usesWinograd(for: .bfloat16) {
                let job = ReferenceWinograd(geometry: g, weights: weights, transposed: true)
                job.run(source: dy, bias: bias, destination: dx, relu: relu, accumulate: accumulate)
                return
            }
            func weight(_ output: Int, _ input: Int, _ ky: Int, _ kx: Int) -> Float {
                guard output < g.outputChannels else { return 0 }
                return roundedWeight(weights, g.storageIndex(output: output, input: input, ky: ky, kx: kx))
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
                                    let inside =
                                        y >= 0 && x >= 0 && y / g.stride < dy.height && x / g.stride < dy.width
                                    func value(_ output: Int) -> Float {
                                        guard inside, output < g.outputChannels else { return 0 }
                                        return dy.pixel(n, y / g.stride, x / g.stride)[output]
                                    }
                                    for output in stride(from: 0, to: g.outputChannels, by: 2) {
                                        sum = dot(
                                            sum,
                                            (value(output), weight(output, input, ky, kx)),
                                            (value(output + 1), weight(output + 1, input, ky, kx))
                                        )
                                    }
                                }
                            }
                            if let bias { sum = add(sum, bias[input]) }
                            if relu { sum = clampBelow(sum) }
                            let place = dx.pixel(n, iy, ix) + input
                            place[0] = accumulate ? add(place[0], sum) : sum
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
            if g.usesWinograd(for: .bfloat16) {
                return ReferenceWinograd.gradient(x: x, dy: dy, dw: dw, geometry: g)
            }
            let rows = g.rowsPerRun(outputWidth: dy.width)
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
                                    guard iy >= 0, iy < x.height else { continue }
                                    func pair(_ ox: Int) -> (Float, Float) {
                                        let ix = ox * g.stride - g.padding + kx * g.dilation
                                        return (
                                            ix >= 0 && ix < x.width ? x.pixel(n, iy, ix)[input] : 0,
                                            ox < dy.width ? dy.pixel(n, oy, ox)[output] : 0
                                        )
                                    }
                                    for ox in stride(from: 0, to: dy.width, by: 2) {
                                        sum = dot(sum, pair(ox), pair(ox + 1))
                                    }
                                }
                                total = add(total, sum)
                            }
                            dw[g.storageIndex(output: output, input: input, ky: ky, kx: kx)] = total
                        }
                    }
                }
            }
        }
    }
#endif
