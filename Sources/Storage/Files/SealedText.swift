/// Text files whose last line, a comment to whoever else reads them, is the SHA-256 of the lines above it.
package enum SealedText {
    private static let mark = "# SHA-256 of the lines above: "

    /// The text with its last line; a missing line feed at its end is added.
    package static func sealed(_ text: String) -> String {
        let lines = text.isEmpty || text.hasSuffix("\n") ? text : text + "\n"
        return "\(lines)\(mark)\(SHA256Digest.of(Array(lines.utf8)))\n"
    }

    /// Throws a `StorageDefect` unless a file is, to the last bit, what `sealed` gave.
    package static func check(_ path: String) throws {
        let bytes = try OpenFile(path, .read).readAll(limit: 1 << 24)
        let end = bytes.last == UInt8(ascii: "\n") ? bytes.count - 1 : bytes.count
        let start = (bytes[..<end].lastIndex(of: UInt8(ascii: "\n")) ?? -1) + 1
        guard bytes[start...].starts(with: Array(mark.utf8)) else {
            throw StorageDefect(
                .truncated,
                file: path,
                "it does not end with the hash of its lines: it was cut short, edited, or written by an earlier "
                    + "version; `pleura resume` writes it anew"
            )
        }
        guard Array("\(mark)\(SHA256Digest.of(Array(bytes[..<start])))\n".utf8) == Array(bytes[start...]) else {
            throw StorageDefect(
                .wrongHash,
                file: path,
                "its lines do not fit the hash that it ends with: it was edited or damaged"
            )
        }
    }
}
