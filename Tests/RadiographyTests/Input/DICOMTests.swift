import Foundation
import Radiography
import Testing

@Suite("DICOM")
struct DICOMTests {
    private let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
    }

    private func written(_ source: DICOMSource, as name: String = "a.dcm") throws -> String {
        let path = folder.path + "/" + name
        try source.write(to: path)
        return path
    }

    /// 12-bit values in columns that rise from 0 to 4095.
    private static let words = (0..<16 * 16).map { UInt16($0 % 16 * 273) }

    @Test("Every lossless transfer syntax gives the pixels back", arguments: TransferSyntax.allCases)
    func transferSyntaxes(syntax: TransferSyntax) throws {
        // An odd number of pixels: DICOM pads values to even lengths.
        let image = GrayImageTests.noise(23, 17)
        var source = DICOMSource(.bytes(image.pixels), rows: 17, columns: 23)
        source.transferSyntax = syntax
        source.quality = 100
        let radiograph = try RadiographReader.read(written(source))
        #expect(radiograph.metadata.transferSyntax == syntax.rawValue)
        if syntax.isLossless {
            #expect(radiograph.image == image)
        } else {
            let worst = zip(radiograph.image.pixels, image.pixels).map { abs(Int($0) - Int($1)) }.max()
            #expect(radiograph.image.width == 23 && (worst ?? 255) <= 4)
        }
    }

    @Test(
        "12 bits stored in 16 span the whole range where there is no window",
        arguments: [
            TransferSyntax.explicitLittleEndian, .explicitBigEndian, .jpegLossless, .jpegLSLossless, .runLength,
        ]
    )
    func twelveBits(syntax: TransferSyntax) throws {
        var source = DICOMSource(.words(Self.words), rows: 16, columns: 16)
        source.bitsStored = 12
        source.transferSyntax = syntax
        let pixels = try RadiographReader.read(written(source)).image.pixels
        #expect(pixels.prefix(16) == [0, 17, 34, 51, 68, 85, 102, 119, 136, 153, 170, 187, 204, 221, 238, 255])
    }

    /// The grey of stored values under some header elements.
    private func gray(_ values: [UInt16], bitsStored: Int = 12, isSigned: Bool = false, _ elements: String...) throws
        -> [UInt8]
    {
        var source = DICOMSource(.words(values), rows: 1, columns: values.count)
        source.bitsStored = bitsStored
        source.isSigned = isSigned
        source.transferSyntax = .explicitLittleEndian
        source.elements = elements
        return try RadiographReader.read(written(source, as: UUID().uuidString + ".dcm")).image.pixels
    }

    @Test("Windows follow DICOM's formulas")
    func windows() throws {
        let linear = try gray([0, 899, 900, 1000, 1099, 1100, 4095], "WindowCenter=1000", "WindowWidth=200")
        // C.11.2.1.2: ((x - 999.5) / 199 + 0.5) · 255, all below 900 black, all above 1099 white.
        #expect(linear == [0, 0, 0, 128, 255, 255, 255])
        let exact = try gray(
            [899, 900, 1000, 1050, 1100, 1101],
            "WindowCenter=1000",
            "WindowWidth=200",
            "VOILUTFunction=LINEAR_EXACT"
        )
        #expect(exact == [0, 0, 128, 191, 255, 255])
        let sigmoid = try gray(
            [0, 950, 1000, 1050, 4000],
            "WindowCenter=1000",
            "WindowWidth=200",
            "VOILUTFunction=SIGMOID"
        )
        #expect(sigmoid == [0, 69, 128, 186, 255])
        // Several windows: the first counts.
        let several = try gray([0, 4095], "WindowCenter=5000\\1", "WindowWidth=10\\2")
        #expect(several == [0, 0])
    }

    @Test("Rescale comes before the window; a negative slope turns the range round")
    func rescale() throws {
        let rescaled = try gray(
            [1000, 1100, 1200],
            "RescaleSlope=2",
            "RescaleIntercept=-2000",
            "WindowCenter=200.5",
            "WindowWidth=401"
        )
        #expect(rescaled == [0, 128, 255])
        #expect(try gray([0, 4095], "RescaleSlope=-1", "RescaleIntercept=0") == [255, 0])
    }

    @Test("Signed values")
    func signed() throws {
        // -2048, -1, 0, 2047 in 12 bits; the bits above them must not count.
        #expect(try gray([0xF800, 0xFFFF, 0, 0x07FF], isSigned: true) == [0, 127, 128, 255])
        #expect(try gray([0x0800, 0x0FFF, 0, 0x07FF], isSigned: true) == [0, 127, 128, 255])
    }

    @Test("Look-up tables of the header")
    func tables() throws {
        // DCMTK takes the values of tables in hexadecimal: 5, 50, 250 and 65535, 0, 100, 200.
        let voi = try gray(
            [9, 10, 11, 12, 4095],
            "VOILUTSequence[0].LUTDescriptor=3\\10\\8",
            "VOILUTSequence[0].LUTData=5\\32\\FA"
        )
        #expect(voi == [5, 5, 50, 250, 250])
        let modality = try gray(
            [0, 1, 2, 3],
            "ModalityLUTSequence[0].LUTDescriptor=4\\0\\16",
            "ModalityLUTSequence[0].LUTData=FFFF\\0\\64\\C8",
            "WindowCenter=100.5",
            "WindowWidth=201"
        )
        #expect(modality == [255, 0, 128, 255])
    }

    @Test("MONOCHROME1 is inverted after everything else")
    func monochrome1() throws {
        let image = GrayImageTests.noise(8, 8)
        var source = DICOMSource(.bytes(image.pixels), rows: 8, columns: 8)
        source.photometric = "MONOCHROME1"
        source.transferSyntax = .explicitLittleEndian
        #expect(try RadiographReader.read(written(source)).image.pixels == image.pixels.map { 255 - $0 })
    }

    @Test("What the header says about patient and image")
    func metadata() throws {
        var source = DICOMSource(.bytes(.init(repeating: 9, count: 12)), rows: 3, columns: 4)
        source.elements = [
            "SOPInstanceUID=1.2.3.4", "PatientID=P 17", "PatientSex=F", "PatientAge=062Y", "ViewPosition=AP",
            "PixelSpacing=0.168\\0.143",
        ]
        var expected = RadiographMetadata(rows: 3, columns: 4)
        expected.sopInstanceUID = "1.2.3.4"
        expected.patientID = "P 17"
        expected.sex = "F"
        expected.age = 62
        expected.viewPosition = "AP"
        expected.rowSpacing = 0.168
        expected.columnSpacing = 0.143
        expected.transferSyntax = TransferSyntax.jpegBaseline.rawValue
        #expect(try RadiographReader.read(written(source)).metadata == expected)
    }

    @Test("Ages come with every unit, and without", arguments: [("62", 62), ("018M", 1), ("413", 413), ("104W", 2)])
    func ages(text: String, years: Int) throws {
        var source = DICOMSource(.bytes([0, 0, 0, 0]), rows: 2, columns: 2)
        source.elements = ["PatientAge=\(text)"]
        #expect(try RadiographReader.read(written(source)).metadata.age == years)
    }

    private func refusal(of path: String) -> RadiographError? {
        do throws(RadiographError) {
            _ = try RadiographReader.read(path)
            return nil
        } catch {
            return error
        }
    }

    @Test("Colour, several frames, senseless windows: refused with the reason")
    func unsupported() throws {
        var colour = DICOMSource(.bytes(.init(repeating: 1, count: 48)), rows: 4, columns: 4)
        colour.samplesPerPixel = 3
        colour.photometric = "RGB"
        colour.transferSyntax = .explicitLittleEndian
        let colourError = refusal(of: try written(colour))
        #expect(colourError?.kind == .unsupported && colourError?.reason.contains("colour image (RGB") == true)

        var frames = DICOMSource(.bytes(.init(repeating: 1, count: 32)), rows: 4, columns: 4)
        frames.frames = 2
        frames.transferSyntax = .explicitLittleEndian
        #expect(refusal(of: try written(frames))?.reason.contains("2 frames") == true)

        #expect(throws: RadiographError.self) { try gray([1], "WindowCenter=5", "WindowWidth=0") }
        #expect(throws: RadiographError.self) { try gray([1], "RescaleSlope=0", "RescaleIntercept=5") }
    }

    @Test("JPEG 2000 is refused by name, with the tool that converts it")
    func jpeg2000() throws {
        let path = try written(DICOMSource(.bytes(.init(repeating: 1, count: 64)), rows: 8, columns: 8))
        let data = try Data(contentsOf: URL(fileURLWithPath: path))
        let range = try #require(data.range(of: Data("1.2.840.10008.1.2.4.50".utf8)))
        var patched = data
        patched.replaceSubrange(range, with: Data("1.2.840.10008.1.2.4.90".utf8))
        let error = refusal(of: try folder.write(patched, to: "j2k.dcm"))
        #expect(error?.kind == .unsupported)
        #expect(error?.reason.contains("JPEG 2000") == true && error?.reason.contains("gdcmconv --raw") == true)
    }

    @Test("What is not DICOM, is refused as such")
    func foreign() throws {
        let html = refusal(of: try folder.write("<!DOCTYPE html><p>429 Too Many Requests", to: "a.dcm"))
        #expect(html?.kind == .notAnImage && html?.reason.contains("<!DOCTYPE html>") == true)
        #expect(refusal(of: try folder.write("", to: "b.dcm"))?.kind == .notAnImage)
        #expect(refusal(of: folder.path + "/absent.dcm")?.kind == .unreadable)
        #expect(refusal(of: folder.path)?.kind == .unreadable)
    }

    @Test(
        "A file cut off anywhere is refused",
        arguments: [TransferSyntax.explicitLittleEndian, .jpegBaseline, .jpegLossless, .runLength, .deflated]
    )
    func cutOff(syntax: TransferSyntax) throws {
        var source = DICOMSource(.bytes(GrayImageTests.noise(64, 64).pixels), rows: 64, columns: 64)
        source.transferSyntax = syntax
        let data = try Data(contentsOf: URL(fileURLWithPath: written(source)))
        for count in [100, 140, 250, data.count / 2, data.count - 100] {
            let path = try folder.write(data.prefix(count), to: "cut-\(count).dcm")
            #expect(refusal(of: path) != nil, "\(count) of \(data.count) bytes")
        }
    }

    @Test("A damaged JPEG stream is refused, although DCMTK would let it pass")
    func damagedStream() throws {
        let path = try written(DICOMSource(.bytes(GrayImageTests.noise(64, 64).pixels), rows: 64, columns: 64))
        var data = try Data(contentsOf: URL(fileURLWithPath: path))
        // A marker in the middle of the entropy-coded data ends it early.
        let middle = data.count * 3 / 4
        data[middle] = 0xFF
        data[middle + 1] = 0xD9
        let error = refusal(of: try folder.write(data, to: "damaged.dcm"))
        #expect(error?.kind == .damaged)
    }

    /// The file with another number of rows or columns in its header, both of which are explicit shorts.
    private func patched(_ path: String, element: UInt8, to value: UInt16, as name: String) throws -> String {
        var data = try Data(contentsOf: URL(fileURLWithPath: path))
        // (0028,0010) Rows and (0028,0011) Columns, US, 2 bytes.
        let tag = Data([0x28, 0x00, element, 0x00, 0x55, 0x53, 0x02, 0x00])
        let range = try #require(data.range(of: tag))
        data[range.upperBound] = UInt8(value & 0xFF)
        data[range.upperBound + 1] = UInt8(value >> 8)
        return try folder.write(data, to: name)
    }

    @Test(
        "A header of another size than its image is damage, not a black border",
        arguments: [
            TransferSyntax.explicitLittleEndian, .jpegBaseline, .jpegExtended, .jpegLossless,
            .jpegLosslessFirstOrder, .jpegLSLossless, .runLength,
        ]
    )
    func headerOfAnotherSize(syntax: TransferSyntax) throws {
        for bits in [8, 12] where bits == 8 || syntax != .jpegBaseline {
            // DCMTK refuses some of the JPEG-LS streams that it writes itself, for a byte of padding: take one that
            // it reads.
            let candidate = (0..<16).lazy.compactMap { seed -> String? in
                let noise = GrayImageTests.noise(64, 64, seed: UInt64(seed)).pixels
                var source = DICOMSource(
                    bits == 8 ? .bytes(noise) : .words(noise.map { 16 * UInt16($0) }),
                    rows: 64,
                    columns: 64
                )
                source.bitsStored = bits
                source.transferSyntax = syntax
                source.elements = ["SOPInstanceUID=1.2.77"]
                guard let path = try? written(source, as: "sound.dcm") else { return nil }
                return (try? RadiographReader.read(path)).map { _ in path }
            }.first
            let sound = try #require(candidate)
            for (element, value) in [(UInt8(0x10), UInt16(128)), (0x11, 128), (0x10, 32), (0x11, 32)] {
                let path = try patched(sound, element: element, to: value, as: "patched.dcm")
                let error = refusal(of: path)
                #expect(error?.kind == .damaged, "\(syntax), \(bits) bits, \(element): \(value)")
                #expect(error?.reason.contains("under a header of") == true)
                #expect(error?.id == "1.2.77")
            }
        }
    }

    @Test("An RLE stream is counted, not believed")
    func runLengthPlanes() {
        func planes(_ bytes: [UInt8]) -> [Int]? { bytes.withUnsafeBufferPointer(EncodedSize.runLengthPlanes) }
        var header = [UInt8](repeating: 0, count: 64)
        header[0] = 1
        header[4] = 64
        // Three literals, four repeats, nothing; a literal run that is cut off; a header that points outside.
        #expect(planes(header + [2, 1, 2, 3, 0xFD, 9, 0x80]) == [7])
        #expect(planes(header + [5, 1, 2]) == [2])
        header[4] = 200
        #expect(planes(header + [0, 1]) == nil)
        #expect(planes([]) == nil)
    }

    @Test(
        "Look-up tables, windows and rescales that cannot be used are damage, not nothing",
        arguments: [
            ["VOILUTSequence[0].LUTDescriptor=9\\0\\8", "VOILUTSequence[0].LUTData=5\\32"],
            ["VOILUTSequence[0].LUTDescriptor=3\\0\\8"],
            ["ModalityLUTSequence[0].LUTData=5\\32\\FA"],
            ["ModalityLUTSequence[0].LUTDescriptor=3\\0\\17", "ModalityLUTSequence[0].LUTData=5\\32\\FA"],
            ["WindowCenter=50"], ["WindowCenter=fifty", "WindowWidth=9"], ["RescaleSlope=2"],
        ]
    )
    func unusableTables(elements: [String]) throws {
        var source = DICOMSource(.words([0, 1, 2, 3]), rows: 1, columns: 4)
        source.bitsStored = 12
        source.transferSyntax = .explicitLittleEndian
        source.elements = elements
        let error = refusal(of: try written(source))
        #expect(error?.kind == .damaged && error?.reason.contains("greys are not known") == true)
    }

    @Test(
        "A transfer syntax that DCMTK does not know is refused by name",
        arguments: [("1.2.840.10008.1.2.4.202", "High-Throughput JPEG 2000"), ("1.2.840.10008.9.9.9.999", "no name")]
    )
    func unknownSyntax(uid: String, name: String) throws {
        // A file whose meta header names the syntax; its length is unchanged but for even padding.
        var source = DICOMSource(.bytes(.init(repeating: 1, count: 64)), rows: 8, columns: 8)
        source.elements = ["SOPInstanceUID=1.2.78"]
        let data = try Data(contentsOf: URL(fileURLWithPath: written(source)))
        let old = Data("1.2.840.10008.1.2.4.50".utf8)
        let range = try #require(data.range(of: old))
        var patched = data
        var value = Data(uid.utf8)
        if value.count % 2 == 1 { value.append(0) }
        patched.replaceSubrange(range, with: value)
        // The value's length, and the length of the group.
        patched[range.lowerBound - 2] = UInt8(value.count)
        let groupLength = try #require(patched.range(of: Data([0x02, 0, 0, 0, 0x55, 0x4C, 0x04, 0])))
        patched[groupLength.upperBound] &+= UInt8(value.count - old.count)
        let error = refusal(of: try folder.write(patched, to: "unknown.dcm"))
        #expect(error?.kind == .unsupported, "\(error?.reason ?? "read")")
        #expect(error?.reason.contains(name) == true && error?.reason.contains(uid) == true)
        #expect(error?.id == "1.2.78")
    }

    // The challenge's DICOM may not be redistributed: the test runs where PLEURA_SHARED_DATA has it.
    @Test("The golden radiograph and its MONOCHROME1 twin", .enabled(if: SharedData.isPresent))
    func golden() throws {
        let path = SharedData.path("siim/1.2.276.0.7230010.3.1.4.8323329.6904.1517875201.850819.dcm")
        let radiograph = try RadiographReader.read(path)
        let image = radiograph.image
        #expect(image.width == 1024 && image.height == 1024)
        let sum = image.pixels.reduce(0) { $0 + Int($1) }
        #expect(sum == 168_189_534)
        #expect(image.pixels.prefix(8) == [0, 4, 5, 4, 5, 5, 4, 5])
        #expect(image.pixels[512 * 1024 + 508..<512 * 1024 + 516] == [205, 208, 209, 208, 208, 209, 211, 213])
        #expect(radiograph.metadata.age == 62 && radiograph.metadata.viewPosition == "PA")
        let twin = try RadiographReader.read(SharedData.path("siim/Fake_MONOHR1.dcm")).image
        #expect(twin.pixels == image.pixels.map { 255 - $0 })
    }
}
