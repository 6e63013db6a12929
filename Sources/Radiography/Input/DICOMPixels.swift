internal import CDICOM

/// Decodes the pixels of an open file, holds them against its header, and turns them into greys.
///
/// What a decoder hands back is not believed: a compressed stream says itself how large and how deep its values are, and
/// where that is not what the header says, the values of the stream count or the file is refused.
struct DICOMPixels {
    private let file: OpaquePointer
    private let header: DICOMHeader
    private let path: String
    private var bits: StoredBits
    /// The bits of a value in a compressed stream that says so.
    private var precision: Int?
    /// What was assumed.
    private(set) var remarks: [PictureRemark] = []

    init(_ file: OpaquePointer, header: DICOMHeader, path: String) {
        self.file = file
        self.header = header
        self.path = path
        bits = header.bits
    }

    private var count: Int { header.rows * header.columns }
    private var syntax: String { String(cString: cdicom_text(file, CDICOM_TEXT_TRANSFER_SYNTAX_UID)) }

    private func damaged(_ reason: String) -> RadiographError { RadiographError(.damaged, path: path, reason: reason) }

    /// The picture, row-major.
    mutating func greys() throws(RadiographError) -> [UInt8] {
        if header.isEncapsulated {
            precision = try checkedStream()
            if let precision { try takePrecision(precision) }
        }
        let bytesPerValue = precision.map { $0 > 8 ? 2 : 1 } ?? header.bytesPerValue
        if bytesPerValue == 1 {
            let bytes = try storedBytes()
            let table = try greyTable(WordCounts(bytes))
            let isIdentity = table.enumerated().allSatisfy { $0 == $1 }
            return isIdentity ? bytes : Self.mapped(bytes, table)
        }
        var words = [UInt16](repeating: 0, count: count)
        if let failure = words.withUnsafeMutableBytes({ decode(2, into: $0) }) { throw failure }
        return Self.mapped(words, try greyTable(WordCounts(words)))
    }

    private static func mapped<Word: FixedWidthInteger & UnsignedInteger>(
        _ words: [Word],
        _ table: [UInt8]
    ) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: words.count) { target, initialized in
            words.withUnsafeBufferPointer { words in
                table.withUnsafeBufferPointer { table in
                    for index in words.indices { target[index] = table[Int(words[index])] }
                }
            }
            initialized = words.count
        }
    }

    // MARK: - Depth

    /// Holds the depth of a compressed stream against the header's.
    private mutating func takePrecision(_ precision: Int) throws(RadiographError) {
        guard (2...16).contains(precision) else {
            throw damaged("its compressed data has \(precision) bits a value, which no format of DICOM has")
        }
        if precision < bits.count {
            let found = "its compressed data has \(precision) bits a value under a header of \(bits.count) bits stored"
            guard !bits.isSigned else { throw damaged("\(found) with signs, so its values are not known") }
            remarks.append(PictureRemark(.depth, "\(found); it was taken as values of \(precision) bits"))
            bits.count = precision
            bits.highBit = precision - 1
        } else if bits.highBit >= precision {
            let found =
                "its compressed data has \(precision) bits a value under a header of the high bit \(bits.highBit)"
            remarks.append(PictureRemark(.depth, "\(found); its values were taken as they are"))
            bits.highBit = bits.count - 1
        }
    }

    /// What is to be thought of bits above those that are stored.
    private mutating func checkExcess(_ counts: WordCounts) {
        // Overlays, which are no part of the picture.
        guard bits.highBit + 1 < counts.width, !header.hasOverlaysInPixels else { return }
        let bits = bits
        let found = counts.pixels { bits.excess(of: $0, width: counts.width) != 0 }
        guard found > 0 else { return }
        if let precision, precision > bits.highBit + 1 {
            let maximum = counts.present.max() ?? 0
            let reason = "its compressed data has values to \(maximum) under a header of \(bits.count) bits stored"
            remarks.append(PictureRemark(.depth, "\(reason); they were taken as values of \(precision) bits"))
            self.bits = StoredBits(count: precision, highBit: precision - 1, isSigned: bits.isSigned)
        } else {
            // The same in every pixel is rubbish that devices leave, and means nothing.
            let above = Set(counts.present.map { $0 >> (bits.highBit + 1) })
            guard above.count > 1 else { return }
            let reason = "\(found) pixels have bits above the \(bits.count) that are stored; those were left out"
            remarks.append(PictureRemark(.depth, reason))
        }
    }

    // MARK: - Greys

    /// The grey of every word.
    private mutating func greyTable(_ counts: WordCounts) throws(RadiographError) -> [UInt8] {
        checkExcess(counts)
        let bits = bits
        var transform = header.transform
        transform.bitsStored = bits.count
        let padding = isLossy ? nil : header.padding
        func isPadding(_ word: Int) -> Bool { padding?.contains(bits.value(of: word)) ?? false }
        takeDepth(&transform, counts.present.lazy.filter { !isPadding($0) }.map { bits.value(of: $0) })
        guard !transform.lacksEntry(of: counts.present.lazy.map { bits.value(of: $0) }) else {
            throw damaged("its look-up table has no entries for some of its pixels, so its greys are not known")
        }
        let greys = transform.table()
        var table = [UInt8](repeating: 0, count: counts.counts.count)
        for word in table.indices where !isPadding(word) { table[word] = greys[bits.pattern(of: word)] }
        let padded = counts.pixels { isPadding($0) && greys[bits.pattern(of: $0)] != 0 }
        if padded > 0 {
            let reason = "\(padded) pixels have its padding value and were made black"
            remarks.append(PictureRemark(.header, reason))
        }
        if isLossy, let padding = header.padding, counts.pixels(where: { padding.contains(bits.value(of: $0)) }) > 0 {
            let reason = "its padding cannot be told from the picture, since it was compressed with loss"
            remarks.append(PictureRemark(.header, reason))
        }
        return table
    }

    private var isLossy: Bool {
        // JPEG baseline and extended, JPEG-LS with loss.
        ["1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.81"].contains(syntax)
    }

    /// Where neither a window nor a table says which values are black and white, the depth does: that of the values where
    /// they leave most of the header's.
    private mutating func takeDepth(_ transform: inout PixelTransform, _ values: some Sequence<Int>) {
        guard transform.valuesOfInterest == .all else { return }
        if case .table = transform.modality { return }
        var (low, high) = (Int.max, Int.min)
        for value in values { (low, high) = (min(low, value), max(high, value)) }
        guard low >= 0, high >= low else { return }
        let available = transform.isSigned ? transform.bitsStored - 1 : transform.bitsStored
        guard let fewer = ValueDepth.fewer(than: available == 15 ? 16 : available, maximum: high) else { return }
        transform.bitsUsed = fewer
        let reason = "it has \(transform.bitsStored) bits stored, no window, and no value above \(high)"
        remarks.append(PictureRemark(.depth, "\(reason): they were taken as values of \(fewer) bits"))
    }

    // MARK: - Decoding

    /// The stored values of an image with one byte a value.
    private func storedBytes() throws(RadiographError) -> [UInt8] {
        if header.isEncapsulated, syntax == TransferSyntax.jpegBaseline.rawValue {
            let (width, height) = (header.columns, header.rows)
            // libjpeg-turbo gives the same values as DCMTK's libjpeg four times as fast, and notices damage that
            // DCMTK's lets pass. What it does not take goes to DCMTK.
            let outcome = try withStream { stream throws(RadiographError) in
                RasterFile.decodeGrayJPEG(stream, width: width, height: height)
            }
            switch outcome {
            case .decoded(let pixels): return pixels
            case .damaged(let reason): throw damaged("its JPEG data is damaged or cut off (libjpeg: \(reason))")
            case .other: break
            }
        }
        // DCMTK asks for an even number of bytes.
        var bytes = [UInt8](repeating: 0, count: count + count % 2)
        if let failure = bytes.withUnsafeMutableBytes({ decode(1, into: $0) }) { throw failure }
        if count % 2 == 1 { bytes.removeLast() }
        return bytes
    }

    private func decode(_ bytesPerValue: UInt32, into buffer: UnsafeMutableRawBufferPointer) -> RadiographError? {
        let (status, message) = DICOMFile.withMessage {
            cdicom_decode(file, bytesPerValue, buffer.baseAddress, UInt32(buffer.count), $0, $1)
        }
        return status == CDICOM_OK ? nil : DICOMFile.failure(status, path: path, message: message)
    }

    /// The compressed bytes of the image.
    private func withStream<Value>(
        _ body: (UnsafeBufferPointer<UInt8>) throws(RadiographError) -> Value
    ) throws(RadiographError) -> Value {
        var bytes: UnsafePointer<UInt8>?
        var length = 0
        guard cdicom_fragments(file, &bytes, &length) == CDICOM_OK else {
            throw damaged("its compressed pixel data is not in fragments")
        }
        return try body(UnsafeBufferPointer(start: bytes, count: length))
    }

    /// Refuses a compressed image of another size than its header's; returns the bits of a value, where the stream says.
    private func checkedStream() throws(RadiographError) -> Int? {
        try withStream { stream throws(RadiographError) in
            let (width, height) = (header.columns, header.rows)
            if syntax == TransferSyntax.runLength.rawValue {
                guard let planes = EncodedSize.runLengthPlanes(in: stream) else {
                    throw damaged("its RLE header is malformed")
                }
                guard planes.count == header.bytesPerValue else {
                    throw damaged(
                        "it has \(planes.count) planes of bytes under a header of \(8 * header.bytesPerValue) bits"
                    )
                }
                if let wrong = planes.first(where: { $0 < width * height || $0 >= width * height + max(width, 2) }) {
                    throw damaged("an image of \(wrong) pixels under a header of \(width)×\(height)")
                }
                return nil
            }
            guard syntax.hasPrefix("1.2.840.10008.1.2.4.") else { return nil }
            guard let frame = EncodedSize.jpegFrame(in: stream) else {
                throw damaged("its JPEG data has no frame header")
            }
            guard frame.width == width, frame.height == height else {
                throw damaged("a \(frame.width)×\(frame.height) image under a header of \(width)×\(height)")
            }
            guard frame.components == 1 else {
                throw damaged("an image of \(frame.components) components under a header of one sample a pixel")
            }
            guard !EncodedSize.hasSecondJPEG(in: stream) else {
                throw damaged("its compressed data holds more than one image under a header of one frame")
            }
            return frame.precision
        }
    }
}
