/// How a stroke's density runs across its width.
enum StrokeProfile {
    /// A line, soft at both edges.
    case line
    /// A cylinder: thick in the middle.
    case rod
    /// A bone: a cortex that is denser than what it encloses.
    case bone
    /// A fold of skin: rises slowly from one edge, falls at once in the middle.
    case fold
    /// A hollow tube: two walls and a faint lumen.
    case tube

    /// The density at `n`, the distance from the axis in half widths, -1...1; negative left of the direction.
    func density(_ n: Float) -> Float {
        let t = abs(n)
        switch self {
        case .line:
            let s = 1 - t * t
            return s * s
        case .rod:
            return max(0, 1 - t * t).squareRoot()
        case .bone:
            let cortex = max(0, 1 - (t - 0.78) * (t - 0.78) * 36)
            let inside = t < 0.86 ? 1 : max(0, 1 - (t - 0.86) * 7.2)
            return 0.62 * inside + 0.38 * cortex
        case .fold:
            return n < 0 ? (1 + n) * (1 + n) : max(0, 1 - n * 9)
        case .tube:
            let wall = max(0, 1 - (t - 0.72) * (t - 0.72) * 16)
            return 0.35 * max(0, 1 - t * t) + 0.65 * wall
        }
    }
}

/// One plane of densities, `size` × `size`, row-major.
final class PhantomPlane {
    let size: Int
    let values: UnsafeMutablePointer<Float>

    init(size: Int) {
        self.size = size
        values = .allocate(capacity: size * size)
        values.initialize(repeating: 0, count: size * size)
    }

    deinit {
        values.deallocate()
    }

    func clear() {
        values.update(repeating: 0, count: size * size)
    }
}

/// The buffers in which one thread draws phantoms of one size.
///
/// Not for use by two threads at once.
final class PhantomCanvas {
    let size: Int
    /// Attenuation along the ray: 0 is air, about 1 the middle of the body.
    let density: PhantomPlane
    /// Markings of the lungs, which show only where lung is.
    let markings: PhantomPlane
    let scratch: PhantomPlane
    private let amplitudes: PhantomPlane

    init(size: Int) {
        self.size = size
        density = PhantomPlane(size: size)
        markings = PhantomPlane(size: size)
        scratch = PhantomPlane(size: size)
        amplitudes = PhantomPlane(size: size)
    }

    /// Pixel bounds of a box in image coordinates, or nothing where it lies outside.
    private func bounds(
        _ lower: PhantomPoint,
        _ upper: PhantomPoint
    ) -> (left: Int, right: Int, top: Int, bottom: Int)? {
        let limit = Float(size)
        let left = Int(max(0, min(limit, lower.x * limit - 0.5)))
        let right = Int(max(-1, min(limit - 1, (upper.x * limit - 0.5).rounded(.up))))
        let top = Int(max(0, min(limit, lower.y * limit - 0.5)))
        let bottom = Int(max(-1, min(limit - 1, (upper.y * limit - 0.5).rounded(.up))))
        return left <= right && top <= bottom ? (left, right, top, bottom) : nil
    }

    /// The narrowest half width that a pixel grid shows, in image units.
    ///
    /// Thinner strokes are drawn so wide and weaker.
    private var narrowest: Float { 0.8 / Float(size) }

    /// Adds a stroke of round ends along `points` to `plane`.
    ///
    /// `halfWidth` and `amplitude` give the values at the fraction of the points passed, 0 at the first and 1 at the
    /// last. Where the stroke meets itself it counts once.
    func stroke(
        _ points: [PhantomPoint],
        profile: StrokeProfile,
        on plane: PhantomPlane,
        halfWidth: (Float) -> Float,
        amplitude: (Float) -> Float
    ) {
        guard points.count > 1 else { return }
        let steps = Float(points.count - 1)
        var lower = points[0]
        var upper = points[0]
        var widest: Float = 0
        for (index, point) in points.enumerated() {
            lower = PhantomPoint(min(lower.x, point.x), min(lower.y, point.y))
            upper = PhantomPoint(max(upper.x, point.x), max(upper.y, point.y))
            widest = max(widest, halfWidth(Float(index) / steps), narrowest)
        }
        guard let box = bounds(lower - widest, upper + widest) else { return }
        let nearest = scratch.values
        for y in box.top...box.bottom {
            (nearest + y * size + box.left).update(repeating: 4, count: box.right - box.left + 1)
        }
        for index in 1..<points.count {
            let t0 = Float(index - 1) / steps
            let t1 = Float(index) / steps
            nearestSegment(
                from: points[index - 1],
                to: points[index],
                widths: (halfWidth(t0), halfWidth(t1)),
                amplitudes: (amplitude(t0), amplitude(t1))
            )
        }
        for y in box.top...box.bottom {
            for index in y * size + box.left...y * size + box.right where abs(nearest[index]) < 1 {
                plane.values[index] += amplitudes.values[index] * profile.density(nearest[index])
            }
        }
    }

    func stroke(
        _ points: [PhantomPoint],
        profile: StrokeProfile,
        on plane: PhantomPlane,
        halfWidth: Float,
        amplitude: Float
    ) {
        stroke(points, profile: profile, on: plane, halfWidth: { _ in halfWidth }, amplitude: { _ in amplitude })
    }

    /// A disc or, with `profile` bone, a ring with a rim.
    func disc(at center: PhantomPoint, radius: Float, profile: StrokeProfile, amplitude: Float, on plane: PhantomPlane)
    {
        let end = center + PhantomPoint(radius * 0.001, 0)
        stroke([center, end], profile: profile, on: plane, halfWidth: radius, amplitude: amplitude)
    }

    /// Notes, in `scratch` and `amplitudes`, the pixels that are nearer to this segment than to those before, in
    /// half widths.
    private func nearestSegment(
        from a: PhantomPoint,
        to b: PhantomPoint,
        widths: (Float, Float),
        amplitudes pair: (Float, Float)
    ) {
        let reach = max(widths.0, widths.1, narrowest)
        guard
            let box = bounds(
                PhantomPoint(min(a.x, b.x), min(a.y, b.y)) - reach,
                PhantomPoint(max(a.x, b.x), max(a.y, b.y)) + reach
            )
        else { return }
        let pixel = 1 / Float(size)
        let d = b - a
        let inverse = 1 / max(1e-12, d.lengthSquared)
        let nearest = scratch.values
        let strengths = amplitudes.values
        let least = narrowest
        for y in box.top...box.bottom {
            let py = (Float(y) + 0.5) * pixel - a.y
            for x in box.left...box.right {
                let px = (Float(x) + 0.5) * pixel - a.x
                let along = (px * d.x + py * d.y) * inverse
                let t = along < 0 ? 0 : along > 1 ? 1 : along
                let ex = px - t * d.x
                let ey = py - t * d.y
                let square = ex * ex + ey * ey
                if square >= reach * reach { continue }
                let wanted = widths.0 + (widths.1 - widths.0) * t
                let width = wanted > least ? wanted : least
                let n = square.squareRoot() / width
                let index = y * size + x
                if n < abs(nearest[index]) {
                    nearest[index] = d.x * ey - d.y * ex < 0 ? -n : n
                    let weakened = wanted > least ? 1 : wanted / least
                    strengths[index] = (pair.0 + (pair.1 - pair.0) * t) * weakened
                }
            }
        }
    }

    /// Raises `plane` to a tapering rod along a segment, where the rod is denser than what stands there.
    func raise(
        _ plane: PhantomPlane,
        from a: PhantomPoint,
        to b: PhantomPoint,
        widths: (Float, Float),
        amplitude: Float
    ) {
        let least = narrowest
        let reach = max(widths.0, widths.1, least)
        guard
            let box = bounds(
                PhantomPoint(min(a.x, b.x), min(a.y, b.y)) - reach,
                PhantomPoint(max(a.x, b.x), max(a.y, b.y)) + reach
            )
        else { return }
        let pixel = 1 / Float(size)
        let d = b - a
        let inverse = 1 / max(1e-12, d.lengthSquared)
        for y in box.top...box.bottom {
            let py = (Float(y) + 0.5) * pixel - a.y
            let row = plane.values + y * size
            for x in box.left...box.right {
                let px = (Float(x) + 0.5) * pixel - a.x
                let along = (px * d.x + py * d.y) * inverse
                let t = along < 0 ? 0 : along > 1 ? 1 : along
                let ex = px - t * d.x
                let ey = py - t * d.y
                let wanted = widths.0 + (widths.1 - widths.0) * t
                let width = wanted > least ? wanted : least
                let n = 1 - (ex * ex + ey * ey) / (width * width)
                if n <= 0 { continue }
                let value = amplitude * n * (wanted > least ? 1 : wanted / least)
                if value > row[x] { row[x] = value }
            }
        }
    }
}
