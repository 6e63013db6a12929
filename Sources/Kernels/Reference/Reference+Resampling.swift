#if BF16
    import Kernels
#endif

extension Reference {
    @Sendable static func maxPool(
        x: TensorView,
        y: TensorView,
        taps: UnsafeMutablePointer<UInt8>,
        window: PoolingWindow
    ) {
        for n in 0..<y.images {
            for oy in 0..<y.height {
                for ox in 0..<y.width {
                    for c in 0..<y.channels {
                        var best = -Float.infinity
                        var tap: UInt8 = 0
                        var found = false
                        for ky in 0..<window.size {
                            for kx in 0..<window.size {
                                let iy = oy * window.stride - window.padding + ky
                                let ix = ox * window.stride - window.padding + kx
                                guard iy >= 0, iy < x.height, ix >= 0, ix < x.width else { continue }
                                let value = x.pixel(n, iy, ix)[c]
                                if !found || value > best || value.isNaN {
                                    best = value
                                    tap = UInt8(ky * window.size + kx)
                                    found = true
                                }
                            }
                        }
                        y.pixel(n, oy, ox)[c] = best
                        taps[((n * y.height + oy) * y.width + ox) * y.channels + c] = tap
                    }
                }
            }
        }
    }

    @Sendable static func maxPoolBackward(
        dy: TensorView,
        taps: UnsafePointer<UInt8>,
        dx: TensorView,
        window: PoolingWindow,
        accumulate: Bool
    ) {
        for n in 0..<dx.images {
            for iy in 0..<dx.height {
                for ix in 0..<dx.width {
                    for c in 0..<dx.channels {
                        var sum: Float = 0
                        for oy in 0..<dy.height {
                            let ky = iy + window.padding - oy * window.stride
                            guard ky >= 0, ky < window.size else { continue }
                            for ox in 0..<dy.width {
                                let kx = ix + window.padding - ox * window.stride
                                guard kx >= 0, kx < window.size else { continue }
                                let index = ((n * dy.height + oy) * dy.width + ox) * dy.channels + c
                                if Int(taps[index]) == ky * window.size + kx { sum += dy.pixel(n, oy, ox)[c] }
                            }
                        }
                        store(sum, at: dx.pixel(n, iy, ix) + c, accumulate: accumulate)
                    }
                }
            }
        }
    }

    @Sendable static func averagePool(x: TensorView, y: TensorView, window: PoolingWindow) {
        for n in 0..<y.images {
            for oy in 0..<y.height {
                for ox in 0..<y.width {
                    let divisor = window.divisor(oy, extent: x.height) * window.divisor(ox, extent: x.width)
                    for c in 0..<y.channels {
                        var sum: Float = 0
                        for ky in 0..<window.size {
                            for kx in 0..<window.size {
                                let iy = oy * window.stride - window.padding + ky
                                let ix = ox * window.stride - window.padding + kx
                                guard iy >= 0, iy < x.height, ix >= 0, ix < x.width else { continue }
                                sum += x.pixel(n, iy, ix)[c]
                            }
                        }
                        y.pixel(n, oy, ox)[c] = sum / Float(divisor)
                    }
                }
            }
        }
    }

    @Sendable static func averagePoolBackward(
        dy: TensorView,
        dx: TensorView,
        window: PoolingWindow,
        accumulate: Bool
    ) {
        for n in 0..<dx.images {
            for iy in 0..<dx.height {
                for ix in 0..<dx.width {
                    for c in 0..<dx.channels {
                        var sum: Float = 0
                        for oy in 0..<dy.height {
                            let ky = iy + window.padding - oy * window.stride
                            guard ky >= 0, ky < window.size else { continue }
                            for ox in 0..<dy.width {
                                let kx = ix + window.padding - ox * window.stride
                                guard kx >= 0, kx < window.size else { continue }
                                let divisor =
                                    window.divisor(oy, extent: dx.height) * window.divisor(ox, extent: dx.width)
                                sum += dy.pixel(n, oy, ox)[c] / Float(divisor)
                            }
                        }
                        store(sum, at: dx.pixel(n, iy, ix) + c, accumulate: accumulate)
                    }
                }
            }
        }
    }

    @Sendable static func globalAveragePool(x: TensorView, y: TensorView) {
        for n in 0..<x.images {
            for c in 0..<x.channels {
                let total = blockSum(pixels: x.pixelsPerImage) { sum, pixel in
                    sum += x.pixel(n * x.pixelsPerImage + pixel)[c]
                }
                y.pixel(n)[c] = Float(total / Double(x.pixelsPerImage))
            }
        }
    }

    @Sendable static func globalAveragePoolBackward(dy: TensorView, dx: TensorView, accumulate: Bool) {
        let share = 1 / Float(dx.pixelsPerImage)
        for pixel in 0..<dx.pixels {
            for c in 0..<dx.channels {
                store(
                    dy.pixel(pixel / dx.pixelsPerImage)[c] * share,
                    at: dx.pixel(pixel) + c,
                    accumulate: accumulate
                )
            }
        }
    }

    @Sendable static func upsampleNearest(x: TensorView, y: TensorView, factor: Int) {
        for n in 0..<y.images {
            for oy in 0..<y.height {
                for ox in 0..<y.width {
                    for c in 0..<y.channels {
                        y.pixel(n, oy, ox)[c] = x.pixel(n, oy / factor, ox / factor)[c]
                    }
                }
            }
        }
    }

    @Sendable static func upsampleNearestBackward(dy: TensorView, dx: TensorView, factor: Int, accumulate: Bool) {
        for n in 0..<dx.images {
            for iy in 0..<dx.height {
                for ix in 0..<dx.width {
                    for c in 0..<dx.channels {
                        var sum = dy.pixel(n, iy * factor, ix * factor)[c]
                        for k in 1..<max(2, factor * factor) where factor > 1 {
                            sum += dy.pixel(n, iy * factor + k / factor, ix * factor + k % factor)[c]
                        }
                        store(sum, at: dx.pixel(n, iy, ix) + c, accumulate: accumulate)
                    }
                }
            }
        }
    }

    @Sendable static func upsampleBilinear(x: TensorView, y: TensorView, alignCorners: Bool) {
        let rows = BilinearAxis(source: x.height, target: y.height, alignCorners: alignCorners)
        let columns = BilinearAxis(source: x.width, target: y.width, alignCorners: alignCorners)
        for n in 0..<y.images {
            for oy in 0..<y.height {
                let row = rows.sample(oy)
                for ox in 0..<y.width {
                    let column = columns.sample(ox)
                    for c in 0..<y.channels {
                        func blend(_ ix: Int) -> Float {
                            let top = x.pixel(n, row.lower, ix)[c]
                            return top.addingProduct(x.pixel(n, row.upper, ix)[c] - top, row.weight)
                        }
                        let left = blend(column.lower)
                        y.pixel(n, oy, ox)[c] = left.addingProduct(blend(column.upper) - left, column.weight)
                    }
                }
            }
        }
    }

    @Sendable static func upsampleBilinearBackward(
        dy: TensorView,
        dx: TensorView,
        alignCorners: Bool,
        accumulate: Bool
    ) {
        let rows = BilinearAxis(source: dx.height, target: dy.height, alignCorners: alignCorners)
        let columns = BilinearAxis(source: dx.width, target: dy.width, alignCorners: alignCorners)
        for n in 0..<dx.images {
            for c in 0..<dx.channels {
                var sums = [Float](repeating: 0, count: dx.pixelsPerImage)
                for oy in 0..<dy.height {
                    let row = rows.sample(oy)
                    for ox in 0..<dy.width {
                        let column = columns.sample(ox)
                        let g = dy.pixel(n, oy, ox)[c]
                        let bottom = g * row.weight
                        let top = g - bottom
                        for (iy, part) in [(row.lower, top), (row.upper, bottom)] {
                            let right = part * column.weight
                            sums[iy * dx.width + column.lower] += part - right
                            sums[iy * dx.width + column.upper] += right
                        }
                    }
                }
                for (pixel, sum) in sums.enumerated() {
                    store(sum, at: dx.pixel(n * dx.pixelsPerImage + pixel) + c, accumulate: accumulate)
                }
            }
        }
    }
}
