/// The text of a table that another program wrote: commas, semicolons or tabs between fields, UTF-8 or UTF-16, any line
/// ends.
package struct TableText: Sendable {
    /// UTF-8 with line feeds at the ends of lines.
    package let bytes: [UInt8]
    /// What parts the fields.
    package let separator: UInt8

    /// The text of a file; nothing where it is no text, that is, where it holds zero bytes.
    package init?(_ file: [UInt8]) {
        var bytes = file
        if let isBigEndian = Self.isUTF16(file) {
            let units = stride(from: 0, to: file.count - 1, by: 2).map { index in
                let (first, second) = (UInt16(file[index]), UInt16(file[index + 1]))
                return isBigEndian ? first << 8 | second : second << 8 | first
            }
            bytes = Array(String(decoding: units, as: UTF16.self).utf8)
        }
        if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { bytes.removeFirst(3) }
        guard !bytes.contains(0) else { return nil }
        // Old spreadsheets on a Mac end lines with a carriage return alone.
        if bytes.contains(0x0D) && !bytes.contains(0x0A) { bytes = bytes.map { $0 == 0x0D ? 0x0A : $0 } }
        var lines = bytes[...]
        if lines.starts(with: Array("sep=".utf8)), let end = lines.firstIndex(of: 0x0A) {
            // A spreadsheet's word for its own separator; the line stays, empty, so that rows keep their numbers.
            for index in 0..<end { bytes[index] = 0x20 }
            lines = bytes[end...]
        }
        separator = Self.separator(lines)
        self.bytes = bytes
    }

    /// Whether bytes are UTF-16, and then whether the high byte comes first; by their mark, or by every other byte of
    /// their beginning being 0.
    private static func isUTF16(_ bytes: [UInt8]) -> Bool? {
        if bytes.starts(with: [0xFE, 0xFF]) { return true }
        if bytes.starts(with: [0xFF, 0xFE]) { return false }
        guard bytes.count >= 8, bytes.count % 2 == 0 else { return nil }
        let beginning = Array(bytes.prefix(64))
        let zeros = beginning.indices.filter { beginning[$0] == 0 }
        guard zeros.count == beginning.count / 2 else { return nil }
        if zeros.allSatisfy({ $0 % 2 == 0 }) { return true }
        return zeros.allSatisfy({ $0 % 2 == 1 }) ? false : nil
    }

    /// What parts the fields of the first line that has any.
    private static func separator(_ bytes: ArraySlice<UInt8>) -> UInt8 {
        var counts: [UInt8: Int] = [0x2C: 0, 0x3B: 0, 0x09: 0]
        var isQuoted = false
        var hasText = false
        for byte in bytes {
            if byte == 0x22 { isQuoted.toggle() }
            if byte == 0x0A && hasText { break }
            if byte > 0x20 { hasText = true }
            if !isQuoted, let count = counts[byte] { counts[byte] = count + 1 }
        }
        let (commas, semicolons, tabs) = (counts[0x2C] ?? 0, counts[0x3B] ?? 0, counts[0x09] ?? 0)
        if semicolons > commas { return 0x3B }
        return commas == 0 && tabs > 0 ? 0x09 : 0x2C
    }
}

/// The name that an image is called by in tables: without folders, and without the ending of an image's file.
package enum ImageName {
    private static let endings = [".dcm", ".dicom", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".gz", ".nii"]

    package static func plain(_ id: String) -> String {
        var name = id.split(whereSeparator: { $0 == "/" || $0 == "\\" }).last.map(String.init) ?? id
        while let ending = endings.first(where: name.lowercased().hasSuffix), name.count > ending.count {
            name.removeLast(ending.count)
        }
        return name
    }

    /// The names by which ids are found where nothing has the id itself; what two ids share is none of either's.
    package static func index(_ ids: some Sequence<String>) -> [String: String] {
        var found: [String: String] = [:]
        var shared: Set<String> = []
        for id in ids {
            let name = plain(id)
            if let other = found.updateValue(id, forKey: name), other != id { shared.insert(name) }
        }
        for name in shared { found[name] = nil }
        return found
    }
}
