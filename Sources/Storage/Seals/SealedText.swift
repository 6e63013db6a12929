import Platform

/// Pages in HTML whose last line, a comment, is the SHA-256 of the bytes above it.
package enum SealedPage {
    private static let mark = "<!-- Pleura report; SHA-256 of the bytes above: "
    private static let end = " -->\n"
    /// How pages of earlier versions can be recognised: they had no seal.
    private static let heading = "<p class=\"over\">Pleura \u{B7} run report</p>"

    /// The page with its last line.
    package static func sealed(_ page: String) -> String {
        let lines = page.hasSuffix("\n") ? page : page + "\n"
        return "\(lines)\(mark)\(SHA256Digest.of(Array(lines.utf8)))\(end)"
    }

    /// Whether a page is, to the last bit, what `sealed` gave; nil where it has no seal.
    static func fits(_ path: String) throws(FileError) -> Bool? {
        let bytes = try OpenFile(path, .read).readAll(limit: 1 << 30)
        let tail = mark.utf8.count + 64 + end.utf8.count
        guard bytes.count >= tail, bytes[(bytes.count - tail)...].starts(with: Array(mark.utf8)) else {
            // A seal that is not at the end shows that something was added after it.
            return String(decoding: bytes.suffix(1 << 16), as: UTF8.self).contains(mark.dropLast(1)) ? false : nil
        }
        let lines = Array(bytes[..<(bytes.count - tail)])
        return Array("\(mark)\(SHA256Digest.of(lines))\(end)".utf8).elementsEqual(bytes[lines.count...])
    }

    /// Throws a `StorageDefect` unless a page is, to the last bit, what `sealed` gave.
    package static func check(_ path: String) throws {
        guard let fits = try fits(path) else {
            throw StorageDefect(
                .truncated,
                file: path,
                "it does not end with the hash of its bytes: it was cut short, edited, or written by an earlier version; "
                    + "`pleura report` writes it anew"
            )
        }
        if !fits {
            throw StorageDefect(
                .wrongHash,
                file: path,
                "its bytes do not fit the hash at its end: it was edited or damaged"
            )
        }
    }

    /// Whether a page is a report of this program that nobody has changed.
    static func isOwn(_ path: String) throws(FileError) -> Bool {
        if let fits = try fits(path) { return fits }
        let bytes = try OpenFile(path, .read).readAll(limit: 1 << 30)
        return String(decoding: bytes.prefix(1 << 20), as: UTF8.self).contains(heading)
    }
}

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
