import Foundation
import Numerics
import Radiography
import Testing

/// A map of a few soft blobs, the same for the same number.
private func map(_ number: UInt32, size: Int) -> ProbabilityMap {
    let sequence = RandomSequence(seed: 3, purpose: .simulation, position: number)
    var values = [Float](repeating: 0, count: size * size)
    for blob in 0..<4 {
        let x = sequence.uniform(4 * blob)
        let y = sequence.uniform(4 * blob + 1)
        let radius = sequence.uniform(4 * blob + 2, in: 0.05...0.2)
        let height = sequence.uniform(4 * blob + 3, in: 0.3...1)
        for row in 0..<size {
            for column in 0..<size {
                let dx = (Float(column) + 0.5) / Float(size) - x
                let dy = (Float(row) + 0.5) / Float(size) - y
                let value = height * max(0, 1 - (dx * dx + dy * dy) / (radius * radius))
                values[row * size + column] = max(values[row * size + column], value)
            }
        }
    }
    return ProbabilityMap(size: size, values: values)
}

/// The map at 1024 × 1024, one pixel after the other.
private func upsampled(_ map: ProbabilityMap) -> [Float] {
    let side = 1024
    var result = [Float](repeating: 0, count: side * side)
    let places: [(Int, Int, Float)] = (0..<side).map { pixel in
        let place = min(Double(map.size - 1), max(0, (Double(pixel) + 0.5) * Double(map.size) / 1024 - 0.5))
        let cell = Int(place)
        return (cell, min(map.size - 1, cell + 1), Float(place - Double(cell)))
    }
    for y in 0..<side {
        for x in 0..<side {
            let (left, right, fx) = places[x]
            let (above, below, fy) = places[y]
            let a = map.values[above * map.size + left]
            let b = map.values[above * map.size + right]
            let c = map.values[below * map.size + left]
            let d = map.values[below * map.size + right]
            let top = a + (b - a) * fx
            let bottom = c + (d - c) * fx
            result[y * side + x] = top + (bottom - top) * fy
        }
    }
    return result
}

private func mask(_ raster: [Bool]) -> RunLengthMask {
    RunLengthMask(rowMajor: raster.map { $0 ? 1 : 0 }, width: 1024, height: 1024)
}

@Suite("Post-processing")
struct PostprocessingTests {
    @Test("A threshold is taken of the upsampled map", arguments: [1, 2, 37, 128])
    func threshold(size: Int) {
        let map = map(UInt32(size), size: size)
        let full = upsampled(map)
        for threshold in [0.0, 0.35, 0.5] as [Float] {
            let found = Postprocessing(rule: .threshold(threshold)).mask(of: map)
            #expect(found == mask(full.map { $0 > threshold }))
        }
    }

    // Computed with PyTorch 2.13: torch.nn.functional.interpolate(…, 8 → 1024, bilinear, align_corners=False) > 0.5.
    @Test("Upsampling is PyTorch's")
    func pytorch() {
        let values = (0..<64).map { Float(($0 * 37) % 64) / 64 }
        let found = Postprocessing(rule: .threshold(0.5)).mask(of: ProbabilityMap(size: 8, values: values))
        #expect(found.area == 507_497)
    }

    @Test("The triplet: empty where too little is confident")
    func triplet() {
        let map = map(9, size: 64)
        let full = upsampled(map)
        let confident = full.count { $0 > 0.6 }
        #expect(confident > 1)
        let expected = mask(full.map { $0 > 0.3 })
        #expect(Postprocessing(rule: .triplet(top: 0.6, area: confident, bottom: 0.3)).mask(of: map) == expected)
        #expect(Postprocessing(rule: .triplet(top: 0.6, area: confident + 1, bottom: 0.3)).mask(of: map).isEmpty)
        #expect(Postprocessing(rule: .triplet(top: 0.99999, area: 0, bottom: 0.3)).mask(of: map) == expected)
    }

    @Test("Small parts and small masks are taken out")
    func areas() {
        var raster = [Bool](repeating: false, count: 1024 * 1024)
        // A bar over several columns that touches the end of a column, a dot, and two squares that meet at a corner.
        for x in 10..<20 { for y in 1000..<1024 { raster[y * 1024 + x] = true } }
        raster[5 * 1024 + 20] = true
        for x in 100..<104 { for y in 100..<104 { raster[y * 1024 + x] = true } }
        for x in 104..<108 { for y in 104..<108 { raster[y * 1024 + x] = true } }
        let all = mask(raster)
        #expect(all.removingComponents(below: 1) == all)
        #expect(all.removingComponents(below: 2).area == all.area - 1)
        #expect(all.removingComponents(below: 32).area == all.area - 1)
        #expect(all.removingComponents(below: 33).area == 240)
        #expect(all.removingComponents(below: 241).isEmpty)
        let map = map(4, size: 64)
        let whole = Postprocessing(rule: .threshold(0.3)).mask(of: map)
        var floor = Postprocessing(rule: .threshold(0.3), minimumTotalArea: whole.area)
        #expect(floor.mask(of: map) == whole)
        floor.minimumTotalArea += 1
        #expect(floor.mask(of: map).isEmpty)
    }

    @Test("Parts agree with a flood fill", arguments: 0..<6 as Range<UInt32>)
    func floodFill(number: UInt32) {
        let side = 48
        let sequence = RandomSequence(seed: 8, purpose: .simulation, position: number)
        let raster = (0..<side * side).map { sequence.uniform($0) < 0.35 }
        var labels = [Int](repeating: -1, count: raster.count)
        var areas: [Int] = []
        for start in raster.indices where raster[start] && labels[start] < 0 {
            var pending = [start]
            labels[start] = areas.count
            var area = 0
            while let pixel = pending.popLast() {
                area += 1
                for dy in -1...1 {
                    for dx in -1...1 {
                        let x = pixel % side + dx
                        let y = pixel / side + dy
                        guard x >= 0 && y >= 0 && x < side && y < side else { continue }
                        if raster[y * side + x] && labels[y * side + x] < 0 {
                            labels[y * side + x] = areas.count
                            pending.append(y * side + x)
                        }
                    }
                }
            }
            areas.append(area)
        }
        let whole = RunLengthMask(rowMajor: raster.map { $0 ? 1 : 0 }, width: side, height: side)
        for floor in [2, 4, 9] {
            let kept = raster.indices.map { raster[$0] && areas[labels[$0]] >= floor ? UInt8(1) : 0 }
            #expect(
                whole.removingComponents(below: floor) == RunLengthMask(rowMajor: kept, width: side, height: side)
            )
        }
    }

    @Test("What is not a number is above nothing")
    func notANumber() {
        let map = ProbabilityMap(size: 2, values: [.nan, .nan, .nan, .nan])
        #expect(Postprocessing(rule: .threshold(0)).mask(of: map).isEmpty)
        #expect(map.bytes == [0, 0, 0, 0])
        let empty = RunLengthMask(width: 1024, height: 1024)
        let search = RuleSearch(thresholds: [0.1, 0.5])
        #expect(search.best(count: 1) { _ in (map, empty) }.score.meanDice == 1)
        // Beyond the range of probabilities, comparisons hold as they do within.
        let large = ProbabilityMap(size: 2, values: [7, 7, 7, 7])
        #expect(search.best(count: 1) { _ in (large, empty) }.score.meanDice == 0)
        let negative = ProbabilityMap(size: 2, values: [-7, -7, -7, -7])
        #expect(search.best(count: 1) { _ in (negative, empty) }.score.meanDice == 1)
    }

    @Test("Eight bits")
    func bytes() {
        let map = ProbabilityMap(size: 2, bytes: [0, 51, 128, 255])
        #expect(map.values[3] == 1 && map.values[1] == Float(51) / 255)
        #expect(map.bytes == [0, 51, 128, 255])
    }

    @Test("The search counts as post-processing does, rule by rule")
    func search() {
        let search = RuleSearch(
            thresholds: [0.2, 0.5, 0.7],
            tops: [0.5, 0.8],
            areas: [0, 4000, 30_000],
            bottoms: [0.2, 0.4]
        )
        #expect(search.rules.count == 3 + 12)
        let sizes = [32, 64, 57, 32, 64, 32]
        let maps = sizes.enumerated().map { map(UInt32($0 + 20), size: $1) }
        // The truth is another map's mask, or the same one's, or empty.
        let empty = RunLengthMask(width: 1024, height: 1024)
        let truths = maps.indices.map { index -> RunLengthMask in
            index % 3 == 2
                ? empty
                : Postprocessing(rule: .threshold(0.45)).mask(of: maps[index % 3 == 0 ? index : (index + 1) % 6])
        }
        let outcome = search.best(count: maps.count) { (maps[$0], truths[$0]) }
        for (number, rule) in search.rules.enumerated() {
            let direct = DiceScore(
                maps.indices.map { Postprocessing(rule: rule).counts(of: maps[$0], truth: truths[$0]) }
            )
            #expect(outcome.scores[number] == direct, "\(rule)")
        }
        let highest = outcome.scores.compactMap(\.meanDice).max()
        #expect(outcome.score.meanDice == highest)
        let first = outcome.scores.firstIndex { $0.meanDice == highest }
        #expect(first.map { search.rules[$0] } == outcome.rule)
    }
}
