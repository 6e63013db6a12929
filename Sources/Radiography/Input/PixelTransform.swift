private import Numerics

/// A look-up table of a DICOM header.
struct LookupTable: Equatable, Sendable {
    /// The input value of the first entry; smaller inputs take the first entry, larger ones than the last its last.
    let first: Int
    let values: [UInt16]
    /// The entries that the table claims to have; not fewer than there are.
    let claimed: Int
    /// The bits of an entry: the output range is 0 ...
    ///
    /// 2^bits - 1. Where the entries need far fewer bits than the header claims, or more, these are the bits that they need.
    let bits: Int
    /// What is assumed about the bits, or nothing where the entries agree with the header.
    let assumption: String?

    /// A table of at least one entry whose header claims 1 to 16 bits for each.
    init(first: Int, values: [UInt16], claimed: Int? = nil, bits: Int) {
        self.first = first
        self.values = values
        self.claimed = max(claimed ?? 0, values.count)
        let maximum = Int(values.max() ?? 0)
        if maximum >= 1 << bits {
            self.bits = UInt16(maximum).bitWidth - UInt16(maximum).leadingZeroBitCount
            assumption = "claims \(bits) bits an entry and has entries to \(maximum); \(self.bits) bits were taken"
        } else if let fewer = ValueDepth.fewer(than: bits, maximum: maximum) {
            self.bits = fewer
            assumption = "claims \(bits) bits an entry and has none above \(maximum); \(fewer) bits were taken"
        } else {
            self.bits = bits
            assumption = nil
        }
    }

    /// Whether an input falls on an entry that is claimed and is not there.
    func lacks(_ input: Int) -> Bool { input >= first + values.count && values.count < claimed }
}

/// How many bits values have that stand in larger words.
enum ValueDepth {
    /// The depth of detectors that values up to `maximum` fit, where they leave most of `bits` unused; else nothing.
    ///
    /// Twelve bits in words of sixteen are a sixteenth of the range: nearly black.
    static func fewer(than bits: Int, maximum: Int) -> Int? {
        guard maximum > 0 else { return nil }
        let limit = bits == 16 ? 14 : bits - 4
        return [8, 10, 12, 14].first { maximum < 1 << $0 && $0 <= limit }
    }
}

/// How stored values become 8-bit grey: DICOM's modality transformation, then its values-of-interest transformation,
/// then inversion for MONOCHROME1 (PS3.3 C.7.6.3, C.11.1, C.11.2; PS3.4 N.2).
struct PixelTransform: Equatable, Sendable {
    enum Modality: Equatable, Sendable {
        case identity
        case rescale(slope: Double, intercept: Double)
        case table(LookupTable)
    }

    enum WindowFunction: String, Sendable {
        case linear = "LINEAR"
        case linearExact = "LINEAR_EXACT"
        case sigmoid = "SIGMOID"
    }

    enum ValuesOfInterest: Equatable, Sendable {
        /// The whole range of the modality's output, as DICOM has it where a file says nothing.
        case all
        case window(center: Double, width: Double, function: WindowFunction)
        case table(LookupTable)
    }

    var bitsStored: Int
    var isSigned: Bool
    var modality: Modality = .identity
    var valuesOfInterest: ValuesOfInterest = .all
    var isInverted = false
    /// The bits that the values use, where they leave most of `bitsStored` unused and nothing else says their range.
    var bitsUsed: Int?

    /// Why these numbers make no image, or nothing where they do.
    var defect: String? {
        if case .rescale(let slope, let intercept) = modality {
            guard slope.isFinite && intercept.isFinite && slope != 0 else {
                return "its rescale slope \(slope) and intercept \(intercept) give no image"
            }
        }
        if case .window(let center, let width, let function) = valuesOfInterest {
            let isWide = function == .linear ? width >= 1 : width > 0
            guard center.isFinite && width.isFinite && isWide else {
                return "its window (center \(center), width \(width), \(function.rawValue)) gives no image"
            }
        }
        return nil
    }

    /// What made the greys, for messages; nothing where it is the whole range.
    var cause: String? {
        switch valuesOfInterest {
        case .all: nil
        case .window(let center, let width, _): "its window is \(Self.shown(center))/\(Self.shown(width))"
        case .table: "a look-up table made them"
        }
    }

    private static func shown(_ number: Double) -> String {
        abs(number) < 1e9 && number == number.rounded() ? String(Int(number)) : String(number)
    }

    /// The grey value of every stored value, indexed by its `bitsStored` bits.
    ///
    /// The numbers make sense: `defect` is nil.
    func table() -> [UInt8] {
        let count = 1 << bitsStored
        return (0..<count).map { bits in
            let stored = isSigned && bits >= count / 2 ? bits - count : bits
            let gray = grayValue(modalityValue(stored))
            return isInverted ? 255 - gray : gray
        }
    }

    private func modalityValue(_ stored: Int) -> Double {
        switch modality {
        case .identity: Double(stored)
        case .rescale(let slope, let intercept): Double(stored) * slope + intercept
        case .table(let table): Double(entry(of: table, at: stored))
        }
    }

    /// Whether the stored values fall on entries of a look-up table that are claimed and not there: the first that does.
    func lacksEntry(of stored: some Sequence<Int>) -> Bool {
        var tables: [LookupTable] = []
        if case .table(let table) = modality { tables.append(table) }
        if case .table(let table) = valuesOfInterest { tables.append(table) }
        guard tables.contains(where: { $0.claimed > $0.values.count }) else { return false }
        return stored.contains { value in
            if case .table(let table) = modality, table.lacks(value) { return true }
            if case .table(let table) = valuesOfInterest { return table.lacks(input(modalityValue(value))) }
            return false
        }
    }

    /// The smallest and largest output of the modality transformation.
    private var modalityRange: (low: Double, high: Double) {
        let bits = bitsUsed ?? bitsStored
        let lowest = isSigned && bitsUsed == nil ? -(1 << (bits - 1)) : 0
        let highest = lowest + (1 << bits) - 1
        switch modality {
        case .identity: return (Double(lowest), Double(highest))
        case .rescale(let slope, let intercept):
            let ends = (Double(lowest) * slope + intercept, Double(highest) * slope + intercept)
            return (min(ends.0, ends.1), max(ends.0, ends.1))
        case .table(let table): return (0, Double((1 << table.bits) - 1))
        }
    }

    private func grayValue(_ x: Double) -> UInt8 {
        switch valuesOfInterest {
        case .all:
            let (low, high) = modalityRange
            return Self.rounded((x - low) / (high - low) * 255)
        case .window(let c, let w, .linear):
            if x <= c - 0.5 - (w - 1) / 2 { return 0 }
            if x > c - 0.5 + (w - 1) / 2 { return 255 }
            return Self.rounded(((x - (c - 0.5)) / (w - 1) + 0.5) * 255)
        case .window(let c, let w, .linearExact):
            if x <= c - w / 2 { return 0 }
            if x > c + w / 2 { return 255 }
            return Self.rounded(((x - c) / w + 0.5) * 255)
        case .window(let c, let w, .sigmoid):
            return Self.rounded(255 / (1 + Mathematics.exp(-4 * (x - c) / w)))
        case .table(let table):
            return Self.rounded(Double(entry(of: table, at: input(x))) / Double((1 << table.bits) - 1) * 255)
        }
    }

    /// The entry of a table of values of interest that an output of the modality transformation asks for.
    private func input(_ x: Double) -> Int { Int(min(max(x.rounded(), -1e9), 1e9)) }

    private func entry(of table: LookupTable, at input: Int) -> UInt16 {
        table.values[min(max(input - table.first, 0), table.values.count - 1)]
    }

    /// To the nearest whole number, halves up, within 0 ...
    ///
    /// 255.
    private static func rounded(_ y: Double) -> UInt8 {
        UInt8(min(max((y + 0.5).rounded(.down), 0), 255))
    }
}
