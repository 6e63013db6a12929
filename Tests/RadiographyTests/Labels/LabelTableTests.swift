import Foundation
import Radiography
import Testing

@Suite("Tables of labels")
struct LabelTableTests {
    private func utf16(_ text: String, mark: Bool, isBigEndian: Bool) -> [UInt8] {
        ((mark ? [0xFEFF] : []) + Array(text.utf16)).flatMap { unit in
            let bytes = [UInt8(unit & 0xFF), UInt8(unit >> 8)]
            return isBigEndian ? bytes.reversed() : bytes
        }
    }

    private func table(_ text: String) throws -> LabelTable {
        try LabelTable(bytes: Array(text.utf8), path: "labels.csv")
    }

    @Test("Semicolons, tabs, UTF-16 and old line ends are read as commas, UTF-8 and line feeds")
    func dialects() throws {
        let plain = "ImageId,EncodedPixels\nä,-1\nb,1 2\n"
        let semicolons = plain.replacingOccurrences(of: ",", with: ";")
        let tabs = plain.replacingOccurrences(of: ",", with: "\t")
        let files: [[UInt8]] = [
            Array(semicolons.utf8), Array(tabs.utf8), Array("\u{FEFF}sep=;\r\n\(semicolons)".utf8),
            Array(plain.replacingOccurrences(of: "\n", with: "\r").utf8),
            Array(plain.replacingOccurrences(of: "\n", with: "\r\n").utf8),
            utf16(plain, mark: true, isBigEndian: false), utf16(tabs, mark: true, isBigEndian: true),
            utf16("ImageId,EncodedPixels\nb,1 2\n", mark: false, isBigEndian: false),
            Array("a;1 2;\n".replacingOccurrences(of: "a;1 2;", with: "b;1 2").utf8),
        ]
        for (index, file) in files.enumerated() {
            let labels = try LabelFile(bytes: file, path: "labels.csv", width: 8, height: 8)
            #expect(labels.entries.map(\.id) == (index < 7 ? ["ä", "b"] : ["b"]), "file \(index)")
            #expect(labels["b"]?.mask.encoded == "1 2" && labels.defects.isEmpty, "file \(index)")
        }
    }

    @Test("Empty cells and NaN say that nothing was found, unless -1 says that elsewhere in the file")
    func blanks() throws {
        let blank = try table("ImageId,EncodedPixels\na,\nb,NaN\nc,nan\nd,None\ne,-1.0\nf,1 2\n")
        #expect(blank.blankRows == 5 && !blank.saysNone)
        let labels = blank.resolved(.challenge) { _ in (8, 8) }
        #expect(labels.defects.isEmpty && labels.entries.count == 6 && labels.entries.count { $0.mask.isEmpty } == 5)
        let both = try table("ImageId,EncodedPixels\na,\nb,NaN\nc,-1\nd,-\n")
        let strict = both.resolved(.challenge) { _ in (8, 8) }
        #expect(strict.rejectedIDs == ["a", "b", "d"] && strict.entries.map(\.id) == ["c"])
        #expect(strict.errors[0].reason.contains("write -1 if that is meant"))
        #expect(strict.errors[1].reason.contains("\"NaN\""))
    }

    @Test("Ids are found without folder and ending; what two ids share is neither's")
    func ids() throws {
        let table = try table("images/a.png,-1\nb.dcm,-1\nx/c.png,-1\ny/c.png,-1\n1.2.3,-1\n")
        #expect(table.id(for: "a") == "images/a.png" && table.id(for: "b") == "b.dcm")
        #expect(table.id(for: "c") == nil && table.id(for: "x/c.png") == "x/c.png")
        #expect(
            table.id(for: "1.2.3") == "1.2.3" && table.id(for: "1.2.3.dcm") == "1.2.3" && table.id(for: "1.2") == nil
        )
    }

    private func mask(_ text: String, _ format: RunLengthFormat, _ width: Int, _ height: Int) throws -> RunLengthMask {
        let labels = try table("a,\(text)\n").resolved(format) { _ in (width, height) }
        return try #require(labels["a"]?.mask, "\(labels.defects)")
    }

    @Test("Relative and absolute, from 0 and 1, down the columns and along the rows: the same mask")
    func formats() throws {
        // Pixels (1, 1), (1, 2), (2, 1), (2, 2) of 5 × 4: width 5, height 4.
        let pixels: [UInt8] = [0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0]
        let expected = RunLengthMask(rowMajor: pixels, width: 5, height: 4)
        let relative = RunLengthFormat(numbering: .relative, order: .columns)
        #expect(try mask("5 2 2 2", relative, 5, 4) == expected)
        #expect(try mask("5 2 9 2", .init(numbering: .absolute(first: 0), order: .columns), 5, 4) == expected)
        #expect(try mask("6 2 10 2", .init(numbering: .absolute(first: 1), order: .columns), 5, 4) == expected)
        #expect(try mask("6 2 3 2", .init(numbering: .relative, order: .rows), 5, 4) == expected)
        #expect(try mask("7 2 12 2", .init(numbering: .absolute(first: 1), order: .rows), 5, 4) == expected)
    }

    @Test("Absolute rows that descend, or begin before the first pixel, are refused by their run")
    func absoluteDefects() throws {
        let table = try table("a,5 2 4 2\nb,0 2\nc,19 3\n")
        let labels = table.resolved(.init(numbering: .absolute(first: 1), order: .columns)) { _ in (5, 4) }
        #expect(labels.entries.isEmpty)
        #expect(
            labels.errors.map(\.reason) == [
                RunLengthError.descends(run: 2, start: 3, end: 6).description,
                RunLengthError.beforeFirst(run: 1, start: 0, first: 1).description,
                RunLengthError.outOfRange(run: 1, end: 21, pixels: 20).description,
            ]
        )
    }

    @Test("A mask is placed on a square as its radiograph is, and turned as its numbering says")
    func squares() throws {
        for (width, height) in [(5, 4), (4, 7), (6, 6), (1, 9)] {
            let pixels = (0..<width * height).map { (pixel: Int) -> UInt8 in pixel * pixel % 7 < 3 ? 1 : 0 }
            let mask = RunLengthMask(rowMajor: pixels, width: width, height: height)
            let square = mask.paddedToSquare()
            let image = GrayImage(width: width, height: height, pixels: pixels).paddedToSquare()
            #expect(square.rowMajor() == image.pixels && square.width == image.width)
            var turned = [UInt8](repeating: 0, count: pixels.count)
            for y in 0..<height { for x in 0..<width { turned[x * height + y] = pixels[y * width + x] } }
            #expect(mask.transposed() == RunLengthMask(rowMajor: turned, width: height, height: width))
        }
    }

    @Test("A finding of a pixel stays one at a smaller size")
    func smallFindings() {
        let mask = RunLengthMask(runs: [.init(start: 2500 * 1000 + 2000, length: 1)], width: 2500, height: 2500)
        let small = mask.resampled(to: 1024)
        let (x, y) = (1000 * 1024 / 2500, 2000 * 1024 / 2500)
        #expect(small.runs == [RunLengthMask.Run(start: Int32(x * 1024 + y), length: 1)])
        let whole = RunLengthMask(runs: [.init(start: 0, length: 2500 * 2500)], width: 2500, height: 2500)
        #expect(whole.resampled(to: 1024).area == 1024 * 1024)
    }
}
