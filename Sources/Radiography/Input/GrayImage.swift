/// An 8-bit grey image, row-major, 0 black and 255 white.
package struct GrayImage: Equatable, Sendable {
    package let width: Int
    package let height: Int
    /// `width` · `height` bytes.
    package var pixels: [UInt8]

    package init(width: Int, height: Int, pixels: [UInt8]) {
        precondition(
            width > 0 && height > 0 && pixels.count == width * height,
            "\(pixels.count) bytes for \(width)×\(height) pixels"
        )
        self.width = width
        self.height = height
        self.pixels = pixels
    }

    /// The image in the middle of the smallest square that holds it, black around; itself where it is square.
    ///
    /// An odd border has its extra pixel right or below. The challenge's masks lie on this square.
    package func paddedToSquare() -> GrayImage {
        guard width != height else { return self }
        let side = max(width, height)
        let left = (side - width) / 2
        let top = (side - height) / 2
        let padded = [UInt8](unsafeUninitializedCapacity: side * side) { target, count in
            target.initialize(repeating: 0)
            pixels.withUnsafeBufferPointer { source in
                for y in 0..<height {
                    let from = y * width
                    let to = (y + top) * side + left
                    for x in 0..<width { target[to + x] = source[from + x] }
                }
            }
            count = side * side
        }
        return GrayImage(width: side, height: side, pixels: padded)
    }

    /// The image at `size` × `size`: padded to a square, then scaled.
    ///
    /// Smaller sizes average areas, larger ones interpolate bilinearly between pixel centres. Both compute the exact
    /// rational value in integers and round halves up, so the bytes are the same on every machine.
    package func squared(to size: Int) -> GrayImage {
        precondition(size > 0 && size <= 1 << 15, "an image of \(size)×\(size) pixels")
        let square = paddedToSquare()
        if square.width == size { return square }
        if square.width > size { return square.areaAveraged(to: size) }
        return square.interpolated(to: size)
    }

    /// Each pixel is the mean of the area of this square image that it covers.
    private func areaAveraged(to size: Int) -> GrayImage {
        let side = width
        let result = [UInt8](unsafeUninitializedCapacity: size * size) { target, count in
            pixels.withUnsafeBufferPointer { source in
                if side == 2 * size {
                    averagePairs(source, target, side: side)
                } else {
                    averageAreas(source, target, side: side, size: size)
                }
            }
            count = size * size
        }
        return GrayImage(width: size, height: size, pixels: result)
    }

    /// Each pixel lies between the centres of up to four pixels of this square image; beyond the outermost centres
    /// the edge goes on.
    private func interpolated(to size: Int) -> GrayImage {
        let side = width
        // The centre of target pixel x is ((2x + 1) · side - size) / (2 · size) in units of source pixels.
        let taps = (0..<size).map { x -> (first: Int, second: Int, weight: Int) in
            let position = (2 * x + 1) * side - size
            let floor = position >= 0 ? position / (2 * size) : -1
            return (max(floor, 0), min(floor + 1, side - 1), position - floor * 2 * size)
        }
        let whole = 2 * size
        let area = whole * whole
        let result = [UInt8](unsafeUninitializedCapacity: size * size) { target, count in
            pixels.withUnsafeBufferPointer { source in
                for y in 0..<size {
                    let above = taps[y].first * side
                    let below = taps[y].second * side
                    let down = taps[y].weight
                    for x in 0..<size {
                        let tap = taps[x]
                        let upper =
                            Int(source[above + tap.first]) * (whole - tap.weight)
                            + Int(source[above + tap.second]) * tap.weight
                        let lower =
                            Int(source[below + tap.first]) * (whole - tap.weight)
                            + Int(source[below + tap.second]) * tap.weight
                        let sum = upper * (whole - down) + lower * down
                        target[y * size + x] = UInt8((2 * sum + area) / (2 * area))
                    }
                }
            }
            count = size * size
        }
        return GrayImage(width: size, height: size, pixels: result)
    }
}

/// The commonest ratio, 2: the same rule as `averageAreas`, eight times as fast.
private func averagePairs(
    _ source: UnsafeBufferPointer<UInt8>,
    _ target: UnsafeMutableBufferPointer<UInt8>,
    side: Int
) {
    let size = side / 2
    for y in 0..<size {
        let above = 2 * y * side
        let below = above + side
        for x in 0..<size {
            let upper = UInt16(source[above &+ 2 &* x]) &+ UInt16(source[above &+ 2 &* x &+ 1])
            let lower = UInt16(source[below &+ 2 &* x]) &+ UInt16(source[below &+ 2 &* x &+ 1])
            target[y &* size &+ x] = UInt8(truncatingIfNeeded: (upper &+ lower &+ 2) >> 2)
        }
    }
}

/// Averages with exact integer weights: a source pixel is `size` long and a target pixel `side`.
private func averageAreas(
    _ source: UnsafeBufferPointer<UInt8>,
    _ target: UnsafeMutableBufferPointer<UInt8>,
    side: Int,
    size: Int
) {
    let area = side * side
    // Column sums of a target row: at most 255 · side, below 2³² for every side below 2²⁴.
    var columns = [UInt32](repeating: 0, count: side)
    columns.withUnsafeMutableBufferPointer { columns in
        for targetY in 0..<size {
            columns.update(repeating: 0)
            let top = targetY * side
            let bottom = top + side
            for y in top / size...(bottom - 1) / size {
                let weight = UInt32(min(bottom, (y + 1) * size) - max(top, y * size))
                let row = y * side
                for x in 0..<side { columns[x] &+= weight &* UInt32(source[row &+ x]) }
            }
            for targetX in 0..<size {
                let left = targetX * side
                let right = left + side
                let first = left / size
                let last = (right - 1) / size
                var sum = 0
                for x in first...last {
                    sum &+= (min(right, (x &+ 1) &* size) &- max(left, x &* size)) &* Int(columns[x])
                }
                target[targetY * size + targetX] = UInt8(truncatingIfNeeded: (2 &* sum &+ area) / (2 &* area))
            }
        }
    }
}
