/// A measured curve: y over rising x.
package struct Curve: Sendable, Equatable {
    /// One measurement.
    package struct Point: Sendable, Equatable {
        package let x: Double
        package let y: Double

        package init(_ x: Double, _ y: Double) {
            self.x = x
            self.y = y
        }
    }

    package var points: [Point]

    /// Leaves out points that are not finite.
    package init(_ points: [Point]) {
        self.points = points.filter { $0.x.isFinite && $0.y.isFinite }
    }

    /// A curve of at most `count` points, each the mean of a stretch of equally many: a page of a long run stays small.
    package func thinned(to count: Int) -> Curve {
        guard points.count > count, count > 0 else { return self }
        return Curve(
            (0..<count).map { bucket in
                let members = points[points.count * bucket / count..<points.count * (bucket + 1) / count]
                let size = Double(members.count)
                return Point(members.map(\.x).reduce(0, +) / size, members.map(\.y).reduce(0, +) / size)
            }
        )
    }

    /// A curve of at most `count` points that keeps the scatter: of each stretch the lowest and the highest point.
    package func extremes(within count: Int) -> Curve {
        guard points.count > count, count > 1 else { return self }
        let buckets = count / 2
        return Curve(
            (0..<buckets).flatMap { bucket -> [Point] in
                let members = points[points.count * bucket / buckets..<points.count * (bucket + 1) / buckets]
                guard let low = members.min(by: { $0.y < $1.y }), let high = members.max(by: { $0.y < $1.y }) else {
                    return []
                }
                return low.x < high.x ? [low, high] : low == high ? [low] : [high, low]
            }
        )
    }

    /// The running mean over about `window` points, half of them before and half after, so that it does not lag.
    package func smoothed(window: Double) -> Curve {
        let reach = Int(max(0, window / 2))
        var sums = [0.0]
        for point in points { sums.append(sums[sums.count - 1] + point.y) }
        return Curve(
            points.indices.map { index in
                // Near the ends both sides shrink alike: a window that leans to one side would bend the curve.
                let side = min(reach, index, points.count - 1 - index)
                let mean = (sums[index + side + 1] - sums[index - side]) / Double(2 * side + 1)
                return Point(points[index].x, mean)
            }
        )
    }
}
