import Foundation
import Radiography
import Testing

@Suite("TIFF")
struct TIFFFileTests {
    /// What Pillow wrote; `Tests/Fixtures/tiff.py` made it.
    private static let files: [String: String] = {
        let parts = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
        let data = (try? Data(contentsOf: URL(fileURLWithPath: "/\(parts)/Fixtures/tiff.json"))) ?? Data()
        return (try? JSONDecoder().decode([String: String].self, from: data)) ?? [:]
    }()

    private func bytes(_ name: String) throws -> [UInt8] {
        let text = try #require(Self.files[name])
        return Array(try #require(Data(base64Encoded: text)))
    }

    private func value(_ x: Int, _ y: Int) -> Int { (x * x * 7 + y * 31 + x * y * 3) % 251 }

    private func picture(_ width: Int, _ height: Int, _ body: (Int) -> Int) -> [UInt8] {
        (0..<width * height).map { UInt8(body(value($0 % width, $0 / width))) }
    }

    private func read(_ bytes: [UInt8]) throws -> GrayImage {
        let folder = try TemporaryFolder()
        return try RadiographReader.read(folder.write(Data(bytes), to: "a.tif")).image
    }

    @Test(
        "Greys of every compression are those that Pillow wrote",
        arguments: ["plain", "lzw", "lzw predictor", "packbits", "strips"]
    )
    func greys(name: String) throws {
        let image = try read(bytes(name))
        let expected = picture(image.width, image.height) { $0 }
        #expect(image.pixels == expected)
        #expect(image.width == (name == "plain" ? 13 : 70) && image.height == (name == "plain" ? 9 : 61))
    }

    @Test("16 bits are rounded to 8, one bit is black and white, colours become luma")
    func kinds() throws {
        let plain = picture(13, 9) { $0 }
        #expect(try read(bytes("deflate 16")).pixels == plain)
        #expect(try values("deflate 16")[1] == UInt16(value(1, 0) * 257))
        let black = picture(13, 9) { $0 % 2 * 255 }
        #expect(try read(bytes("bits")).pixels == black)
        let bits = picture(13, 9) { $0 % 2 }
        #expect(try values("bits") == bits.map(UInt16.init))
        let luma = picture(13, 9) { value in
            let (red, green, blue) = (299 * value, 587 * (value / 2), 114 * (250 - value))
            return (red + green + blue + 500) / 1000
        }
        #expect(try read(bytes("colour")).pixels == luma)
        // Of a palette, a picture has the colours, and a mask the indices.
        let colours = [0, 60, 29]
        let shown = picture(13, 9) { colours[$0 % 3] }
        #expect(try read(bytes("palette")).pixels == shown)
        let indices = picture(13, 9) { $0 % 3 }
        #expect(try values("palette") == indices.map(UInt16.init))
    }

    private func values(_ name: String) throws -> [UInt16] {
        try TIFFFile(bytes(name), maximumPixels: 1000).values()
    }

    /// A file of the given entries, with `data` behind them; texts of numbers longer than four bytes are not made.
    private func file(_ entries: [(tag: Int, value: Int)], data: [UInt8], isBigEndian: Bool = false) -> [UInt8] {
        func number(_ value: Int, _ size: Int) -> [UInt8] {
            let bytes = (0..<size).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
            return isBigEndian ? bytes.reversed() : bytes
        }
        var file: [UInt8] = isBigEndian ? [0x4D, 0x4D, 0, 0x2A] : [0x49, 0x49, 0x2A, 0]
        file += number(8, 4) + number(entries.count, 2)
        for entry in entries { file += number(entry.tag, 2) + number(4, 2) + number(1, 4) + number(entry.value, 4) }
        return file + number(0, 4) + data
    }

    private func entries(_ changes: [Int: Int], count: Int = 12) -> [(tag: Int, value: Int)] {
        var values = [
            256: 4, 257: 3, 258: 8, 259: 1, 262: 1, 273: 8 + 2 + 12 * count + 4, 277: 1, 278: 3, 279: 12, 284: 1,
            317: 1, 339: 1,
        ]
        for (tag, value) in changes { values[tag] = value }
        return values.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }

    @Test("High bytes first, tiles, and white as 0")
    func layouts() throws {
        let data = (0..<24).map { (index: Int) -> UInt8 in UInt8(index * 10) }
        let wide = try read(file(entries([258: 16, 279: 24]), data: data, isBigEndian: true))
        let rounded = (0..<12).map { (pixel: Int) -> UInt8 in
            let value = Int(data[2 * pixel]) << 8 | Int(data[2 * pixel + 1])
            return UInt8((value * 510 + 65_535) / 131_070)
        }
        #expect(wide.pixels == rounded)
        let turned = data.prefix(12).map { 255 - $0 }
        #expect(try read(file(entries([262: 0]), data: data)).pixels == turned)
        // One tile of 5 × 4 for an image of 4 × 3.
        var tiled = entries([322: 5, 323: 4, 324: 8 + 2 + 12 * 13 + 4, 325: 20]).filter {
            ![273, 278, 279].contains($0.tag)
        }
        tiled.sort { $0.tag < $1.tag }
        let cut = (0..<12).map { (pixel: Int) -> UInt8 in data[pixel / 4 * 5 + pixel % 4] }
        #expect(try read(file(tiled, data: data)).pixels == cut)
    }

    @Test(
        "What is not read is refused by name",
        arguments: [
            ("jpeg", "compressed as JPEG"), ("pages", "several pages"),
        ]
    )
    func refusals(name: String, words: String) throws {
        let error = #expect(throws: RadiographError.self) { try read(bytes(name)) }
        #expect(error?.kind == .unsupported && error?.reason.contains(words) == true)
    }

    @Test("A header that lies is refused, whatever it says", arguments: 0..<12)
    func lies(index: Int) throws {
        let changes: [[Int: Int]] = [
            [256: 0], [256: 1 << 20], [257: 65_536], [258: 12], [273: 1 << 30], [279: 11], [279: 1 << 31], [277: 9],
            [262: 6], [339: 3], [278: 1], [274: 6],
        ]
        let error = #expect(throws: RadiographError.self) {
            try read(
                file(
                    entries(changes[index], count: changes[index][274] == nil ? 12 : 13),
                    data: [UInt8](repeating: 1, count: 24)
                )
            )
        }
        #expect(error?.kind == .damaged || error?.kind == .unsupported)
    }

    @Test(
        "No cut and no flipped byte of a file brings the reader down",
        arguments: ["lzw predictor", "deflate 16", "palette"]
    )
    func damage(name: String) throws {
        let whole = try bytes(name)
        for length in stride(from: 0, to: whole.count, by: max(1, whole.count / 97)) {
            _ = try? TIFFFile(Array(whole.prefix(length)), maximumPixels: 1 << 20)
        }
        var changed = 0
        for place in stride(from: 0, to: whole.count, by: max(1, whole.count / 997)) {
            for byte: UInt8 in [0, 0x7F, 0xFF] {
                var bytes = whole
                bytes[place] = byte
                if (try? TIFFFile(bytes, maximumPixels: 1 << 20).gray()) == nil { changed += 1 }
            }
        }
        #expect(changed > 0)
    }
}
