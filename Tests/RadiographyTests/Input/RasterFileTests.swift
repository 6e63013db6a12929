import Foundation
import Radiography
import Testing

@Suite("PNG and JPEG")
struct RasterFileTests {
    private func read(base64: String, as name: String) throws -> GrayImage {
        let folder = try TemporaryFolder()
        let data = try #require(Data(base64Encoded: base64))
        return try RadiographReader.read(folder.write(data, to: name)).image
    }

    // Made with Pillow: see the arrays in each test.
    @Test("PNG of every kind becomes 8-bit grey")
    func kinds() throws {
        // [[0, 257, 32768], [65535, 32896, 1000]] of 16 bits, rounded to 8.
        let gray16 = try read(
            base64:
                "iVBORw0KGgoAAAANSUhEUgAAAAMAAAACEAAAAADoj+WFAAAAFklEQVR4nGNgYGBkbGBg+P+/oYH5BQAUBgRsIJDP7AAAAABJRU5ErkJg"
                + "gg==",
            as: "a.png"
        )
        #expect(gray16.width == 3 && gray16.height == 2 && gray16.pixels == [0, 1, 128, 255, 128, 4])
        // Red, green, blue, and grey 200, in a palette of 2 bits.
        let palette = try read(
            base64:
                "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACAgMAAAAP2OW3AAAADFBMVEX/AAAA/wAAAP/IyMjynpbYAAAADElEQVR4nG"
                + "MQYNgAAADkAMEnqOhXAAAAAElFTkSuQmCC",
            as: "b.png"
        )
        #expect(palette.pixels == [76, 150, 29, 200])
        let bits = try read(
            base64: "iVBORw0KGgoAAAANSUhEUgAAAAMAAAABAQAAAAAzmykZAAAACklEQVR4nGNIAAAAYgBhsZh58gAAAABJRU5ErkJggg==",
            as: "c.png"
        )
        #expect(bits.pixels == [0, 255, 255])
        // Grey 10 and 20 under alpha 0 and 255: alpha is ignored.
        let alpha = try read(
            base64: "iVBORw0KGgoAAAANSUhEUgAAAAIAAAABCAQAAABeK7cBAAAADUlEQVR4nGPkYuD6DwABRQEVRtzVWQAAAABJRU5ErkJggg==",
            as: "d.png"
        )
        #expect(alpha.pixels == [10, 20])
        let rgb = try read(
            base64: "iVBORw0KGgoAAAANSUhEUgAAAAIAAAABCAIAAAB7QOjdAAAAD0lEQVR4nGP4z8DAJSIHAAZlATySLPXrAAAAAElFTkSuQmCC",
            as: "e.png"
        )
        #expect(rgb.pixels == [76, 18])
    }

    @Test("What was encoded as PNG comes back; as JPEG, nearly")
    func roundTrips() throws {
        let folder = try TemporaryFolder()
        let image = GrayImageTests.noise(33, 21)
        let png = try folder.write(Data(RasterFile.png(image.pixels, width: 33, height: 21)), to: "a.png")
        #expect(try RadiographReader.read(png).image == image)
        let colours: [UInt8] = (0..<2079).map { index in UInt8(index / 3 % 256) }
        let rgb = try folder.write(Data(RasterFile.png(colours, width: 33, height: 21, channels: 3)), to: "b.png")
        #expect(try RadiographReader.read(rgb).image.pixels == (0..<33 * 21).map { UInt8($0 % 256) })
        let smooth = (0..<1024).map { (index: Int) -> UInt8 in
            let (x, y) = (index % 32, index / 32)
            return UInt8(4 * x + 3 * y)
        }
        // The name does not matter: the first bytes say what it is.
        let jpeg = try folder.write(Data(RasterFile.jpeg(smooth, width: 32, height: 32, quality: 95)), to: "c.png")
        let decoded = try RadiographReader.read(jpeg).image
        #expect(zip(decoded.pixels, smooth).allSatisfy { abs(Int($0) - Int($1)) <= 4 })
    }

    @Test("Progressive and colour JPEG are read, CMYK is refused")
    func jpegKinds() throws {
        let expected = (0..<256).map { (index: Int) -> Int in 8 * (index / 16) + 7 * (index % 16) }
        for name in ["progressive", "colour"] {
            let image = try read(base64: try #require(Self.jpegs[name]), as: "a.jpg")
            #expect(zip(image.pixels, expected).allSatisfy { abs(Int($0) - $1) <= 4 }, "\(name)")
        }
        #expect(throws: RadiographError.self) {
            try read(base64: try #require(Self.jpegs["cmyk"]), as: "a.jpg")
        }
    }

    @Test("A file cut off anywhere is refused, not filled with grey", arguments: ["png", "jpg"])
    func cutOff(ending: String) throws {
        let folder = try TemporaryFolder()
        let image = GrayImageTests.noise(64, 64)
        let bytes =
            ending == "png"
            ? RasterFile.png(image.pixels, width: 64, height: 64) : RasterFile.jpeg(image.pixels, width: 64, height: 64)
        for count in [9, 40, bytes.count / 2, bytes.count * 9 / 10] {
            let path = try folder.write(Data(bytes.prefix(count)), to: "cut-\(count).\(ending)")
            let error = #expect(throws: RadiographError.self) { try RadiographReader.read(path) }
            #expect(error?.kind == .damaged && error?.path == path)
        }
    }

    /// A PNG chunk with its checksum.
    private static func chunk(_ name: String, _ body: [UInt8]) -> [UInt8] {
        func word(_ value: UInt32) -> [UInt8] { (0..<4).map { UInt8(value >> (24 - 8 * $0) & 0xFF) } }
        let bytes = Array(name.utf8) + body
        var checksum = ~UInt32(0)
        for byte in bytes {
            checksum ^= UInt32(byte)
            for _ in 0..<8 { checksum = checksum >> 1 ^ (checksum & 1 == 0 ? 0 : 0xEDB8_8320) }
        }
        return word(UInt32(body.count)) + bytes + word(~checksum)
    }

    /// A grey PNG of 16 bits, stored without compression.
    private static func png16(_ values: [UInt16], width: Int) -> [UInt8] {
        var rows: [UInt8] = []
        for (index, value) in values.enumerated() {
            if index % width == 0 { rows.append(0) }
            rows += [UInt8(value >> 8), UInt8(value & 0xFF)]
        }
        var (a, b) = (1, 0)
        for byte in rows {
            a = (a + Int(byte)) % 65521
            b = (b + a) % 65521
        }
        func pair(_ value: Int) -> [UInt8] { [UInt8(value >> 8 & 0xFF), UInt8(value & 0xFF)] }
        var header: [UInt8] = [0, 0] + pair(width)
        header += [0, 0] + pair(values.count / width)
        header += [16, 0, 0, 0, 0]
        var body: [UInt8] = [0x78, 1, 1]
        body += pair(rows.count).reversed() + pair(~rows.count).reversed()
        body += rows
        body += pair(b) + pair(a)
        let mark: [UInt8] = [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]
        return mark + chunk("IHDR", header) + chunk("IDAT", body) + chunk("IEND", [])
    }

    @Test("A PNG of 16 bits that holds 8 to 14 is stretched to their range, and told")
    func depths() throws {
        let folder = try TemporaryFolder()
        for (bits, assumed) in [(16, 16), (15, 16), (14, 14), (12, 12), (11, 12), (10, 10), (8, 8)] {
            let values = (0..<4096).map { UInt16($0 * ((1 << bits) - 1) / 4095) }
            let path = try folder.write(Data(Self.png16(values, width: 64)), to: "\(bits).png")
            let radiograph = try RadiographReader.read(path)
            let white = Double((1 << assumed) - 1)
            let expected = values.map { UInt8((Double($0) / white * 255 + 0.5).rounded(.down)) }
            #expect(radiograph.image.pixels == expected, "\(bits)")
            let kinds: [PictureRemark.Kind] = assumed == 16 ? [] : [.depth]
            #expect(radiograph.remarks.map(\.kind) == kinds, "\(bits)")
        }
    }

    /// 48 × 32 pixels that no turn leaves as they are.
    private static let slope = (0..<48 * 32).map { (index: Int) -> UInt8 in UInt8(index / 48 * 4 + index % 48 * 2) }

    @Test("A picture is turned as its Exif says, and it is told", arguments: 1...8, ["jpg", "png"])
    func orientation(value: Int, ending: String) throws {
        let folder = try TemporaryFolder()
        let image = GrayImage(width: 48, height: 32, pixels: Self.slope)
        let tag: [UInt8] = [1, 0x12, 0, 3, 0, 0, 0, 1, 0, UInt8(value), 0, 0]
        let block: [UInt8] = [0x4D, 0x4D, 0, 0x2A, 0, 0, 0, 8, 0, 1] + tag + [0, 0, 0, 0]
        var bytes =
            ending == "png"
            ? RasterFile.png(image.pixels, width: 48, height: 32)
            : RasterFile.jpeg(image.pixels, width: 48, height: 32, quality: 100)
        if ending == "png" {
            bytes.insert(contentsOf: Self.chunk("eXIf", block), at: 33)
        } else {
            let body: [UInt8] = Array("Exif\0\0".utf8) + block
            let head: [UInt8] = [0xFF, 0xE1, 0, UInt8(body.count + 2)]
            bytes.insert(contentsOf: head + body, at: 2)
        }
        let radiograph = try RadiographReader.read(folder.write(Data(bytes), to: "a.\(ending)"))
        let kinds: [PictureRemark.Kind] = value == 1 ? [] : [.turned]
        #expect(radiograph.remarks.map(\.kind) == kinds)
        #expect(radiograph.image.width == (value < 5 ? 48 : 32) && radiograph.metadata.rows == radiograph.image.height)
        /// Where the pixel of the upright picture stands in the file (Exif 2.3, tag 274).
        func stored(_ x: Int, _ y: Int) -> Int {
            switch value {
            case 2: image.pixels(47 - x, y)
            case 3: image.pixels(47 - x, 31 - y)
            case 4: image.pixels(x, 31 - y)
            case 5: image.pixels(y, x)
            case 6: image.pixels(y, 31 - x)
            case 7: image.pixels(47 - y, 31 - x)
            case 8: image.pixels(47 - y, x)
            default: image.pixels(x, y)
            }
        }
        let upright = radiograph.image
        var worst = 0
        for y in 0..<upright.height {
            for x in 0..<upright.width { worst = max(worst, abs(upright.pixels(x, y) - stored(x, y))) }
        }
        #expect(worst <= (ending == "png" ? 0 : 3))
    }

    @Test("An Exif block that makes no sense turns nothing", arguments: [0, 9, 65535])
    func senselessOrientation(value: Int) throws {
        let block: [UInt8] = [
            0x49, 0x49, 0x2A, 0, 8, 0, 0, 0, 1, 0, 0x12, 1, 3, 0, 1, 0, 0, 0, UInt8(value & 0xFF), UInt8(value >> 8), 0,
            0,
        ]
        var bytes: [UInt8] = [0xFF, 0xD8, 0xFF, 0xE1, 0, UInt8(block.count + 8)]
        bytes += Array("Exif\0\0".utf8)
        bytes += block
        for count in 0...bytes.count { #expect(ExifOrientation.ofJPEG(Array(bytes[..<count])) == .upright) }
    }

    @Test("Pictures that look wrong are told")
    func looks() throws {
        func kinds(_ pixels: (Int, Int) -> Int) -> [PictureRemark.Kind] {
            let values = (0..<64 * 64).map { UInt8(pixels($0 % 64, $0 / 64)) }
            return GrayImage(width: 64, height: 64, pixels: values).remarks().map(\.kind)
        }
        #expect(kinds { 2 * $0 + $1 }.isEmpty)
        #expect(kinds { _, _ in 7 } == [.oneGrey])
        #expect(kinds { ($0 + $1) % 2 * 255 } == [.fewGreys])
        #expect(kinds { 100 + ($0 + $1) % 20 } == [.narrowRange])
        #expect(kinds { $0 % 2 == 0 ? 0 : 64 + 2 * $1 } == [.clipped])
        // A body on white film, and on black.
        func body(_ x: Int, _ y: Int) -> Int { min(250, ((x - 32) * (x - 32) + (y - 32) * (y - 32)) / 4) }
        #expect(kinds { body($0, $1) } == [.inverted])
        #expect(kinds { 255 - body($0, $1) }.isEmpty)
        #expect(kinds { $0 < 30 ? 9 : 2 * $0 + $1 } == [.emptySide])
        #expect(kinds { $1 > 30 ? 200 : 2 * $0 + $1 } == [.emptySide])
    }

    private static let jpegs: [String: String] = [
        "progressive":
            "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAIBAQEBAQIBAQECAgICAgQDAgICAgUEBAMEBgUGBgYFBgYGBwkIBgcJBw"
            + "YGCAsICQoKCgoKBggLDAsKDAkKCgr/wgALCAAQABABAREA/8QAFgABAQEAAAAAAAAAAAAAAAAABwUI/9oACAEBAAAA"
            + "Ac0OFBw//8QAFRABAQAAAAAAAAAAAAAAAAAABgD/2gAIAQEAAQUCPm4+bj5uPm7/xAAWEAADAAAAAAAAAAAAAAAAAA"
            + "AAASL/2gAIAQEABj8CUCgUCg//xAAVEAEBAAAAAAAAAAAAAAAAAAAA8f/aAAgBAQABPyGOjo6O/9oACAEBAAAAEA//"
            + "xAAVEAEBAAAAAAAAAAAAAAAAAAAAof/aAAgBAQABPxCGQyGQz//Z",
        "colour":
            "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAIBAQEBAQIBAQECAgICAgQDAgICAgUEBAMEBgUGBgYFBgYGBwkIBgcJBw"
            + "YGCAsICQoKCgoKBggLDAsKDAkKCgr/2wBDAQICAgICAgUDAwUKBwYHCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoK"
            + "CgoKCgoKCgoKCgoKCgoKCgoKCgoKCgr/wAARCAAQABADASIAAhEBAxEB/8QAFgABAQEAAAAAAAAAAAAAAAAACAYJ/8"
            + "QAGRAAAQUAAAAAAAAAAAAAAAAACAAkM0JR/8QAFAEBAAAAAAAAAAAAAAAAAAAAAP/EABQRAQAAAAAAAAAAAAAAAAAA"
            + "AAD/2gAMAwEAAhEDEQA/AM0R/G2BhlU4B/G2BhlVQD+NsDDKpwD+NsDDKoP/2Q==",
        "cmyk":
            "/9j/7gAOQWRvYmUAZAAAAAAA/9sAQwAIBgYHBgUIBwcHCQkICgwUDQwLCwwZEhMPFB0aHx4dGhwcICQuJyAiLCMcHC"
            + "g3KSwwMTQ0NB8nOT04MjwuMzQy/8AAFAgACAAIBEMRAE0RAFkRAEsRAP/EABUAAQEAAAAAAAAAAAAAAAAAAAcB/8QA"
            + "FBABAAAAAAAAAAAAAAAAAAAAAP/aAA4EQwBNAFkASwAAPwB/P5/R/9k=",
    ]
}

extension GrayImage {
    fileprivate func pixels(_ x: Int, _ y: Int) -> Int { Int(pixels[y * width + x]) }
}
