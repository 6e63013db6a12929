import Foundation
import Phantoms
import Radiography
import TestSupport
import Testing

@Suite("Phantoms")
struct PhantomTests {
    private static func painter(seed: UInt64 = 7, size: Int = 64, share: Float = 0.5, scale: Float = 3)
        -> PhantomPainter
    {
        PhantomPainter(options: PhantomOptions(seed: seed, size: size, positiveShare: share, areaScale: scale))
    }

    /// FNV-1a of bytes.
    private static func hash(_ bytes: [UInt8]) -> UInt64 {
        bytes.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
    }

    @Test("An image is a function of seed and index alone")
    func independence() {
        let painter = Self.painter()
        let forwards = (0..<6).map { painter.paint($0) }
        let backwards = (0..<6).reversed().map { painter.paint($0) }.reversed()
        for (a, b) in zip(forwards, backwards) {
            #expect(a.pixels == b.pixels)
            #expect(a.regions == b.regions)
        }
        #expect(Self.painter(seed: 8).paint(0).pixels != forwards[0].pixels)
        #expect(forwards[1].pixels != forwards[0].pixels)
    }

    @Test("Golden phantoms")
    func golden() {
        // The same bits on every machine. A change of the drawing changes these, and every phantom set with them.
        let painter = Self.painter(seed: 1)
        #expect(Self.hash(painter.paint(0).pixels) == 8_188_990_630_993_757_783)
        #expect(Self.hash(painter.paint(5).pixels) == 9_044_031_156_448_802_749)
    }

    @Test("Away from the pneumothorax, a positive is the negative of the same number, pixel for pixel")
    func noShortcut() {
        let size = 512
        let painter = Self.painter(seed: 3, size: size)
        var compared = 0
        for index in 0..<6 {
            let positive = painter.paint(index, isPositive: true)
            let negative = painter.paint(index, isPositive: false)
            #expect(negative.regions.isEmpty)
            guard !positive.regions.isEmpty else { continue }
            #expect(positive.isPortable == negative.isPortable && positive.age == negative.age)
            // Blur and the pleura's line reach a few pixels beyond the mask.
            let near = Self.dilated(positive.mask.downscaled(to: size), size: size, by: 8)
            let isEqual = near.indices.allSatisfy { near[$0] || positive.pixels[$0] == negative.pixels[$0] }
            #expect(isEqual, "image \(index)")
            let changed = near.indices.count { positive.pixels[$0] != negative.pixels[$0] }
            #expect(changed > 500, "image \(index): \(changed) pixels show the pneumothorax")
            compared += 1
        }
        #expect(compared >= 5)
    }

    private static func dilated(_ mask: [UInt8], size: Int, by radius: Int) -> [Bool] {
        var result = [Bool](repeating: false, count: mask.count)
        for index in mask.indices where mask[index] != 0 {
            let y = index / size
            let x = index % size
            for row in max(0, y - radius)...min(size - 1, y + radius) {
                for column in max(0, x - radius)...min(size - 1, x + radius) { result[row * size + column] = true }
            }
        }
        return result
    }

    @Test("Air is darker than the lung beside it")
    func airIsDark() {
        let size = 256
        let painter = Self.painter(seed: 5, size: size)
        var darker = 0
        for index in 0..<8 {
            let positive = painter.paint(index, isPositive: true)
            let negative = painter.paint(index, isPositive: false)
            let mask = positive.mask.downscaled(to: size)
            var sums = (0, 0)
            for pixel in mask.indices where mask[pixel] != 0 {
                sums.0 += Int(positive.pixels[pixel])
                sums.1 += Int(negative.pixels[pixel])
            }
            if sums.0 < sums.1 { darker += 1 }
        }
        #expect(darker == 8)
    }

    @Test("Shares of positives, of portable images, of patients with several images; areas")
    func shares() {
        let painter = Self.painter(seed: 11, size: 64, share: 0.3)
        let count = 160
        var positives = 0
        var portable = 0
        var areas: [Double] = []
        var patients: [Int: Int] = [:]
        for index in 0..<count {
            let image = painter.paint(index)
            if image.isPortable { portable += 1 }
            patients[image.patient, default: 0] += 1
            #expect(image.patient <= index)
            let area = image.mask.area
            if area > 0 {
                positives += 1
                areas.append(Double(area) / 1024 / 1024)
            }
        }
        #expect((30...66).contains(positives))
        #expect((45...85).contains(portable))
        #expect((60...120).contains(patients.count))
        #expect(patients.values.contains { $0 > 1 })
        areas.sort()
        let median = areas[areas.count / 2]
        #expect((0.015...0.04).contains(median), "median area \(median)")
        #expect((areas.last ?? 1) < 0.15)
    }

    @Test("The area scale scales areas", arguments: [1, 6] as [Float])
    func areaScale(scale: Float) {
        let painter = Self.painter(seed: 2, scale: scale)
        let areas = (0..<24).map { painter.paint($0, isPositive: true).mask.area }.sorted()
        let median = Double(areas[12]) / 1024 / 1024
        #expect(scale == 1 ? (0.004...0.016).contains(median) : (0.025...0.08).contains(median), "median \(median)")
    }

    @Test("Labels do not depend on the size of the image")
    func sizes() {
        let small = Self.painter(size: 64)
        let large = Self.painter(size: 300)
        for index in 0..<6 {
            let a = small.paint(index, isPositive: true)
            let b = large.paint(index, isPositive: true)
            #expect(a.regions == b.regions)
            #expect(a.pixels.count == 64 * 64 && b.pixels.count == 300 * 300)
        }
    }

    @Test("A phantom fits a given mask: air exactly there")
    func fitting() {
        let size = 256
        let painter = Self.painter(seed: 9, size: size)
        // A crescent at the upper left, as annotators draw them.
        let side = 1024
        var raster = [UInt8](repeating: 0, count: side * side)
        for y in 0..<side {
            for x in 0..<side {
                let outer =
                    (Double(x) - 340) * (Double(x) - 340) / (220 * 220) + (Double(y) - 480) * (Double(y) - 480)
                    / (330 * 330)
                let inner =
                    (Double(x) - 370) * (Double(x) - 370) / (205 * 205) + (Double(y) - 510) * (Double(y) - 510)
                    / (320 * 320)
                if outer < 1 && inner > 1 && y < 480 && x < 480 { raster[y * side + x] = 1 }
            }
        }
        let mask = RunLengthMask(rowMajor: raster, width: side, height: side)
        #expect(mask.area > 10_000)
        let positive = painter.paint(0, fitting: mask, isPositive: true)
        let negative = painter.paint(0, fitting: mask, isPositive: false)
        #expect(positive.mask == mask)
        #expect(negative.regions.isEmpty)
        let small = mask.downscaled(to: size)
        let near = Self.dilated(small, size: size, by: 10)
        var differences = (inside: 0, outside: 0)
        for index in near.indices {
            let difference = abs(Int(positive.pixels[index]) - Int(negative.pixels[index]))
            if small[index] != 0 { differences.inside += difference }
            if !near[index] { differences.outside += difference }
        }
        #expect(differences.inside > 5 * small.count { $0 != 0 })
        #expect(differences.outside == 0)
    }
}
