import Storage

/// Checks TensorBoard's event files by the checksums that their format has.
package enum EventFile {
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
        return count
    }

    private static func checksum(_ bytes: [UInt8]) -> UInt32 { RecordFraming.mask(RecordFraming.checksum(bytes)) }

    private static func value(_ bytes: ArraySlice<UInt8>) -> UInt32 {
        bytes.reversed().reduce(0) { $0 << 8 | UInt32($1) }
    }
}
