import Platform
import Storage

/// Checks TensorBoard's event files by the checksums that their format has.
package enum EventFile {
    /// What the first record of our files says of its writer, as the format's own field for that: `source_metadata`.
    ///
    /// As protobuf: field 10 of `Event`, a message whose field 1 is the writer's name.
    static let signature: [UInt8] = {
        let name = Array("pleura".utf8)
        let metadata = [0x0A, UInt8(name.count)] + name
        return [0x52, UInt8(metadata.count)] + metadata
    }()

    /// Why the file at `path` is not provably ours, as in `OutputObstacle`; nil where it is.
    package static func foreignness(of path: String) -> String? {
        do {
            guard try verify(path) > 0 else { return "holds no whole record" }
            let head = try OpenFile(path, .read).readAll(limit: 1 << 31).prefix(12 + 256)
            let size = head.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
            let record = head.dropFirst(12).prefix(min(size, 256))
            guard size <= 256, record.suffix(signature.count).elementsEqual(signature) else {
                return "was written by another program or an earlier version"
            }
            return nil
        } catch {
            return "is not as this program wrote it: \(error)"
        }
    }

    /// Throws a `StorageDefect` that names the first record that is not as it was written; returns the number of whole
    /// records.
    ///
    /// A torn last one, left by a writer that died inside it, is left out.
    @discardableResult
    package static func verify(_ path: String) throws -> Int {
        let bytes = try OpenFile(path, .read).readAll(limit: 1 << 31)
        var position = 0
        var count = 0
        func damaged(_ what: String) -> StorageDefect {
            StorageDefect(.wrongHash, file: path, "\(what) of record \(count + 1) does not fit its checksum")
        }
        while bytes.count - position >= 12 {
            let length = Array(bytes[position..<position + 8])
            guard value(bytes[position + 8..<position + 12]) == checksum(length) else { throw damaged("the length") }
            let size = length.reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            guard size <= UInt64(bytes.count), bytes.count - position - 12 >= Int(size) + 4 else { break }
            let start = position + 12
            let end = start + Int(size)
            guard value(bytes[end..<end + 4]) == checksum(Array(bytes[start..<end])) else { throw damaged("the text") }
            position = end + 4
            count += 1
        }
        // A writer that died has left the beginning of a record, whose length is far below what eight bytes can hold.
        let tail = Array(bytes[position...])
        if tail.count < 12, tail.count > 4, tail[4..<min(8, tail.count)].contains(where: { $0 != 0 }) {
            throw damaged("the length")
        }
        return count
    }

    private static func checksum(_ bytes: [UInt8]) -> UInt32 { RecordFraming.mask(RecordFraming.checksum(bytes)) }

    private static func value(_ bytes: ArraySlice<UInt8>) -> UInt32 {
        bytes.reversed().reduce(0) { $0 << 8 | UInt32($1) }
    }
}
