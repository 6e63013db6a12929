import Foundation
import Radiography
import Testing

/// Files that other people's tools were bitten by: each is read as it is meant, and told, or refused by name.
@Suite("Odd DICOM files")
struct OddDICOMTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    /// Every value of 12 bits once.
    private static let ramp = (0..<4096).map { UInt16($0) }
    private static let bytes = (0..<4096).map { (index: Int) -> UInt8 in UInt8(index / 64 * 3 + index % 64) }

    private func words(of values: [UInt16] = Self.ramp, bits: Int = 12, _ elements: String...) -> DICOMSource {
        var source = DICOMSource(.words(values), rows: values.count / 64, columns: 64)
        source.bitsStored = bits
        source.transferSyntax = .explicitLittleEndian
        source.elements = elements
        return source
    }

    private func path(_ source: DICOMSource) throws -> String {
        let path = "\(folder.path)/\(UUID().uuidString).dcm"
        try source.write(to: path)
        return path
    }

    private func edited(_ source: DICOMSource, _ change: (inout DICOMFileEditor) throws -> Void) throws -> String {
        var editor = try DICOMFileEditor(path(source))
        try change(&editor)
        return try folder.write(editor.data, to: UUID().uuidString + ".dcm")
    }

    private func refusal(of path: String) -> RadiographError? {
        do throws(RadiographError) {
            _ = try RadiographReader.read(path)
            return nil
        } catch {
            return error
        }
    }

    /// 0 to 4095 as grey over the range from 0 to `white`.
    private func gray(_ values: [UInt16] = Self.ramp, white: Double = 4095) -> [UInt8] {
        values.map { UInt8((Double($0) / white * 255 + 0.5).rounded(.down)) }
    }

    // MARK: - What a decoder hands back

    @Test(
        "8 bits in a compressed stream under a header of 16 allocated are the picture, not its upper half",
        arguments: [TransferSyntax.jpegBaseline, .jpegLossless, .jpegLosslessFirstOrder, .jpegLSLossless]
    )
    func eightInSixteen(syntax: TransferSyntax) throws {
        var source = DICOMSource(.bytes(Self.bytes), rows: 64, columns: 64)
        source.transferSyntax = syntax
        source.quality = 100
        let expected = try RadiographReader.read(path(source))
        let found = try RadiographReader.read(edited(source) { try $0.set(0x28, 0x100, to: 16) })
        #expect(found.image == expected.image && found.remarks == expected.remarks)
    }

    @Test("A compressed stream that is deeper than its header gives its own values, and it is told")
    func deeperStream() throws {
        for syntax in [TransferSyntax.jpegLossless, .jpegLSLossless] {
            let values = Self.ramp.map { $0 * 12 }
            var source = words(of: values, bits: 16, "WindowCenter=24576", "WindowWidth=49152")
            source.transferSyntax = syntax
            let expected = try RadiographReader.read(path(source))
            #expect(expected.remarks.isEmpty)
            let found = try RadiographReader.read(
                edited(source) {
                    try $0.set(0x28, 0x101, to: 12)
                    try $0.set(0x28, 0x102, to: 11)
                }
            )
            #expect(found.image == expected.image)
            #expect(found.remarks.map(\.kind) == [.depth] && found.remarks[0].reason.contains("49140"))
        }
    }

    @Test("A compressed stream of 16 bits whose values fit its header of 12 is no trouble")
    func roomyStream() throws {
        var source = words(bits: 16)
        source.transferSyntax = .jpegLossless
        let found = try RadiographReader.read(
            edited(source) {
                try $0.set(0x28, 0x101, to: 12)
                try $0.set(0x28, 0x102, to: 11)
            }
        )
        #expect(found.image.pixels == gray() && found.remarks.isEmpty)
    }

    @Test(
        "A compressed stream that is shallower than its header: without signs its range counts, with signs nothing does"
    )
    func shallowStream() throws {
        var source = DICOMSource(.bytes(Self.bytes), rows: 64, columns: 64)
        source.transferSyntax = .jpegLossless
        func shallow(_ isSigned: UInt16) throws -> String {
            try edited(source) {
                try $0.set(0x28, 0x100, to: 16)
                try $0.set(0x28, 0x101, to: 12)
                try $0.set(0x28, 0x102, to: 11)
                try $0.set(0x28, 0x103, to: isSigned)
            }
        }
        let found = try RadiographReader.read(shallow(0))
        #expect(found.image.pixels == Self.bytes && found.remarks.map(\.kind) == [.depth])
        #expect(refusal(of: try shallow(1))?.reason.contains("under a header of 12 bits stored with signs") == true)
    }

    @Test("A second image in the stream of one frame is not passed over", arguments: [TransferSyntax.jpegBaseline])
    func secondImage(syntax: TransferSyntax) throws {
        let stream = RasterFile.jpeg(Self.bytes, width: 64, height: 64)
        let twice: [UInt8] = stream + stream
        twice.withUnsafeBufferPointer { #expect(EncodedSize.hasSecondJPEG(in: $0)) }
        let padded: [UInt8] = stream + [0]
        padded.withUnsafeBufferPointer { #expect(!EncodedSize.hasSecondJPEG(in: $0)) }
        // A thumbnail in a segment is none of the image's.
        let head: [UInt8] = [0xFF, 0xE1, UInt8((stream.count + 2) >> 8), UInt8((stream.count + 2) & 0xFF)]
        let nested = Array(stream[..<2]) + head + stream + Array(stream[2...])
        nested.withUnsafeBufferPointer { #expect(!EncodedSize.hasSecondJPEG(in: $0)) }
    }

    @Test("Bytes behind the pixels are padding where they are few, and another image's where they are many")
    func excessBytes() throws {
        var source = DICOMSource(.bytes(Self.bytes), rows: 64, columns: 64)
        source.transferSyntax = .explicitLittleEndian
        func read(_ count: Int) throws -> Radiograph {
            try RadiographReader.read(edited(source) { try $0.addPixels(.init(repeating: 7, count: count)) })
        }
        #expect(try read(2).image.pixels == Self.bytes && read(2).remarks.isEmpty)
        let padded = try read(512)
        #expect(padded.image.pixels == Self.bytes)
        #expect(padded.remarks.map(\.kind) == [.header] && padded.remarks[0].reason.contains("last 512"))
        #expect(try read(4096).image.pixels == Self.bytes && read(4096).remarks.map(\.kind) == [.header])
        let double = refusal(of: try edited(source) { try $0.addPixels(Self.bytes) })
        #expect(double?.kind == .damaged && double?.reason.contains("8192 bytes") == true)
    }

    @Test("Bits above the stored ones: the same everywhere they are rubbish, different they are told")
    func highBits() throws {
        func read(_ above: (Int) -> UInt16) throws -> Radiograph {
            try RadiographReader.read(path(words(of: Self.ramp.enumerated().map { $1 | above($0) << 12 })))
        }
        let rubbish = try read { _ in 0xA }
        #expect(rubbish.image.pixels == gray() && rubbish.remarks.isEmpty)
        let wild = try read { UInt16($0 % 5) }
        #expect(wild.image.pixels == gray() && wild.remarks.map(\.kind) == [.depth])
    }

    @Test("Plain pixels under the name of a compressed transfer syntax are read")
    func plainUnderCompressed() throws {
        var source = DICOMSource(.bytes(Self.bytes), rows: 64, columns: 64)
        source.transferSyntax = .explicitLittleEndian
        source.elements = ["SOPInstanceUID=1.2.5"]
        let path = try edited(source) {
            // Of one length: explicit VR little endian, and JPEG baseline without its last parts.
            try $0.replace("1.2.840.10008.1.2.1\0", with: "1.2.840.10008.1.2.5\0")
        }
        #expect(try RadiographReader.read(path).image.pixels == Self.bytes)
    }

    // MARK: - Texts from devices

    @Test("A decimal comma is read as meant, and told")
    func decimalComma() throws {
        let plain = try RadiographReader.read(
            path(words("RescaleSlope=1.50", "RescaleIntercept=0", "WindowCenter=3072", "WindowWidth=6144"))
        )
        let comma = try RadiographReader.read(
            path(words("RescaleSlope=1,50", "RescaleIntercept=0", "WindowCenter=3072,0", "WindowWidth=6144"))
        )
        #expect(comma.image == plain.image && plain.remarks.isEmpty)
        #expect(comma.remarks.map(\.kind) == [.number, .number])
        #expect(comma.remarks.first?.reason.contains("rescale slope ‘1,50’ was read as 1.5") == true)
    }

    @Test(
        "A number that cannot be read whole is refused by name",
        arguments: [
            (["RescaleSlope=1.5x", "RescaleIntercept=0"], "rescale slope ‘1.5x’"),
            (["RescaleSlope=1", "RescaleIntercept=--5"], "rescale intercept ‘--5’"),
            (["WindowCenter=40 HU", "WindowWidth=400"], "window center ‘40 HU’"),
            (["WindowCenter=40", "WindowWidth=4,000"], "window width ‘4,000’ can be read"),
            (["WindowCenter=NaN", "WindowWidth=400"], "window center ‘NaN’"),
            (["WindowCenter=0x28", "WindowWidth=400"], "window center ‘0x28’"),
            (["WindowCenter=1e999", "WindowWidth=400"], "window center ‘1e999’"),
            (["WindowCenter=1.2.3", "WindowWidth=400"], "window center ‘1.2.3’"),
            (["NumberOfFrames=1x"], "number of frames ‘1x’"),
        ]
    )
    func unreadableNumbers(elements: [String], words text: String) throws {
        var source = words()
        source.elements = elements
        let error = refusal(of: try path(source))
        #expect(error?.kind == .damaged && error?.reason.contains(text) == true, "\(error?.reason ?? "read")")
    }

    @Test("Numbers are read as DICOM has them", arguments: ["1", "+1", " 1.0 ", "01", "1e0", "10E-1", "1."])
    func numbers(text: String) throws {
        let radiograph = try RadiographReader.read(path(words("RescaleSlope=\(text)", "RescaleIntercept=0")))
        #expect(radiograph.image.pixels == gray() && radiograph.remarks.isEmpty)
    }

    @Test("Spacings and ages that make no sense are left out, and told")
    func metadataTexts() throws {
        func read(_ elements: String...) throws -> Radiograph {
            var source = words()
            source.elements = elements
            return try RadiographReader.read(path(source))
        }
        let comma = try read("PixelSpacing=0,143\\0,143")
        #expect(comma.metadata.rowSpacing == 0.143 && comma.metadata.columnSpacing == 0.143)
        #expect(comma.remarks.map(\.kind) == [.number, .number])
        for spacing in ["0.1", "0\\0", "-0.1\\0.1", "a\\b"] {
            let radiograph = try read("PixelSpacing=\(spacing)")
            #expect(radiograph.metadata.rowSpacing == nil && radiograph.remarks.map(\.kind) == [.number], "\(spacing)")
        }
        #expect(try read("PixelSpacing=0.2\\0.1").remarks.map(\.kind) == [.notSquare])
        #expect(try read("PixelAspectRatio=2\\1").remarks.map(\.kind) == [.notSquare])
        let age = try read("PatientAge=6,2Y")
        #expect(age.metadata.age == nil && age.remarks.map(\.kind) == [.number])
    }

    @Test("A photometric interpretation is read whole")
    func photometric() throws {
        func read(_ name: String) throws -> Radiograph {
            var source = words()
            source.photometric = name
            return try RadiographReader.read(path(source))
        }
        for name in ["MONOCHROME 1", "monochrome1", "MONOCHROME_1"] {
            let radiograph = try read(name)
            #expect(radiograph.image.pixels == gray().map { 255 - $0 } && radiograph.remarks.map(\.kind) == [.header])
        }
        #expect(throws: RadiographError.self) { try read("MONOCHROME3") }
        #expect(refusal(of: try path(words("PhotometricInterpretation=MONO2")))?.reason.contains("‘MONO2’") == true)
        #expect(try read("").remarks.map(\.kind) == [.header])
    }

    // MARK: - How the picture looks

    @Test("A look-up table that claims more bits than it has is stretched, and told")
    func tableOfFewerBits() throws {
        let entries = (0..<4096).map { String($0, radix: 16) }.joined(separator: "\\")
        let radiograph = try RadiographReader.read(
            path(
                words(
                    "VOILUTSequence[0].LUTDescriptor=4096\\0\\16",
                    "VOILUTSequence[0].LUTData=\(entries)"
                )
            )
        )
        #expect(radiograph.image.pixels == gray() && radiograph.remarks.map(\.kind) == [.table])
    }

    @Test("A look-up table with fewer entries than it claims serves pixels that need no others")
    func tableOfFewerEntries() throws {
        let table = ["VOILUTSequence[0].LUTDescriptor=9\\0\\12", "VOILUTSequence[0].LUTData=5\\32\\FA\\FF\\0"]
        func source(_ value: UInt16) -> DICOMSource {
            var source = words(of: [UInt16](repeating: 2, count: 63) + [value])
            source.elements = table
            return source
        }
        let radiograph = try RadiographReader.read(path(source(1)))
        #expect(radiograph.image.pixels.suffix(2) == [0xFA, 0x32])
        #expect(radiograph.remarks.contains { $0.kind == .table && $0.reason.contains("5 of 9 entries") })
        #expect(refusal(of: try path(source(7)))?.reason.contains("no entries for some of its pixels") == true)
    }

    @Test("A look-up table without values, or that cannot be used, leaves the window")
    func tableBesideWindow() throws {
        let window = ["WindowCenter=2607", "WindowWidth=2785"]
        func read(_ elements: [String]) throws -> Radiograph {
            var source = words()
            source.elements = elements
            return try RadiographReader.read(path(source))
        }
        let expected = try read(window)
        let empty = try read(window + ["VOILUTSequence[0].LUTExplanation=normal"])
        #expect(empty.image == expected.image && empty.remarks.isEmpty)
        let damaged = try read(window + ["VOILUTSequence[0].LUTDescriptor=3\\0\\8"])
        #expect(damaged.image == expected.image && damaged.remarks.map(\.kind) == [.table])
        let other = try read([
            "WindowCenter=x", "WindowWidth=1", "VOILUTSequence[0].LUTDescriptor=2\\0\\8",
            "VOILUTSequence[0].LUTData=0\\FF",
        ])
        #expect(other.remarks.contains { $0.kind == .header && $0.reason.contains("its look-up table was used") })
    }

    @Test("A window beside the values gives one grey, and it is told with the window")
    func windowBeside() throws {
        let values = Self.ramp.map { 1000 + $0 / 2 }
        let white = try RadiographReader.read(path(words(of: values, "WindowCenter=40", "WindowWidth=400")))
        #expect(white.remarks.map(\.kind) == [.oneGrey])
        #expect(white.remarks.first?.reason.contains("its window is 40/400") == true)
        // A quarter of the values within the window, and a window sixteen times too wide.
        let clipped = try RadiographReader.read(path(words("WindowCenter=500", "WindowWidth=1000")))
        #expect(clipped.remarks.map(\.kind) == [.clipped, .emptySide])
        let flat = try RadiographReader.read(path(words("WindowCenter=30000", "WindowWidth=65000")))
        #expect(flat.remarks.map(\.kind) == [.narrowRange])
    }

    @Test("Padding is background, whatever the photometric interpretation")
    func padding() throws {
        let values = Self.ramp.map { $0 % 64 < 8 ? UInt16(0) : 1000 + $0 / 2 }
        for name in ["MONOCHROME1", "MONOCHROME2"] {
            var source = words(of: values, "PixelPaddingValue=0", "WindowCenter=2024", "WindowWidth=2048")
            source.photometric = name
            let plain = try RadiographReader.read(path(source))
            source.elements.removeFirst()
            let unpadded = try RadiographReader.read(path(source))
            for (index, pixel) in plain.image.pixels.enumerated() {
                #expect(pixel == (index % 64 < 8 ? 0 : unpadded.image.pixels[index]))
            }
            #expect(plain.remarks.map(\.kind) == (name == "MONOCHROME1" ? [.header] : []))
        }
        // A range of values.
        let range = words(
            of: values,
            "PixelPaddingValue=0",
            "PixelPaddingRangeLimit=1010",
            "WindowCenter=2024",
            "WindowWidth=2048"
        )
        let pixels = try RadiographReader.read(path(range)).image.pixels
        #expect(zip(pixels, values).allSatisfy { $1 > 1010 || $0 == 0 })
    }

    @Test("12 bits under a header of 16 without a window are taken as 12, and told")
    func twelveInSixteen() throws {
        let radiograph = try RadiographReader.read(path(words(bits: 16)))
        #expect(radiograph.image.pixels == gray() && radiograph.remarks.map(\.kind) == [.depth])
        #expect(try RadiographReader.read(path(words(of: Self.ramp.map { $0 * 16 }, bits: 16))).remarks.isEmpty)
    }

    @Test("Half of a picture that is one grey is told")
    func halfOfIt() throws {
        let values = Self.ramp.map { $0 < 2048 ? $0 * 2 : 17 }
        let radiograph = try RadiographReader.read(path(words(of: values)))
        #expect(radiograph.remarks.map(\.kind) == [.emptySide] && radiograph.remarks[0].reason.contains("lower side"))
    }

    // MARK: - Files that are no images, or do not say what they are

    @Test("A meta header without a transfer syntax, or with the wrong one: read as what the data looks like")
    func transferSyntax() throws {
        for syntax in [TransferSyntax.explicitLittleEndian, .implicitLittleEndian] {
            var source = words()
            source.transferSyntax = syntax
            let radiograph = try RadiographReader.read(edited(source) { try $0.removeMeta(0x10) })
            #expect(radiograph.image.pixels == gray() && radiograph.remarks.map(\.kind) == [.header])
            #expect(radiograph.remarks[0].reason.contains("names no transfer syntax"))
        }
    }

    @Test(
        "Reports and presentation states are left out as what they are",
        arguments: [
            ("1.2.840.10008.5.1.4.1.1.11.1", "Presentation State"), ("1.2.840.10008.5.1.4.1.1.88.11", "report"),
            ("1.2.840.10008.5.1.4.1.1.104.1", "PDF"), ("1.2.840.10008.5.1.4.1.1.9.1.1", "ECG"),
            ("1.2.840.10008.1.3.10", "directory"),
        ]
    )
    func otherObjects(sopClass: String, name: String) throws {
        let path = try edited(words("SOPClassUID=\(sopClass)")) { try $0.removePixels() }
        let error = refusal(of: path)
        #expect(error?.kind == .otherObject, "\(error?.reason ?? "read")")
        #expect(error?.reason.contains(name) == true && error?.reason.contains("cut off") == false)
    }

    @Test("An image without pixels is damage all the same")
    func imageWithoutPixels() throws {
        let path = try edited(words("SOPClassUID=1.2.840.10008.5.1.4.1.1.1")) { try $0.removePixels() }
        #expect(refusal(of: path)?.kind == .damaged)
    }

    @Test(
        "Other formats are refused by name",
        arguments: [
            ("RIFF0000WEBPVP8L", "WebP"), ("PK\u{3}\u{4}", "ZIP"), ("GIF89a", "GIF"),
            ("%PDF-1.4", "PDF"),
        ]
    )
    func otherFormats(beginning: String, name: String) throws {
        let path = try folder.write(beginning + String(repeating: "x", count: 400), to: "a.dcm")
        let error = refusal(of: path)
        #expect(error?.kind == .notAnImage && error?.reason.contains(name) == true)
    }
}
