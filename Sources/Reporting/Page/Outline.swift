/// The outline of a mask as closed curves.
///
/// The boundary follows the edges between inside and outside pixels; the curve goes through the middles of these
/// edges, which cuts the corners of single pixels and keeps every curve within half a pixel of the boundary. Pixels
/// that touch at a corner only are apart. Coordinates are in pixels from the mask's top left corner.
package enum Outline {
    /// A point of a curve, in half pixels, so that it is exact.
    package struct Point: Hashable, Sendable {
        package let x: Int
        package let y: Int

        package init(x: Int, y: Int) {
            self.x = x
            self.y = y
        }
    }

    /// The closed curves around the parts of a mask, and around their holes.
    ///
    /// - Parameters:
    ///   - mask: width × height elements, row by row; anything but 0 is inside.
    /// - Returns: for each curve its points; the last one is joined to the first.
    package static func curves(mask: [UInt8], width: Int, height: Int) -> [[Point]] {
        precondition(mask.count == width * height, "a mask must have width × height elements")
        var edges = EdgeGrid(width: width, height: height)
        for y in 0..<height {
            for x in 0..<width where mask[y * width + x] != 0 {
                // The inside is on the right of each edge, with y pointing down.
                if y == 0 || mask[(y - 1) * width + x] == 0 { edges.add(.right, x: x, y: y) }
                if x == width - 1 || mask[y * width + x + 1] == 0 { edges.add(.down, x: x + 1, y: y) }
                if y == height - 1 || mask[(y + 1) * width + x] == 0 { edges.add(.left, x: x + 1, y: y + 1) }
                if x == 0 || mask[y * width + x - 1] == 0 { edges.add(.up, x: x, y: y + 1) }
            }
        }
        var curves: [[Point]] = []
        for y in 0...height {
            for x in 0...width {
                while let first = edges.anyEdge(x: x, y: y) {
                    curves.append(simplified(edges.takeCurve(x: x, y: y, first: first)))
                }
            }
        }
        return curves
    }

    /// The curves as the `d` attribute of an SVG path, in pixels.
    package static func path(mask: [UInt8], width: Int, height: Int) -> String {
        func pixels(_ half: Int) -> String { half % 2 == 0 ? "\(half / 2)" : "\(half / 2).5" }
        return curves(mask: mask, width: width, height: height).map { curve in
            curve.enumerated().map { index, point in
                "\(index == 0 ? "M" : "L")\(pixels(point.x)) \(pixels(point.y))"
            }.joined() + "Z"
        }.joined()
    }

    /// Leaves out the points on a straight line between their neighbours.
    private static func simplified(_ points: [Point]) -> [Point] {
        points.indices.filter { index in
            let before = points[(index + points.count - 1) % points.count]
            let point = points[index]
            let after = points[(index + 1) % points.count]
            return (point.x - before.x) * (after.y - point.y) != (point.y - before.y) * (after.x - point.x)
        }.map { points[$0] }
    }
}

/// The directed edges between pixels, kept at the corner where they begin.
private struct EdgeGrid {
    enum Direction: UInt8, CaseIterable {
        case right, down, left, up

        var x: Int { self == .right ? 1 : self == .left ? -1 : 0 }
        var y: Int { self == .down ? 1 : self == .up ? -1 : 0 }
        func turned(by quarters: UInt8) -> Direction { Direction(rawValue: (rawValue + quarters) % 4) ?? .right }
    }

    private let columns: Int
    private var outgoing: [UInt8]

    init(width: Int, height: Int) {
        columns = width + 1
        outgoing = Array(repeating: 0, count: (width + 1) * (height + 1))
    }

    mutating func add(_ direction: Direction, x: Int, y: Int) {
        outgoing[y * columns + x] |= 1 << direction.rawValue
    }

    func anyEdge(x: Int, y: Int) -> Direction? {
        let edges = outgoing[y * columns + x]
        return edges == 0 ? nil : Direction.allCases.first { edges & (1 << $0.rawValue) != 0 }
    }

    /// Follows the edges from a corner back to it, takes them out, and gives their middles.
    mutating func takeCurve(x: Int, y: Int, first: Direction) -> [Outline.Point] {
        var middles: [Outline.Point] = []
        var (x, y, direction) = (x, y, first)
        while true {
            outgoing[y * columns + x] &= ~(1 << direction.rawValue)
            middles.append(Outline.Point(x: 2 * x + direction.x, y: 2 * y + direction.y))
            x += direction.x
            y += direction.y
            // Turning right first stays with the same pixel where two touch at this corner.
            let edges = outgoing[y * columns + x]
            let turns: [UInt8] = [1, 0, 3]
            guard let next = turns.map(direction.turned).first(where: { edges & (1 << $0.rawValue) != 0 }) else {
                return middles
            }
            direction = next
        }
    }
}
