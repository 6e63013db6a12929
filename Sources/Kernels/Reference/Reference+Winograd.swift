#if !BF16
    /// Winograd's F(2×2, 3×3) in scalars, forward or back to the input.
    struct ReferenceWinograd {
        let depth: Int
        let channels: Int
        /// Rows and columns of the first patch before the source.
        let padding: Int
        /// `[16][depth][channels]`.
        private var weights: [Float]

        init(geometry g: ConvolutionGeometry, weights: UnsafePointer<Float>, transposed: Bool) {
            depth = transposed ? g.outputChannels : g.inputChannels
            channels = transposed ? g.inputChannels : g.outputChannels
            padding = transposed ? 2 - g.padding : g.padding
            self.weights = [Float](repeating: 0, count: 16 * depth * channels)
            for d in 0..<depth {
                for c in 0..<channels {
                    let taps = (0..<9).map { tap in
                        // The gradient meets the taps in the opposite order.
                        let index =
                            transposed
                            ? g.storageIndex(output: d, input: c, ky: 2 - tap / 3, kx: 2 - tap % 3)
                            : g.storageIndex(output: c, input: d, ky: tap / 3, kx: tap % 3)
                        return weights[index]
                    }
                    let transformed = Self.transform(taps, 3) { g in
                        [g[0], 0.5 * ((g[0] + g[2]) + g[1]), 0.5 * ((g[0] + g[2]) - g[1]), g[2]]
                    }
                    for p in 0..<16 { self.weights[(p * depth + d) * channels + c] = transformed[p] }
                }
            }
        }

        func run(
            source: TensorView,
            bias: UnsafePointer<Float>?,
            destination: TensorView,
            relu: Bool,
            accumulate: Bool
        ) {
            for n in 0..<destination.images {
                for top in stride(from: 0, to: destination.height, by: 2) {
                    for left in stride(from: 0, to: destination.width, by: 2) {
                        let patches = (0..<depth).map { d in
                            Self.patch(source, n, top - padding, left - padding, d)
                        }
                        for c in 0..<channels {
                            let products = (0..<16).map { p in
                                var sum: Float = 0
                                for d in 0..<depth {
                                    sum.addProduct(patches[d][p], weights[(p * depth + d) * channels + c])
                                }
                                return sum
                            }
                            let tile = Self.transform(products, 4) { m in
                                [(m[0] + m[1]) + m[2], (m[1] - m[2]) - m[3]]
                            }
                            for (index, value) in tile.enumerated() {
                                let (y, x) = (top + index / 2, left + index % 2)
                                guard y < destination.height, x < destination.width else { continue }
                                var value = value
                                if let bias { value += bias[c] }
                                if relu { value = Reference.clampBelow(value) }
                                let element = destination.pixel(n, y, x) + c
                                Reference.store(value, at: element, accumulate: accumulate)
                            }
                        }
                    }
                }
            }
        }

        /// The gradient to the weights, into an area of zeros.
        static func gradient(
            x: TensorView,
            dy: TensorView,
            dw: UnsafeMutablePointer<Float>,
            geometry g: ConvolutionGeometry
        ) {
            let plan = g.winogradGradientPlan(images: x.images, height: x.height, width: x.width)
            let tiles = (0..<plan.tiles).map { tile in
                let (image, place) = tile.quotientAndRemainder(dividingBy: plan.tileRows * plan.tileColumns)
                return (image, 2 * (place / plan.tileColumns), 2 * (place % plan.tileColumns))
            }
            let patches = (0..<g.inputChannels).map { input in
                tiles.map { patch(x, $0.0, $0.1 - g.padding, $0.2 - g.padding, input) }
            }
            let gradients = (0..<g.outputChannels).map { output in
                tiles.map { image, top, left in
                    let tile = (0..<4).map { element(dy, image, top + $0 / 2, left + $0 % 2, output) }
                    return transform(tile, 2) { y in [y[0], y[0] + y[1], y[0] - y[1], -y[1]] }
                }
            }
            for input in 0..<g.inputChannels {
                for output in 0..<g.outputChannels {
                    let sums = (0..<16).map { p in
                        var total: Float = 0
                        for first in stride(from: 0, to: plan.tiles, by: WinogradGradientPlan.run) {
                            var sum: Float = 0
                            for tile in first..<min(first + WinogradGradientPlan.run, plan.tiles) {
                                sum.addProduct(patches[input][tile][p], gradients[output][tile][p])
                            }
                            total = first == 0 ? sum : total + sum
                        }
                        return total
                    }
                    let taps = transform(sums, 4) { u in
                        let even = 0.5 * (u[1] + u[2])
                        return [u[0] + even, 0.5 * (u[1] - u[2]), even + u[3]]
                    }
                    for tap in 0..<9 {
                        dw[g.storageIndex(output: output, input: input, ky: tap / 3, kx: tap % 3)] = taps[tap]
                    }
                }
            }
        }

        /// The transformed 4×4 patch of a channel from (`top`, `left`) on.
        private static func patch(_ view: TensorView, _ n: Int, _ top: Int, _ left: Int, _ channel: Int) -> [Float] {
            let values = (0..<16).map { element(view, n, top + $0 / 4, left + $0 % 4, channel) }
            return transform(values, 4) { d in [d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]] }
        }

        /// Zero outside the image.
        private static func element(_ view: TensorView, _ n: Int, _ y: Int, _ x: Int, _ channel: Int) -> Float {
            let inside = y >= 0 && y < view.height && x >= 0 && x < view.width
            return inside ? view.pixel(n, y, x)[channel] : 0
        }

        /// `line` over a square of `extent`²: down the columns first, then across the rows of what that gives.
        private static func transform(_ square: [Float], _ extent: Int, _ line: ([Float]) -> [Float]) -> [Float] {
            let columns = (0..<extent).map { x in line((0..<extent).map { y in square[y * extent + x] }) }
            return columns[0].indices.flatMap { y in line(columns.map { $0[y] }) }
        }
    }
#endif
