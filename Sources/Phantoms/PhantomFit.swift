import Radiography

/// Poses a phantom around a given mask, so that the mask lies between a lung's chest wall and its visceral pleura.
struct PhantomFit {
    /// The signed distance to the mask, smoothed by about two pixels of 1024.
    var air: DistanceGrid
    /// Points of the mask, in image coordinates.
    private let points: [PhantomPoint]

    private static let candidates = 24
    private static let bins = 96

    init(mask: RunLengthMask) {
        let side = RunLengthMask.challengeSide
        precondition(mask.width == side && mask.height == side && !mask.isEmpty, "a mask of the challenge's frame")
        air = Self.distance(mask)
        // Both ends of every third run: the outline matters, and hand-drawn masks are without holes.
        var points: [PhantomPoint] = []
        let step = max(1, mask.runs.count / 400)
        for (number, run) in mask.runs.enumerated() where number % step == 0 {
            for pixel in [Int(run.start), Int(run.end) - 1] {
                points.append((PhantomPoint(Float(pixel / side), Float(pixel % side)) + 0.5) / Float(side))
            }
        }
        self.points = points
    }

    /// The pose, of several drawn, that suits the mask best, with the lungs stretched to reach it.
    func anatomy(seed: UInt64, image index: Int, patient: PhantomPatient) -> PhantomAnatomy {
        var best = PhantomAnatomy(seed: seed, image: index, patient: patient)
        var least = cost(best)
        for variant in 1..<Self.candidates {
            let other = PhantomAnatomy(seed: seed, image: index, patient: patient, variant: variant)
            let cost = cost(other)
            if cost < least { (best, least) = (other, cost) }
        }
        for number in best.lungs.indices { stretch(&best.lungs[number], anatomy: best) }
        return best
    }

    /// The lung of an anatomy to which a point belongs: that on its side of the midline.
    private func lung(of point: PhantomPoint, in anatomy: PhantomAnatomy) -> Int {
        anatomy.pose.thorax(point).x < 0 ? 0 : 1
    }

    /// How badly the mask lies: outside the cavities, away from the chest wall, or over the mediastinum.
    private func cost(_ anatomy: PhantomAnatomy) -> Float {
        let radii = anatomy.lungs.map(Self.radii)
        var farthest = [[Float]](repeating: [Float](repeating: 0, count: Self.bins), count: 2)
        var sum: Float = 0
        for point in points {
            let side = lung(of: point, in: anatomy)
            let away = point - anatomy.lungs[side].middle
            let bin = Self.bin(away)
            let ratio = away.length / radii[side][bin]
            farthest[side][bin] = max(farthest[side][bin], ratio)
            if ratio > 1 { sum += 4 * (ratio - 1) }
            let u = abs(anatomy.pose.thorax(point).x)
            if u < 0.2 { sum += 3 * (0.2 - u) }
        }
        sum /= Float(points.count)
        var gaps: Float = 0
        var count: Float = 0
        for side in 0..<2 {
            for ratio in farthest[side] where ratio > 0 {
                gaps += max(0, 1 - ratio)
                count += 1
            }
        }
        return sum + gaps / max(1, count)
    }

    /// Moves the contour of a lung so that it runs along the outer border of the mask, where there is one.
    private func stretch(_ lung: inout PhantomLung, anatomy: PhantomAnatomy) {
        let radii = Self.radii(lung)
        var targets = [Float](repeating: 0, count: Self.bins)
        for point in points where anatomy.lungs[self.lung(of: point, in: anatomy)].side == lung.side {
            let away = point - lung.middle
            let bin = Self.bin(away)
            targets[bin] = max(targets[bin], away.length / radii[bin])
        }
        guard targets.contains(where: { $0 > 0 }) else { return }
        var factors = [Float](repeating: 1, count: Self.bins)
        for bin in 0..<Self.bins where targets[bin] > 0 {
            // A mask well inside is a region of its own: the wall does not come to it.
            targets[bin] = targets[bin] < 0.6 ? 0 : max(0.75, min(1.6, targets[bin] + 0.004))
            if targets[bin] > 0 { factors[bin] = targets[bin] }
        }
        // Between them the contour goes back smoothly to what was drawn.
        for _ in 0..<80 {
            let before = factors
            for bin in 0..<Self.bins {
                let left = before[(bin + Self.bins - 1) % Self.bins]
                let right = before[(bin + 1) % Self.bins]
                factors[bin] =
                    targets[bin] > 0
                    ? 0.5 * targets[bin] + 0.25 * (left + right) : 0.99 * 0.5 * (left + right) + 0.01
            }
        }
        lung.contour = lung.contour.map { point in
            let away = point - lung.middle
            let place = Self.place(away)
            let bin = Int(place)
            let factor = mix(factors[bin % Self.bins], factors[(bin + 1) % Self.bins], place - Float(bin))
            return lung.middle + away * factor
        }
    }

    // MARK: - Directions

    /// The direction of a vector as a number in 0 ..< `bins`, even enough without an arc tangent.
    private static func place(_ d: PhantomPoint) -> Float {
        let sum = abs(d.x) + abs(d.y)
        guard sum > 0 else { return 0 }
        let slope = d.y / sum
        let turn = d.x >= 0 ? (d.y >= 0 ? slope : 4 + slope) : 2 - slope
        return min(Float(bins) * 0.999_999, turn * Float(bins) / 4)
    }

    private static func bin(_ d: PhantomPoint) -> Int { Int(place(d)) }

    /// The distance of the contour from the middle in each direction.
    private static func radii(_ lung: PhantomLung) -> [Float] {
        var radii = [Float](repeating: 0, count: bins)
        var last = lung.contour[lung.contour.count - 1]
        for point in lung.contour {
            // A few points on the edge, so that no direction is missed.
            for step in 0..<4 {
                let away = last + (point - last) * (Float(step) / 4) - lung.middle
                let bin = bin(away)
                radii[bin] = max(radii[bin], away.length)
            }
            last = point
        }
        for bin in 0..<bins where radii[bin] == 0 {
            radii[bin] = max(radii[(bin + 1) % bins], radii[(bin + bins - 1) % bins], 0.02)
        }
        return radii
    }

    // MARK: - Distance

    /// The signed distance to a mask on a grid: the mask's share of each cell, and chamfer distances beyond the border.
    private static func distance(_ mask: RunLengthMask) -> DistanceGrid {
        let side = PhantomCollapse.gridSide
        let scale = mask.width / side
        var covered = [Float](repeating: 0, count: side * side)
        for run in mask.runs {
            for pixel in Int(run.start)..<Int(run.end) {
                covered[(pixel % mask.height) / scale * side + pixel / mask.height / scale] += 1
            }
        }
        let full = Float(scale * scale)
        var coverage = DistanceGrid(side: side, repeating: 0)
        for index in covered.indices { coverage.values[index] = covered[index] / full }
        let cell = 1 / Float(side)
        let inside = chamfer(side: side) { coverage.values[$0] < 0.5 }
        let outside = chamfer(side: side) { coverage.values[$0] >= 0.5 }
        var result = DistanceGrid(side: side, repeating: 0)
        for index in result.values.indices {
            let share = coverage.values[index]
            // In cells. Where the border runs through a cell, its share of the cell says where.
            let distance =
                share > 0 && share < 1 ? share - 0.5 : share >= 0.5 ? inside[index] - 0.5 : 0.5 - outside[index]
            result.values[index] = max(-PhantomCollapse.band, min(PhantomCollapse.band, distance * cell))
        }
        result.smooth(passes: 1)
        return result
    }

    /// Distances in cells from the cells that `isSource` names, by two passes over the grid.
    private static func chamfer(side: Int, isSource: (Int) -> Bool) -> [Float] {
        var values: [Float] = (0..<side * side).map { isSource($0) ? 0 : 1e6 }
        let diagonal: Float = 1.4142135
        func lower(_ index: Int, _ row: Int, _ column: Int, _ dy: Int, _ dx: Int, _ cost: Float) {
            let y = row + dy
            let x = column + dx
            guard y >= 0 && y < side && x >= 0 && x < side else { return }
            values[index] = min(values[index], values[y * side + x] + cost)
        }
        for row in 0..<side {
            for column in 0..<side {
                let index = row * side + column
                lower(index, row, column, 0, -1, 1)
                lower(index, row, column, -1, 0, 1)
                lower(index, row, column, -1, -1, diagonal)
                lower(index, row, column, -1, 1, diagonal)
            }
        }
        for row in (0..<side).reversed() {
            for column in (0..<side).reversed() {
                let index = row * side + column
                lower(index, row, column, 0, 1, 1)
                lower(index, row, column, 1, 0, 1)
                lower(index, row, column, 1, 1, diagonal)
                lower(index, row, column, 1, -1, diagonal)
            }
        }
        return values
    }
}
