import Foundation
import Radiography
import Testing

/// Changes the bytes of an explicit little-endian DICOM file into what devices and converters leave.
struct DICOMFileEditor {
    private(set) var data: Data

    init(_ path: String) throws {
        data = try Data(contentsOf: URL(fileURLWithPath: path))
    }

    /// Sets an unsigned short of the header.
    mutating func set(_ group: UInt16, _ element: UInt16, to value: UInt16) throws {
        let place = try range(of: Self.tag(group, element) + Data("US".utf8) + Data([2, 0])).upperBound
        data[place] = UInt8(value & 0xFF)
        data[place + 1] = UInt8(value >> 8)
    }

    /// Leaves out the element of the meta header that has a short length.
    mutating func removeMeta(_ element: UInt16) throws {
        let range = try range(of: Self.tag(2, element))
        let length = Int(data[range.upperBound + 2]) | Int(data[range.upperBound + 3]) << 8
        data.removeSubrange(range.lowerBound..<range.upperBound + 4 + length)
        // The length of the group.
        let place = try self.range(of: Self.tag(2, 0) + Data("UL".utf8) + Data([4, 0])).upperBound
        data[place] -= UInt8(8 + length)
    }

    /// Cuts the file before its pixels.
    mutating func removePixels() throws {
        data = data.prefix(upTo: try range(of: Self.tag(0x7FE0, 0x10)).lowerBound)
    }

    /// Adds bytes to pixels that are not compressed.
    mutating func addPixels(_ bytes: [UInt8]) throws {
        let place = try range(of: Self.tag(0x7FE0, 0x10)).upperBound + 4
        let length = (0..<4).reduce(0) { $0 | Int(data[place + $1]) << (8 * $1) } + bytes.count
        for index in 0..<4 { data[place + index] = UInt8(length >> (8 * index) & 0xFF) }
        data += Data(bytes)
    }

    /// Replaces a text by another of the same length.
    mutating func replace(_ old: String, with new: String) throws {
        precondition(old.utf8.count == new.utf8.count)
        data.replaceSubrange(try range(of: Data(old.utf8)), with: Data(new.utf8))
    }

    private func range(of bytes: Data) throws -> Range<Int> { try #require(data.range(of: bytes)) }

    private static func tag(_ group: UInt16, _ element: UInt16) -> Data {
        Data([group, element].flatMap { [UInt8($0 & 0xFF), UInt8($0 >> 8)] })
    }
}
