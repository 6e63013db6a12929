import Foundation
import Platform

/// The format of huggingface's safetensors: a length of eight bytes, little-endian; so many bytes of JSON; then the tensors.
///
/// Source: the README of github.com/huggingface/safetensors and its `tensor.rs`.
package enum Safetensors {
    /// So many bytes of JSON are read at most; the format allows 100 MB, and 10,000 tensors take one.
    package static let maximumHeaderBytes = 16 << 20
    /// Dimensions of a tensor; no layer has more.
    private static let maximumRank = 16

    private struct Entry: Decodable {
        var dtype: String
        var shape: [Int]
        var dataOffsets: [Int]

        enum CodingKeys: String, CodingKey {
            case dtype, shape
            case dataOffsets = "data_offsets"
        }
    }

    private enum Member: Decodable {
        case metadata([String: String])
        case entry(Entry)

        init(from decoder: any Decoder) throws {
            if decoder.codingPath.last?.stringValue == "__metadata__" {
                self = .metadata(try [String: String](from: decoder))
            } else {
                self = .entry(try Entry(from: decoder))
            }
        }
    }

    /// The tensors that a header tells of, in the order of their bytes, and what their writer says of them.
    ///
    /// - Parameters:
    ///   - header: the first bytes of the file, all of the header or more.
    ///   - fileBytes: the size of the file.
    ///   - path: for errors.
    package static func contents(
        header: [UInt8],
        fileBytes: Int,
        path: String
    ) throws(WeightFileError) -> (tensors: [StoredTensor], metadata: [String: String]) {
        let length = try headerBytes(header, fileBytes: fileBytes, path: path)
        func damage(_ problem: String) -> WeightFileError { .malformed(path: path, problem: problem) }
        guard header.count >= 8 + length else { throw damage("its header is cut") }
        let json = header[8..<8 + length]
        guard json.first == UInt8(ascii: "{") else { throw damage("its header is no JSON object") }
        let members: [String: Member]
        do {
            members = try JSONDecoder().decode([String: Member].self, from: Data(json))
        } catch {
            throw damage("its header is not the JSON of the format")
        }
        var tensors: [StoredTensor] = []
        var metadata: [String: String] = [:]
        let base = 8 + length
        for (name, member) in members {
            let entry: Entry
            switch member {
            case .metadata(let words):
                metadata = words
                continue
            case .entry(let found): entry = found
            }
            guard let element = TensorElement(rawValue: entry.dtype) else {
                throw damage(
                    "the tensor \(shown(name)) has elements of the type \(shown(entry.dtype)), which is not known"
                )
            }
            guard entry.shape.count <= maximumRank, let count = StoredTensor.count(entry.shape),
                !count.multipliedReportingOverflow(by: element.bytes).overflow
            else { throw damage("the tensor \(shown(name)) has an impossible shape") }
            guard entry.dataOffsets.count == 2, let begin = entry.dataOffsets.first,
                let end = entry.dataOffsets.last,
                begin >= 0, begin <= end, end <= fileBytes - base
            else { throw damage("the bytes of the tensor \(shown(name)) are not in the file") }
            guard end - begin == count * element.bytes else {
                throw damage(
                    "the tensor \(shown(name)) has \(end - begin) bytes, and its shape \(count * element.bytes)"
                )
            }
            tensors.append(
                StoredTensor(name: name, element: element, shape: entry.shape, bytes: base + begin..<base + end)
            )
        }
        tensors.sort {
            ($0.bytes.lowerBound, $0.bytes.upperBound, $0.name) < ($1.bytes.lowerBound, $1.bytes.upperBound, $1.name)
        }
        // Neither a hole nor an overlap: so a name that stands twice is found too, since its other bytes are nobody's.
        var position = base
        for tensor in tensors {
            guard tensor.bytes.lowerBound == position else {
                throw damage("the bytes from \(position) on belong to no tensor, or to two")
            }
            position = tensor.bytes.upperBound
        }
        guard position == fileBytes else {
            throw damage("\(fileBytes - position) bytes at its end belong to no tensor")
        }
        return (tensors, metadata)
    }

    /// The bytes of JSON, of a file that begins with `header`, at least 8 bytes.
    static func headerBytes(_ header: [UInt8], fileBytes: Int, path: String) throws(WeightFileError) -> Int {
        func damage(_ problem: String) -> WeightFileError { .malformed(path: path, problem: problem) }
        guard header.count >= 8 else { throw damage("it has \(fileBytes) bytes") }
        let length = (0..<8).reduce(UInt64(0)) { $0 | UInt64(header[$1]) << (8 * UInt64($1)) }
        guard length <= UInt64(maximumHeaderBytes), Int(length) <= fileBytes - 8, length >= 2 else {
            throw damage("its header is said to have \(length) bytes, of \(fileBytes) in the file")
        }
        return Int(length)
    }

    /// A name out of the file, short enough for a sentence.
    static func shown(_ text: String) -> String {
        let clean = text.unicodeScalars.prefix(80).map {
            $0.properties.isWhitespace || $0.value < 32 ? " " : String($0)
        }
        return clean.joined() + (text.unicodeScalars.count > 80 ? "…" : "")
    }

    /// A tensor that is written.
    package struct Written: Sendable {
        package var name: String
        package var element: TensorElement
        package var shape: [Int]
        /// Its bytes, little-endian, in C order; called once, in the order of the file.
        package var bytes: @Sendable () throws -> [UInt8]

        package init(
            name: String,
            element: TensorElement,
            shape: [Int],
            bytes: @escaping @Sendable () throws -> [UInt8]
        ) {
            self.name = name
            self.element = element
            self.shape = shape
            self.bytes = bytes
        }
    }

    /// Writes a file in the place of `path`, whole or not at all.
    ///
    /// The largest elements come first, then by name, as the format's own writer does, so that tensors are aligned.
    package static func write(_ tensors: [Written], metadata: [String: String], to path: String) throws {
        let ordered = tensors.sorted { ($1.element.bytes, $0.name) < ($0.element.bytes, $1.name) }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        func text(_ value: some Encodable) throws -> String {
            String(decoding: try encoder.encode(value), as: UTF8.self)
        }
        var members = metadata.isEmpty ? [] : ["\"__metadata__\":\(try text(metadata))"]
        var offset = 0
        for tensor in ordered {
            guard let count = StoredTensor.count(tensor.shape) else {
                throw WeightFileError.malformed(
                    path: path,
                    problem: "the tensor \(tensor.name) has an impossible shape"
                )
            }
            let end = offset + count * tensor.element.bytes
            members.append(
                "\(try text(tensor.name)):{\"dtype\":\"\(tensor.element.rawValue)\",\"shape\":\(try text(tensor.shape)),"
                    + "\"data_offsets\":[\(offset),\(end)]}"
            )
            offset = end
        }
        var header = Array("{\(members.joined(separator: ","))}".utf8)
        while header.count % 8 != 0 { header.append(UInt8(ascii: " ")) }
        try FileSystem.requireSpace(8 + header.count + offset, at: FileSystem.parent(of: path))
        let file = try FileSystem.createTemporary(for: path)
        do {
            let length = (0..<8).map { UInt8(truncatingIfNeeded: header.count >> (8 * $0)) }
            try (length + header).withUnsafeBytes { try file.append($0) }
            for tensor in ordered {
                let bytes = try tensor.bytes()
                guard bytes.count == StoredTensor.count(tensor.shape).map({ $0 * tensor.element.bytes }) else {
                    throw WeightFileError.malformed(
                        path: path,
                        problem: "the tensor \(tensor.name) has \(bytes.count) bytes for the shape \(tensor.shape)"
                    )
                }
                try bytes.withUnsafeBytes { try file.append($0) }
            }
            try FileSystem.publish(file.path, as: path)
        } catch {
            try? FileSystem.remove(file.path)
            throw error
        }
    }
}
