private import Numerics

/// A look-up table of a DICOM header.
struct LookupTable: Equatable, Sendable {
    /// The input value of the first entry; smaller inputs take the first entry, larger ones than the last its last.
    var first: Int
    var values: [UInt16]
    /// The bits of an entry: the output range is 0 ...
    ///
    /// 2^bits - 1.
    var bits: Int
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

    /// The smallest and largest output of the modality transformation.
    private var modalityRange: (low: Double, high: Double) {
        let lowest = isSigned ? -(1 << (bitsStored - 1)) : 0
        let highest = lowest + (1 << bitsStored) - 1
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
            let index = Int(min(max(x.rounded(), -1e9), 1e9))
            return Self.rounded(Double(entry(of: table, at: index)) / Double((1 << table.bits) - 1) * 255)
        }
    }

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
