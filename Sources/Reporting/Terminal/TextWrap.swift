/// Breaks lines that are wider than a terminal, which would break them in the middle of a word.
package enum TextWrap {
    /// Lines of at most `columns`, broken at spaces; what follows a break stands under the line's beginning.
    ///
    /// A line with columns of its own, told by two spaces between words, stays as it is.
    package static func sentences(_ text: String, columns: Int) -> String {
        lines(of: text, columns: columns) { line, indent in
            line.drop { $0 == " " }.contains("  ") ? nil : words(line, indent: indent) { _ in false }
        }
    }

    /// As `sentences`, and what stands in brackets stays together: for lines that say how a command is written.
    package static func usage(_ text: String, columns: Int) -> String {
        lines(of: text, columns: columns) { line, indent in
            let deeper = line.hasPrefix("USAGE: ") || line.hasPrefix("Usage: ") ? 7 : indent + 2
            var depth = 0
            return words(line, indent: deeper) { word in
                depth += word.count { $0 == "[" || $0 == "<" } - word.count { $0 == "]" || $0 == ">" }
                return depth > 0
            }
        }
    }

    private struct Parts {
        /// The line's own beginning, and that of what follows.
        var margin: String
        var indent: Int
        var words: [String]
    }

    /// `continues` hears each word in turn, and says whether the next one belongs to it.
    private static func words(_ line: Substring, indent: Int, continues: (Substring) -> Bool) -> Parts {
        let margin = String(line.prefix { $0 == " " })
        var words: [String] = []
        var isOpen = false
        for word in line.dropFirst(margin.count).split(separator: " ") {
            if isOpen, let last = words.popLast() {
                words.append("\(last) \(word)")
            } else {
                words.append(String(word))
            }
            isOpen = continues(word)
        }
        return Parts(margin: margin, indent: indent, words: words)
    }

    private static func lines(of text: String, columns: Int, parts: (Substring, Int) -> Parts?) -> String {
        text.split(separator: "\n", omittingEmptySubsequences: false).map { line -> String in
            guard line.count > columns, columns > 20 else { return String(line) }
            let margin = line.prefix { $0 == " " }.count
            guard let parts = parts(line, margin) else { return String(line) }
            var lines: [String] = []
            var current = parts.margin
            var isFirst = true
            for word in parts.words {
                if !isFirst, current.count + 1 + word.count > columns {
                    lines.append(current)
                    current = String(repeating: " ", count: min(parts.indent, columns / 2))
                    isFirst = true
                }
                current += (isFirst ? "" : " ") + word
                isFirst = false
            }
            return (lines + [current]).joined(separator: "\n")
        }.joined(separator: "\n")
    }
}
