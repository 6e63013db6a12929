/// A number of a DICOM header as devices write it (PS3.5 6.2: DS and IS): digits, sign, point and exponent.
///
/// C's functions stop at the first byte that they do not know, so that 1,50 is 1 to them. Here a text is read whole or
/// not at all.
enum HeaderNumber: Equatable {
    /// There is no value.
    case absent
    case value(Double)
    /// A device with a decimal comma wrote it.
    case comma(Double)
    /// It cannot be read, or can be read in two ways; why.
    case unreadable(String)

    init(_ text: String) {
        let bytes = Array(text.utf8).trimmed()
        guard !bytes.isEmpty else {
            self = .absent
            return
        }
        if let value = Self.number(bytes) {
            self = .value(value)
            return
        }
        let shown = Self.shown(text)
        let commas = bytes.filter { $0 == Self.comma }.count
        guard commas == 1, !bytes.contains(Self.point), let comma = bytes.firstIndex(of: Self.comma),
            let value = Self.number(bytes.map { $0 == Self.comma ? Self.point : $0 })
        else {
            self = .unreadable("‘\(shown)’ is not a number")
            return
        }
        // 2,048 is two thousand to some and two to others.
        let before = bytes[..<comma].drop { $0 == UInt8(ascii: "+") || $0 == UInt8(ascii: "-") }
        let after = bytes[(comma + 1)...]
        let isDigits = after.allSatisfy { (0x30...0x39).contains($0) }
        if after.count == 3, isDigits, (1...3).contains(before.count), before.first != UInt8(ascii: "0") {
            self = .unreadable("‘\(shown)’ can be read with a decimal comma or as thousands")
            return
        }
        self = .comma(value)
    }

    private static let comma = UInt8(ascii: ",")
    private static let point = UInt8(ascii: ".")

    /// A finite number in decimal digits, all of the text.
    private static func number(_ bytes: [UInt8]) -> Double? {
        var rest = bytes[...]
        func dropSign() { if let first = rest.first, first == 0x2B || first == 0x2D { rest.removeFirst() } }
        func digits() -> Int {
            let count = rest.prefix { (0x30...0x39).contains($0) }.count
            rest.removeFirst(count)
            return count
        }
        dropSign()
        var count = digits()
        if rest.first == point {
            rest.removeFirst()
            count += digits()
        }
        guard count > 0 else { return nil }
        if let mark = rest.first, mark == UInt8(ascii: "e") || mark == UInt8(ascii: "E") {
            rest.removeFirst()
            dropSign()
            guard digits() > 0 else { return nil }
        }
        guard rest.isEmpty, bytes.count <= 64 else { return nil }
        guard let value = Double(String(decoding: bytes, as: UTF8.self)), value.isFinite else { return nil }
        return value
    }

    /// The text for a message: at most 40 characters, none that a terminal obeys.
    static func shown(_ text: String) -> String {
        let visible = text.unicodeScalars.prefix(41).map { scalar -> Character in
            scalar.value < 0x20 || (0x7F..<0xA0).contains(scalar.value) ? "?" : Character(scalar)
        }
        return visible.count > 40 ? String(visible.prefix(40)) + "…" : String(visible)
    }
}

extension [UInt8] {
    /// Without the blanks and zero bytes around, which pad DICOM's texts.
    fileprivate func trimmed() -> [UInt8] {
        func isPadding(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0 || byte == 0x09 }
        guard let first = firstIndex(where: { !isPadding($0) }), let last = lastIndex(where: { !isPadding($0) }) else {
            return []
        }
        return Array(self[first...last])
    }
}
