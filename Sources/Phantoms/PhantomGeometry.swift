import Numerics

/// A point of a phantom: in image coordinates, the image's side is 1 and y points down.
typealias PhantomPoint = SIMD2<Float>

/// A stream of a phantom's random numbers, drawn in the order of use.
///
/// Every part of the anatomy has a stream of its own, so that a change of one part leaves the others as they are.
struct PhantomDraws {
    /// What a stream draws.
    ///
    /// The raw value is the epoch of the random sequence and never changes.
    enum Part: UInt32 {
        case patient = 1
        case patients = 2
        case kind = 3
        case pose = 4
        case contours = 5
        case collapse = 6
        case bones = 7
        case vessels = 8
        case texture = 9
        case opacities = 10
        case devices = 11
        case markers = 12
        case exposure = 13
        case noise = 14
        case identity = 15
        case fold = 16
        case decoy = 17
        /// The mask that a negative is posed for.
        case stand = 18
    }

    let sequence: RandomSequence
    private var index = 0

    init(seed: UInt64, part: Part, position: Int) {
        sequence = RandomSequence(
            seed: seed,
            purpose: .phantom,
            epoch: part.rawValue,
            position: UInt32(truncatingIfNeeded: position)
        )
    }

    mutating func uniform(_ lower: Float, _ upper: Float) -> Float {
        defer { index += 1 }
        return sequence.uniform(index, in: lower...upper)
    }

    /// True with probability `share`.
    mutating func chance(_ share: Float) -> Bool {
        uniform(0, 1) < share
    }

    mutating func integer(below bound: Int) -> Int {
        defer { index += 1 }
        return sequence.integer(index, below: bound)
    }

    /// About normal with deviation 1, never beyond ±3.5: the sum of twelve uniform numbers.
    mutating func normal() -> Float {
        var sum: Float = -6
        for _ in 0..<12 { sum += uniform(0, 1) }
        return max(-3.5, min(3.5, sum))
    }
}

extension PhantomPoint {
    var lengthSquared: Float { x * x + y * y }
    var length: Float { lengthSquared.squareRoot() }
}

/// Linear interpolation.
func mix(_ a: Float, _ b: Float, _ t: Float) -> Float {
    a + (b - a) * t
}

/// 0 below `lower`, 1 above `upper`, a smooth step between.
func smoothStep(_ lower: Float, _ upper: Float, _ value: Float) -> Float {
    let t = max(0, min(1, (value - lower) / (upper - lower)))
    return t * t * (3 - 2 * t)
}

/// The place of a thorax in the image.
///
/// Thorax coordinates: u is 0 on the midline and ±1 on the inner chest wall at the level of the diaphragm, positive
/// towards the right of the image (the patient's left); v is 0 at the apex of the lungs and 1 at the costophrenic angle.
struct PhantomPose {
    var center: PhantomPoint
    var halfWidth: Float
    var height: Float
    var cosine: Float
    var sine: Float
    /// Turn of the patient about the long axis: moves what lies on the midline sideways.
    var turn: Float

    /// The image coordinates of the thorax point (u, v).
    func callAsFunction(_ u: Float, _ v: Float) -> PhantomPoint {
        let turned = u + turn * max(0, 1 - u * u)
        let x = turned * halfWidth
        let y = (v - 0.5) * height
        return PhantomPoint(center.x + cosine * x - sine * y, center.y + sine * x + cosine * y)
    }

    func callAsFunction(_ points: [PhantomPoint]) -> [PhantomPoint] {
        points.map { self($0.x, $0.y) }
    }

    /// The thorax coordinates of an image point, with the turn left out.
    func thorax(_ point: PhantomPoint) -> PhantomPoint {
        let d = point - center
        return PhantomPoint(
            (cosine * d.x + sine * d.y) / halfWidth,
            (cosine * d.y - sine * d.x) / height + 0.5
        )
    }
}

/// Curves through points.
enum PhantomCurve {
    /// A closed Catmull-Rom curve through `points`, `steps` samples a span.
    ///
    /// The points listed in `corners` stay sharp.
    static func closed(_ points: [PhantomPoint], corners: Set<Int> = [], steps: Int = 8) -> [PhantomPoint] {
        let count = points.count
        var result: [PhantomPoint] = []
        result.reserveCapacity(count * steps)
        for i in 0..<count {
            let a = points[i]
            let b = points[(i + 1) % count]
            let before = corners.contains(i) ? a : points[(i + count - 1) % count]
            let after = corners.contains((i + 1) % count) ? b : points[(i + 2) % count]
            append(before, a, b, after, steps: steps, to: &result)
        }
        return result
    }

    /// An open Catmull-Rom curve through `points`, with both ends.
    static func open(_ points: [PhantomPoint], steps: Int = 8) -> [PhantomPoint] {
        guard points.count > 1, let last = points.last else { return points }
        var result: [PhantomPoint] = []
        result.reserveCapacity((points.count - 1) * steps + 1)
        for i in 0..<points.count - 1 {
            append(
                points[max(0, i - 1)],
                points[i],
                points[i + 1],
                points[min(points.count - 1, i + 2)],
                steps: steps,
                to: &result
            )
        }
        result.append(last)
        return result
    }

    /// A cubic Bézier curve with both ends.
    static func bezier(
        _ a: PhantomPoint,
        _ b: PhantomPoint,
        _ c: PhantomPoint,
        _ d: PhantomPoint,
        steps: Int = 16
    ) -> [PhantomPoint] {
        (0...steps).map { step in
            let t = Float(step) / Float(steps)
            let s = 1 - t
            let near = a * (s * s * s) + b * (3 * s * s * t)
            let far = c * (3 * s * t * t) + d * (t * t * t)
            return near + far
        }
    }

    private static func append(
        _ p0: PhantomPoint,
        _ p1: PhantomPoint,
        _ p2: PhantomPoint,
        _ p3: PhantomPoint,
        steps: Int,
        to result: inout [PhantomPoint]
    ) {
        let a = p1 * 2
        let b = p2 - p0
        let c = p0 * 2 - p1 * 5 + p2 * 4 - p3
        let d = p1 * 3 - p0 - p2 * 3 + p3
        for step in 0..<steps {
            let t = Float(step) / Float(steps)
            result.append((a + b * t + c * (t * t) + d * (t * t * t)) * 0.5)
        }
    }

    /// The area that a closed polygon encloses.
    static func area(_ polygon: [PhantomPoint]) -> Float {
        var sum: Float = 0
        var last = polygon.count - 1
        for i in polygon.indices {
            sum += polygon[last].x * polygon[i].y - polygon[i].x * polygon[last].y
            last = i
        }
        return abs(sum) / 2
    }

    /// Moves the points of a closed curve by smooth random lengths, at most about `amplitude`, from the middle.
    static func wobbled(_ polygon: [PhantomPoint], amplitude: Float, draws: inout PhantomDraws) -> [PhantomPoint] {
        let knots = 9
        let values = (0..<knots).map { _ in draws.uniform(-1, 1) }
        var middle = PhantomPoint(0, 0)
        for point in polygon { middle += point }
        middle /= Float(polygon.count)
        return polygon.enumerated().map { index, point in
            let position = Float(index) * Float(knots) / Float(polygon.count)
            let cell = Int(position)
            let t = position - Float(cell)
            let s = t * t * (3 - 2 * t)
            let value = mix(values[cell % knots], values[(cell + 1) % knots], s)
            let away = point - middle
            return point + away * (amplitude * value / max(0.02, away.length))
        }
    }
}
