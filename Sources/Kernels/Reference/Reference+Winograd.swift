#if BF16
    import Kernels
#endif

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
                    let ends = Self.add(g[0], g[2])
                    return [g[0], Self.half(Self.add(ends, g[1])), Self.half(Self.add(ends, -g[1])), g[2]]
                }
                for p in 0..<16 { self.weights[(p * depth + d) * channels + c] = Self.operand(transformed[p]) }
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
                            Self.chain(depth) { d in (patches[d][p], weights[(p * depth + d) * channels + c]) }
                        }
                        let tile = Self.transform(products, 4) { m in
                            [Self.add(Self.add(m[0], m[1]), m[2]), Self.add(Self.add(m[1], -m[2]), -m[3])]
                        }
                        for (index, value) in tile.enumerated() {
                            let (y, x) = (top + index / 2, left + index % 2)
                            guard y < destination.height, x < destination.width else { continue }
                            var value = value
                            if let bias { value = Self.add(value, bias[c]) }
                            if relu { value = Reference.clampBelow(value) }
                            let element = destination.pixel(n, y, x) + c
                            element[0] = accumulate ? Self.add(element[0], value) : value
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
        let plan = g.winogradGradientPlan(for: format, images: x.images, height: x.height, width: x.width)
        let tiles = (0..<plan.tiles).map { tile in
            let (image, place) = tile.quotientAndRemainder(dividingBy: plan.tileRows * plan.tileColumns)
            return (image, 2 * (place / plan.tileColumns), 2 * (place % plan.tileColumns))
        }
        let patches = (0..<g.inputChannels).map { input in
            tiles.map { patch(x, $0.0, $0.1 - g.padding, $0.2 - g.padding, input) }
        }
        let gradients = (0..<g.outputChannels).map { output in
            tiles.map { image, top, left in
                transformedGradient((0..<4).map { element(dy, image, top + $0 / 2, left + $0 % 2, output) })
            }
        }
        let missing = transformedGradient([0, 0, 0, 0])
        for input in 0..<g.inputChannels {
            for output in 0..<g.outputChannels {
                let sums = (0..<16).map { p in
                    var total: Float = 0
                    for first in stride(from: 0, to: plan.tiles, by: WinogradGradientPlan.run) {
                        let count = min(WinogradGradientPlan.run, plan.tiles - first)
                        let sum = chain(count, padding: (0, missing[p])) {
                            (patches[input][first + $0][p], gradients[output][first + $0][p])
                        }
                        total = first == 0 ? sum : add(total, sum)
                    }
                    return total
                }
                let taps = transform(sums, 4) { u in
                    let even = half(add(u[1], u[2]))
                    return [add(u[0], even), half(add(u[1], -u[2])), add(even, u[3])]
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
        return operands(
            transform(values, 4) { d in [add(d[0], -d[2]), add(d[1], d[2]), add(d[2], -d[1]), add(d[1], -d[3])] }
        )
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

    private static func transformedGradient(_ tile: [Float]) -> [Float] {
        operands(transform(tile, 2) { y in [y[0], add(y[0], y[1]), add(y[0], -y[1]), -y[1]] })
    }

    private static func operands(_ values: [Float]) -> [Float] { values.map(operand) }

    #if BF16
        /// As the products take it.
        private static func operand(_ value: Float) -> Float { BFloat16.float(BFloat16.bits(value)) }

        private static func add(_ a: Float, _ b: Float) -> Float { Reference.add(a, b) }

        /// 0.5 · `value`, where that is not denormal.
        private static func half(_ value: Float) -> Float {
            abs(value) < 2 * Float.leastNormalMagnitude ? Float(signOf: value, magnitudeOf: 0) : 0.5 * value
        }

        private static let format = ElementFormat.bfloat16

        /// The dot steps of `count` factors.
        private static func chain(_ count: Int, padding: (Float, Float) = (0, 0), _ factors: (Int) -> (Float, Float))
            -> Float
        {
            var sum: Float = 0
            for index in stride(from: 0, to: count, by: 2) {
                sum = Reference.dot(sum, factors(index), index + 1 < count ? factors(index + 1) : padding)
            }
            return sum
        }
    #else
        private static func operand(_ value: Float) -> Float { value }

        private static func add(_ a: Float, _ b: Float) -> Float { a + b }

        private static func half(_ value: Float) -> Float { 0.5 * value }

        private static let format = ElementFormat.float32

        private static func chain(
            _ count: Int,
            padding: (Float, Float) = (0, 0),
            _ factors: (Int) -> (Float, Float)
        ) -> Float {
            var sum: Float = 0
            for index in 0..<count {
                let (a, b) = factors(index)
                sum.addProduct(a, b)
            }
            return sum
        }
    #endif
}
