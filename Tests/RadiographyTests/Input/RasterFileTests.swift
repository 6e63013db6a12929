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
