import Numerics

/// The random fields of a phantom: structure of the lungs, unevenness of soft tissue, opacities.
struct PhantomTexture {
    /// Fine structure of lung tissue, mean 0, deviation about 1.
    var parenchyma: DistanceGrid
    /// Unevenness of everything else: broad, mean 0, deviation about 1.
    var tissue: DistanceGrid
    /// Infiltrates and other opacities of the lungs, 0 and above.
    var opacity: DistanceGrid

    static let parenchymaSide = 320
    static let tissueSide = 48
    static let opacitySide = 96

    init(seed: UInt64, image index: Int, anatomy: PhantomAnatomy) {
        var draws = PhantomDraws(seed: seed, part: .texture, position: index)
        var fine = Self.noise(side: Self.parenchymaSide, passes: 1, sequence: draws.sequence, block: 4096)
        let coarse = Self.noise(side: 96, passes: 1, sequence: draws.sequence, block: 65536)
        var rows = GridRows(side: 96, size: Self.parenchymaSide)
        var row = [Float](repeating: 0, count: Self.parenchymaSide)
        let share = draws.uniform(0.6, 0.9)
        for y in 0..<Self.parenchymaSide {
            row.withUnsafeMutableBufferPointer { row in
                guard let values = row.baseAddress else { return }
                rows.read(coarse, row: y, into: values)
                for x in 0..<Self.parenchymaSide {
                    let index = y * Self.parenchymaSide + x
                    fine.values[index] = fine.values[index] * share + values[x] * (1 - share * 0.5)
                }
            }
        }
        parenchyma = fine
        tissue = Self.noise(side: Self.tissueSide, passes: 6, sequence: draws.sequence, block: 131_072)
        opacity = DistanceGrid(side: Self.opacitySide, repeating: 0)
        addOpacities(seed: seed, image: index, anatomy: anatomy)
    }

    /// White noise smoothed `passes` times and scaled to deviation 1.
    private static func noise(side: Int, passes: Int, sequence: RandomSequence, block: Int) -> DistanceGrid {
        var grid = DistanceGrid(side: side, repeating: 0)
        for first in stride(from: 0, to: side * side, by: 4) {
            let words = sequence.words(block: block + first / 4)
            for lane in 0..<min(4, side * side - first) { grid.values[first + lane] = uniformNoise(words[lane]) }
        }
        grid.smooth(passes: passes)
        var sum: Float = 0
        for value in grid.values { sum += value * value }
        let scale = 1 / max(1e-6, (sum / Float(side * side)).squareRoot())
        for index in grid.values.indices { grid.values[index] *= scale }
        return grid
    }

    private static func uniformNoise(_ word: UInt32) -> Float {
        Float(word >> 8) * 0x1p-23 - 1
    }

    private mutating func addOpacities(seed: UInt64, image index: Int, anatomy: PhantomAnatomy) {
        var draws = PhantomDraws(seed: seed, part: .opacities, position: index)
        let isAffected = draws.chance(anatomy.isPortable ? 0.5 : 0.25)
        let count = isAffected ? 1 + draws.integer(below: 4) : 0
        for _ in 0..<count {
            let side: Float = draws.chance(0.5) ? 1 : -1
            let middle = anatomy.pose(side * draws.uniform(0.3, 0.8), draws.uniform(0.25, 0.85))
            let radius = PhantomPoint(draws.uniform(0.03, 0.11), draws.uniform(0.03, 0.10))
            let strength = draws.uniform(0.15, 0.6)
            for row in 0..<Self.opacitySide {
                for column in 0..<Self.opacitySide {
                    let point = (PhantomPoint(Float(column), Float(row)) + 0.5) / Float(Self.opacitySide)
                    let d = (point - middle) / radius
                    let bump = max(0, 1 - d.lengthSquared * 0.3)
                    if bump > 0 { opacity.values[row * Self.opacitySide + column] += strength * bump * bump * bump }
                }
            }
        }
    }
}
