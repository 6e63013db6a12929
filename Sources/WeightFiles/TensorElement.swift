/// The type of a tensor's elements in a file, by the names of safetensors.
package enum TensorElement: String, Sendable, CaseIterable {
    case float64 = "F64"
    case float32 = "F32"
    case float16 = "F16"
    case bfloat16 = "BF16"
    case int64 = "I64"
    case int32 = "I32"
    case int16 = "I16"
    case int8 = "I8"
    case uint64 = "U64"
    case uint32 = "U32"
    case uint16 = "U16"
    case uint8 = "U8"
    case bool = "BOOL"

    /// Bytes of an element.
    package var bytes: Int {
        switch self {
        case .float64, .int64, .uint64: 8
        case .float32, .int32, .uint32: 4
        case .float16, .bfloat16, .int16, .uint16: 2
        case .int8, .uint8, .bool: 1
        }
    }

    /// Whether weights and statistics can have it: counters of batches have an integer.
    package var isFloat: Bool {
        switch self {
        case .float64, .float32, .float16, .bfloat16: true
        default: false
        }
    }

    /// The elements at `bytes`, little-endian and without alignment, as the nearest `Float`s.
    ///
    /// Nil for a type that is no number of weights.
    package func floats(_ raw: UnsafeRawBufferPointer) -> [Float]? {
        func all<Word: FixedWidthInteger>(_: Word.Type, _ value: (Word) -> Float) -> [Float] {
            let size = MemoryLayout<Word>.size
            return (0..<raw.count / size).map { index in
                value(Word(littleEndian: raw.loadUnaligned(fromByteOffset: index * size, as: Word.self)))
            }
        }
        return switch self {
        case .float64: all(UInt64.self) { Float(Double(bitPattern: $0)) }
        case .float32: all(UInt32.self) { Float(bitPattern: $0) }
        case .float16: all(UInt16.self) { Float(Float16(bitPattern: $0)) }
        case .bfloat16: all(UInt16.self) { Float(bitPattern: UInt32($0) << 16) }
        default: nil
        }
    }
}

/// A tensor of a file: its name there, its shape, and where its bytes are.
package struct StoredTensor: Hashable, Sendable {
    package var name: String
    package var element: TensorElement
    /// In C order.
    package var shape: [Int]
    /// From the start of the file.
    package var bytes: Range<Int>

    package init(name: String, element: TensorElement, shape: [Int], bytes: Range<Int>) {
        self.name = name
        self.element = element
        self.shape = shape
        self.bytes = bytes
    }

    /// The elements of a shape; nil where a dimension is negative or the product does not fit.
    package static func count(_ shape: [Int]) -> Int? {
        var count = 1
        for side in shape {
            guard side >= 0 else { return nil }
            let (product, overflows) = count.multipliedReportingOverflow(by: side)
            guard !overflows else { return nil }
            count = product
        }
        return count
    }
}
