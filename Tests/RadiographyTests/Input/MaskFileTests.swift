import Foundation
import Radiography
import TestSupport
import Testing

@Suite("Masks in files", .timeLimit(.minutes(15)))
struct MaskFileTests {
    private func read(_ base64: String, _ values: MaskValues = .one) throws -> MaskPicture {
        let folder = try TemporaryFolder()
        let data = try #require(Data(base64Encoded: base64))
        return try DecodeWorker(BuiltProgram.launch()).readMask(folder.write(data, to: "a.png"), values: values)
    }

    // Made with Pillow, 4 × 2 pixels each: see the arrays.
    // 16 bits: [[0, 1, 0, 0], [0, 0, 300, 0]].
    private let sixteen =
        "iVBORw0KGgoAAAANSUhEUgAAAAQAAAACEAAAAAAKU/78AAAAE0lEQVR4nGNgYGBgZIABRh0GBgAAqAAvjqVU+gAAAABJRU5ErkJggg=="
    // Indices [[0, 1, 2, 0], [0, 0, 1, 0]] of black, red and green.
    private let colours =
        "iVBORw0KGgoAAAANSUhEUgAAAAQAAAACAgMAAAACxpXwAAAADFBMVEUAAACAAAAAgAAAAADiWodLAAAADElEQVR4nGOQYGABAABQAB3UCfJJAAAA"
        + "AElFTkSuQmCC"
    // Indices [[1, 0, 1, 1], [1, 1, 0, 1]] of white and black.
    private let greys =
        "iVBORw0KGgoAAAANSUhEUgAAAAQAAAACAQMAAABFZu8gAAAABlBMVEX///8AAABVwtN+AAAADElEQVR4nGPYwKQAAAI4ANN4EWFDAAAAAElFTkSu"
        + "QmCC"
    // One bit, and red on black: [[0, 1, 0, 0], [0, 0, 1, 0]].
    private let bits =
        "iVBORw0KGgoAAAANSUhEUgAAAAQAAAACAQAAAABX00DOAAAADElEQVR4nGNwYFAAAADkAGEW5G6OAAAAAElFTkSuQmCC"
    private let red =
        "iVBORw0KGgoAAAANSUhEUgAAAAQAAAACCAIAAADwyuo0AAAAEUlEQVR4nGNgYGD4z4AKIHwAG/4B/+XwIlUAAAAASUVORK5CYII="
    /// (1, 0) and (2, 1), down the columns.
    private let two: [SIMD2<Int32>] = [SIMD2(2, 1), SIMD2(5, 1)]

    @Test("The values are those that were written: 16 bits, indices of colours, greys of a palette, one bit, colours")
    func values() throws {
        #expect(try read(sixteen) == MaskPicture(width: 4, height: 2, values: [1, 300], runs: two))
        #expect(try read(sixteen, .classes([300])).runs == [SIMD2(5, 1)])
        #expect(try read(colours).values == [1, 2])
        #expect(try read(colours, .classes([1])).runs == two)
        #expect(try read(colours, .nonZero).runs == [SIMD2(2, 1), SIMD2(4, 2)])
        #expect(try read(greys) == MaskPicture(width: 4, height: 2, values: [255], runs: two))
        #expect(try read(bits) == MaskPicture(width: 4, height: 2, values: [1], runs: two))
        #expect(try read(red) == MaskPicture(width: 4, height: 2, values: [255], runs: two))
    }

    @Test("TIFF masks are read as PNG ones; a picture, a JPEG and a text are refused")
    func kinds() throws {
        let folder = try TemporaryFolder()
        let worker = DecodeWorker(try BuiltProgram.launch())
        let absent = #expect(throws: RadiographError.self) {
            try worker.readMask(folder.path + "/absent.png", values: .one)
        }
        #expect(absent?.kind == .unreadable)
        let jpeg = try folder.write(
            Data(RasterFile.jpeg([UInt8](repeating: 9, count: 64), width: 8, height: 8)),
            to: "a.png"
        )
        let refused = #expect(throws: RadiographError.self) { try worker.readMask(jpeg, values: .one) }
        #expect(refused?.kind == .unsupported && refused?.reason.contains("JPEG") == true)
        let text = #expect(throws: RadiographError.self) {
            try worker.readMask(folder.write("text", to: "b.png"), values: .one)
        }
        #expect(text?.kind == .notAnImage)
        // A pattern of single pixels, too fine to be drawn.
        let board = (0..<2048 * 2050).map { (pixel: Int) -> UInt8 in (pixel / 2048 + pixel % 2048) % 2 == 0 ? 0 : 255 }
        let fine = try folder.write(Data(RasterFile.png(board, width: 2048, height: 2050, level: 1)), to: "c.png")
        let picture = #expect(throws: RadiographError.self) { try worker.readMask(fine, values: .one) }
        #expect(picture?.reason.contains("a picture and not a mask") == true)
        let cut = RasterFile.png(board, width: 2048, height: 2050, level: 1).prefix(2000)
        let damaged = #expect(throws: RadiographError.self) {
            try worker.readMask(folder.write(Data(cut), to: "d.png"), values: .one)
        }
        #expect(damaged?.kind == .damaged)
    }

    @Test("Words for values")
    func words() {
        #expect(MaskValues("auto") == .one && MaskValues("any") == .nonZero && MaskValues("2,1") == .classes([1, 2]))
        for text in ["", "0", "1,", "-1", "x", "65536", "1.5"] { #expect(MaskValues(text) == nil, "\(text)") }
        for values in [MaskValues.one, .nonZero, .classes([1, 7])] { #expect(MaskValues(values.text) == values) }
    }

    @Test("A process that answers with runs that cannot be is not believed")
    func babble() {
        // Reads the request, and answers with a mask of 4 × 4 whose run ends at pixel 20.
        let script =
            #"head -c 8 <&0 >/dev/null; printf '\0\0\0\0\046\0\0\0\010\0\0\0{"width":4,"height":4,"values":[255] }\010\0\0\0\014\0\0\0' >&0; exec sleep 1000"#
        let worker = DecodeWorker(BuiltProgram.impostor(script))
        let error = #expect(throws: RadiographError.self) { try worker.readMask("x.png", values: .one) }
        #expect(error?.kind == .crashed && error?.reason.contains("malformed") == true)
    }
}
