import Kernels

/// `BilinearAxis` once more: a call of another module's function for each element would cost more than its work.
struct AxisSampler {
    let source: Int
    let scale: Float
    let alignCorners: Bool

    init(source: Int, target: Int, alignCorners: Bool) {
        self.source = source
        self.alignCorners = alignCorners
        if alignCorners {
            scale = target > 1 ? Float(source - 1) / Float(target - 1) : 0
        } else {
            scale = Float(source) / Float(target)
        }
    }

    /// Element `index` is lower + (upper - lower) · weight.
    @inline(__always)
    func sample(_ index: Int) -> (lower: Int, upper: Int, weight: Float) {
        var position = alignCorners ? Float(index) * scale : (Float(index) + 0.5) * scale - 0.5
        if position < 0 { position = 0 }
        let lower = min(Int(position), source - 1)
        return (lower, min(lower + 1, source - 1), position - Float(lower))
    }

    /// Moves `range` to the targets below `count` that read source `index`; `range` is that of the source before, or
    /// empty at 0 for the first.
    @inline(__always)
    func advance(_ range: inout (first: Int, end: Int), to index: Int, count: Int) {
        while range.first < count && sample(range.first).upper < index { range.first += 1 }
        if range.end < range.first { range.end = range.first }
        while range.end < count && sample(range.end).lower <= index { range.end += 1 }
    }
}

@Sendable func upsampleBilinear(x: TensorView, y: TensorView, alignCorners: Bool) {
    let rows = AxisSampler(source: x.height, target: y.height, alignCorners: alignCorners)
    let columns = AxisSampler(source: x.width, target: y.width, alignCorners: alignCorners)
    var image = 0
    while image < y.images {
        var row = 0
        while row < y.height {
            let vertical = rows.sample(row)
            let t = Lanes(repeating: vertical.weight)
            let top = at(x, image, vertical.lower, 0)
            let bottom = at(x, image, vertical.upper, 0)
            var place = at(y, image, row, 0)
            var column = 0
            while column < y.width {
                let horizontal = columns.sample(column)
                let s = Lanes(repeating: horizontal.weight)
                let left = horizontal.lower * x.pixelStride
                let right = horizontal.upper * x.pixelStride
                var channel = 0
                while channel < y.channels {
                    let topLeft = load(top + left + channel)
                    let topRight = load(top + right + channel)
                    let leftValue = fma(load(bottom + left + channel) - topLeft, t, topLeft)
                    let rightValue = fma(load(bottom + right + channel) - topRight, t, topRight)
                    storeLanes(fma(rightValue - leftValue, s, leftValue), place + channel, y.channels - channel)
                    channel += 16
                }
                place += y.pixelStride
                column += 1
            }
            row += 1
        }
        image += 1
    }
}

/// Gathers: each element of dx takes its contributions in the order of dy's elements, and is rounded once.
@Sendable func upsampleBilinearBackward(
    dy: TensorView,
    dx: TensorView,
    alignCorners: Bool,
    accumulate: Bool
) {
    let rows = AxisSampler(source: dx.height, target: dy.height, alignCorners: alignCorners)
    let columns = AxisSampler(source: dx.width, target: dy.width, alignCorners: alignCorners)
    var image = 0
    while image < dx.images {
        var rowRange = (first: 0, end: 0)
        var row = 0
        while row < dx.height {
            rows.advance(&rowRange, to: row, count: dy.height)
            var columnRange = (first: 0, end: 0)
            var column = 0
            while column < dx.width {
                columns.advance(&columnRange, to: column, count: dy.width)
                let part = BilinearGradient(
                    dy: dy,
                    image: image,
                    rows: rows,
                    columns: columns,
                    row: row,
                    column: column,
                    rowRange: rowRange,
                    columnRange: columnRange
                )
                let place = at(dx, image, row, column)
                var channel = 0
                while channel < dx.channels {
                    if channel + 32 < dx.channels {
                        part.wide(place, channel, dx.channels, accumulate)
                        channel += 64
                    } else {
                        part.narrow(place, channel, dx.channels, accumulate)
                        channel += 16
                    }
                }
                column += 1
            }
            row += 1
        }
        image += 1
    }
}

/// The contributions to the gradient of one source pixel.
struct BilinearGradient {
    var dy: TensorView
    var image: Int
    var rows: AxisSampler
    var columns: AxisSampler
    var row: Int
    var column: Int
    /// The targets that may read the pixel.
    var rowRange: (first: Int, end: Int)
    var columnRange: (first: Int, end: Int)

    /// Calls `add(gradient, rows, columns)` for the targets that read the pixel, in order; rows and columns say whether
    /// it is their upper or lower neighbour, or both, and with which weight.
    @inline(__always)
    borrowing func forEachTarget(
        _ add: (UnsafePointer<Element>, BilinearShare, BilinearShare) -> Void
    ) {
        let lastRow = rowRange.end
        let lastColumn = columnRange.end
        var oy = rowRange.first
        while oy < lastRow {
            let vertical = BilinearShare(rows.sample(oy), of: row)
            var gradient = UnsafePointer(at(dy, image, oy, columnRange.first))
            var ox = columnRange.first
            while ox < lastColumn {
                add(gradient, vertical, BilinearShare(columns.sample(ox), of: column))
                gradient += dy.pixelStride
                ox += 1
            }
            oy += 1
        }
    }

    @inline(__always)
    borrowing func narrow(_ place: UnsafeMutablePointer<Element>, _ channel: Int, _ channels: Int, _ accumulate: Bool) {
        var sum = Lanes(repeating: 0)
        forEachTarget { gradient, vertical, horizontal in
            BilinearShare.add(load(gradient + channel), vertical, horizontal, &sum)
        }
        put(sum, place + channel, channels - channel, accumulate)
    }

    /// Up to 64 channels, at least 33.
    @inline(__always)
    borrowing func wide(_ place: UnsafeMutablePointer<Element>, _ channel: Int, _ channels: Int, _ accumulate: Bool) {
        let zero = Lanes(repeating: 0)
        var sum = (zero, zero, zero, zero)
        // The last block is read only where it has channels.
        let last = channel + 48 < channels ? channel + 48 : channel
        forEachTarget { gradient, vertical, horizontal in
            let g = (
                load(gradient + channel), load(gradient + channel + 16), load(gradient + channel + 32),
                load(gradient + last)
            )
            let t = vertical.weight
            let bottom = (g.0 * t, g.1 * t, g.2 * t, g.3 * t)
            if vertical.isLower {
                let top = (g.0 - bottom.0, g.1 - bottom.1, g.2 - bottom.2, g.3 - bottom.3)
                horizontal.add(top, &sum)
            }
            if vertical.isUpper { horizontal.add(bottom, &sum) }
        }
        put(sum.0, place + channel, 16, accumulate)
        put(sum.1, place + channel + 16, 16, accumulate)
        put(sum.2, place + channel + 32, channels - channel - 32, accumulate)
        if channel + 48 < channels { put(sum.3, place + channel + 48, channels - channel - 48, accumulate) }
    }
}

/// What a source has of a target along one axis.
struct BilinearShare {
    var weight: Lanes
    /// Whether the source is the target's lower and its upper neighbour.
    var isLower: Bool
    var isUpper: Bool

    @inline(__always)
    init(_ sample: (lower: Int, upper: Int, weight: Float), of index: Int) {
        weight = Lanes(repeating: sample.weight)
        isLower = sample.lower == index
        isUpper = sample.upper == index
    }

    /// Adds the contributions of a target's gradient: lower row first, and in it lower column first.
    @inline(__always)
    static func add(_ g: Lanes, _ vertical: BilinearShare, _ horizontal: BilinearShare, _ sum: inout Lanes) {
        let bottom = g * vertical.weight
        if vertical.isLower { horizontal.add(g - bottom, &sum) }
        if vertical.isUpper { horizontal.add(bottom, &sum) }
    }

    /// The same for four blocks of channels.
    @inline(__always)
    func add(_ part: (Lanes, Lanes, Lanes, Lanes), _ sum: inout (Lanes, Lanes, Lanes, Lanes)) {
        let upper = (part.0 * weight, part.1 * weight, part.2 * weight, part.3 * weight)
        if isLower {
            sum.0 += part.0 - upper.0
            sum.1 += part.1 - upper.1
            sum.2 += part.2 - upper.2
            sum.3 += part.3 - upper.3
        }
        if isUpper {
            sum.0 += upper.0
            sum.1 += upper.1
            sum.2 += upper.2
            sum.3 += upper.3
        }
    }

    @inline(__always)
    func add(_ part: Lanes, _ sum: inout Lanes) {
        let upper = part * weight
        if isLower { sum += part - upper }
        if isUpper { sum += upper }
    }
}
