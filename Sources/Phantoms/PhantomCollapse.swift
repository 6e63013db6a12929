import Numerics
import Radiography

/// Where the pneumothoraces of a phantom are: between the chest wall and the visceral pleura of a collapsed lung.
struct PhantomCollapse {
    /// The signed distance to the air between the pleurae: positive inside.
    var air: DistanceGrid
    /// The air as one mask of 1024 × 1024 for each region.
    var regions: [RunLengthMask]

    static let gridSide = 256
    static let band: Float = 0.09

    /// Form of a drawn pneumothorax.
    private enum Form {
        case apical, apicolateral, lateral, basal
    }

    /// A lung's cavity and the contour of the collapsed lung in it.
    struct Retraction: Equatable {
        var lung: Int
        var visceral: [PhantomPoint]
        /// The visceral contour where it lies off the chest wall.
        var line: [PhantomPoint]
    }

    /// Draws the retractions of a phantom, whether or not it is to have a pneumothorax.
    ///
    /// The areas follow a log-normal distribution about that of the challenge's masks (median 0.82 % of the image, 5 to
    /// 95 % from 0.13 to 4.4 %), times `areaScale`, and no more than the lung allows.
    static func retractions(
        lungs: [PhantomLung],
        pose: PhantomPose,
        areaScale: Float,
        draws: inout PhantomDraws
    ) -> [Retraction] {
        let first = draws.integer(below: 2)
        let isBilateral = draws.chance(0.04)
        // Large scales leave no room for the long tail.
        let spread = 0.95 / max(0.5, Float(Mathematics.pow(Double(areaScale), 0.4)))
        var result: [Retraction] = []
        for (turn, lung) in [first, 1 - first].enumerated() {
            let area = 0.0082 * areaScale * Float(Mathematics.exp(Double(spread * draws.normal())))
            let form = draws.uniform(0, 1)
            let place = draws.uniform(-1, 1)
            let wobble = (0..<7).map { _ in draws.uniform(-1, 1) }
            if turn == 1 && !isBilateral { break }
            result.append(
                retraction(
                    lungs[lung],
                    number: lung,
                    pose: pose,
                    area: isBilateral ? area * 0.6 : area,
                    form: form < 0.34 ? .apical : form < 0.72 ? .apicolateral : form < 0.9 ? .lateral : .basal,
                    place: place,
                    wobble: wobble
                )
            )
        }
        return result
    }

    /// The lung shrunk towards the part of its border at which it is still held: a similar, smaller shape.
    private static func retraction(
        _ lung: PhantomLung,
        number: Int,
        pose: PhantomPose,
        area: Float,
        form: Form,
        place: Float,
        wobble: [Float]
    ) -> Retraction {
        // The held point in thorax coordinates, and how much the lung shrinks across and along.
        let held: PhantomPoint
        let across: Float
        let along: Float
        switch form {
        case .apical: (held, across, along) = (PhantomPoint(0.42 + 0.12 * place, 0.95), 0.35, 1)
        case .apicolateral: (held, across, along) = (PhantomPoint(0.18, 0.90), 0.8 + 0.2 * place, 0.85)
        case .lateral: (held, across, along) = (PhantomPoint(0.17, 0.55 + 0.15 * place), 1, 0.35 + 0.15 * place)
        case .basal: (held, across, along) = (PhantomPoint(0.20, 0.05), 0.5 + 0.3 * place, 0.9)
        }
        let middle = pose(lung.side * held.x, held.y)
        let count = lung.contour.count
        func contour(depth: Float) -> [PhantomPoint] {
            let sx = 1 - depth * across
            let sy = 1 - depth * along
            return lung.contour.enumerated().map { index, point in
                // Along the thorax's own axes, so that a turned patient's lung shrinks as an upright one's.
                let d = point - middle
                let u = pose.cosine * d.x + pose.sine * d.y
                let v = pose.cosine * d.y - pose.sine * d.x
                let knot = Float(index) * Float(wobble.count) / Float(count)
                let t = knot - Float(Int(knot))
                let wave = mix(
                    wobble[Int(knot)],
                    wobble[(Int(knot) + 1) % wobble.count],
                    t * t * (3 - 2 * t)
                )
                let x = u * (sx + 0.10 * depth * wave)
                let y = v * (sy + 0.10 * depth * wave)
                let moved = middle + PhantomPoint(pose.cosine * x - pose.sine * y, pose.sine * x + pose.cosine * y)
                // A little outwards again, so that the pleurae touch where the lung has hardly moved.
                let away = moved - lung.middle
                return moved + away * (margin / max(0.05, away.length))
            }
        }
        // The depth that gives the area: the area of the cavity less that of the lung grows with the depth.
        let whole = PhantomCurve.area(lung.contour) + margin * 0.5
        var low: Float = 0.03
        var high: Float = 0.6
        for _ in 0..<14 {
            let depth = (low + high) / 2
            if whole - PhantomCurve.area(contour(depth: depth)) < area { low = depth } else { high = depth }
        }
        let visceral = contour(depth: low)
        let isOff = visceral.indices.map { index in
            let outward = lung.contour[index] - lung.middle
            let moved = lung.contour[index] - visceral[index]
            return (outward.x * moved.x + outward.y * moved.y) / max(0.02, outward.length) > 0.006
        }
        let start = isOff.firstIndex(of: false) ?? 0
        let line = (0..<count).map { ($0 + start) % count }.filter { isOff[$0] }.map { visceral[$0] }
        return Retraction(lung: number, visceral: visceral, line: line)
    }

    private static let margin: Float = 0.009

    /// The air between the cavities and the retracted lungs, as far as the mediastinum does not hide it.
    init(anatomy: PhantomAnatomy, retractions: [Retraction]) {
        air = DistanceGrid(side: Self.gridSide, repeating: -Self.band)
        regions = []
        for retraction in retractions {
            let cavity = DistanceGrid(
                side: Self.gridSide,
                polygon: anatomy.lungs[retraction.lung].contour,
                band: Self.band
            )
            let lung = DistanceGrid(side: Self.gridSide, polygon: retraction.visceral, band: Self.band)
            let heart = DistanceGrid(side: Self.gridSide, polygon: anatomy.mediastinum, band: Self.band)
            var own = DistanceGrid(side: Self.gridSide, repeating: 0)
            for index in own.values.indices {
                own.values[index] = min(cavity.values[index], -lung.values[index], -heart.values[index])
            }
            Self.keepLargest(&own)
            for index in own.values.indices { air.values[index] = max(air.values[index], own.values[index]) }
            let mask = Self.mask(of: own)
            if !mask.isEmpty { regions.append(mask) }
        }
    }

    /// Takes away the positive islands of a field that are smaller than a fifth of the largest.
    private static func keepLargest(_ field: inout DistanceGrid) {
        let side = field.side
        var islands: [[Int]] = []
        var isSeen = [Bool](repeating: false, count: side * side)
        for start in field.values.indices where field.values[start] > 0 && !isSeen[start] {
            var island = [start]
            isSeen[start] = true
            var next = 0
            while next < island.count {
                let cell = island[next]
                next += 1
                let column = cell % side
                let neighbours = [
                    column > 0 ? cell - 1 : cell, column < side - 1 ? cell + 1 : cell,
                    cell >= side ? cell - side : cell, cell < side * (side - 1) ? cell + side : cell,
                ]
                for neighbour in neighbours where field.values[neighbour] > 0 && !isSeen[neighbour] {
                    isSeen[neighbour] = true
                    island.append(neighbour)
                }
            }
            islands.append(island)
        }
        let largest = islands.map(\.count).max() ?? 0
        for island in islands where island.count * 5 < largest {
            for cell in island { field.values[cell] = -1 / Float(side) }
        }
    }

    init(air: DistanceGrid, regions: [RunLengthMask]) {
        self.air = air
        self.regions = regions
    }

    /// The pixels of the challenge's frame where a field is positive.
    static func mask(of field: DistanceGrid) -> RunLengthMask {
        let side = RunLengthMask.challengeSide
        var raster = [UInt8](repeating: 0, count: side * side)
        var rows = GridRows(side: field.side, size: side)
        var row = [Float](repeating: 0, count: side)
        row.withUnsafeMutableBufferPointer { row in
            guard let values = row.baseAddress else { return }
            for y in 0..<side {
                rows.read(field, row: y, into: values)
                for x in 0..<side where values[x] > 0 { raster[y * side + x] = 1 }
            }
        }
        return RunLengthMask(rowMajor: raster, width: side, height: side)
    }
}
