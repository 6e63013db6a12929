/// TFRecord, the framing of TensorBoard's event files.
///
/// A record is its length (64 bits, little-endian), the masked checksum of these 8 bytes, the bytes, and their masked
/// checksum.
package enum RecordFraming {
    /// The framed bytes of one record.
    package static func frame(_ record: [UInt8]) -> [UInt8] {
        let length = littleEndian(UInt64(record.count))
        var framed: [UInt8] = []
        framed.reserveCapacity(record.count + 16)
        framed += length
        framed += littleEndian(mask(checksum(length)))
        framed += record
        framed += littleEndian(mask(checksum(record)))
        return framed
    }

    /// CRC-32C (Castagnoli), reflected, as in iSCSI.
    package static func checksum(_ bytes: [UInt8]) -> UInt32 {
        var sum = ~UInt32(0)
        for byte in bytes { sum = table[Int(UInt8(truncatingIfNeeded: sum) ^ byte)] ^ (sum >> 8) }
        return ~sum
    }

    /// Stored checksums are turned and shifted, because a checksum over data that holds a checksum is weak.
    package static func mask(_ checksum: UInt32) -> UInt32 {
        ((checksum >> 15) | (checksum << 17)) &+ 0xA282_EAD8
    }

    private static let table: [UInt32] = (0..<256).map { index in
        (0..<8).reduce(UInt32(index)) { value, _ in value & 1 == 1 ? (value >> 1) ^ 0x82F6_3B78 : value >> 1 }
    }

    private static func littleEndian<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] {
        (0..<Value.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
    }
}
