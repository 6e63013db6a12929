import Platform

extension RunConfiguration {
    /// The configuration as YAML: every field with its value, in the order of the table, readable back.
    ///
    /// Equal configurations give equal text.
    /// - Parameter documented: writes above each field what it does.
    package func resolvedYAML(documented: Bool = false) -> String {
        Arithmetic.restore()
        var text = ""
        var open: [Substring] = []
        for field in ConfigurationField.all {
            let sections = Array(field.sections)
            let shared = zip(open, sections).prefix { $0 == $1 }.count
            for depth in shared..<max(shared, sections.count) {
                let indent = String(repeating: "  ", count: depth)
                if depth == 0 && documented && !text.isEmpty { text += "\n" }
                let name = sections[...depth].joined(separator: ".")
                if documented, let summary = ConfigurationField.sections[name] {
                    text += ConfigurationField.wrap(summary, indent: indent + "# ", width: 100) + "\n"
                }
                text += "\(indent)\(sections[depth]):\n"
            }
            open = sections
            let indent = String(repeating: "  ", count: sections.count)
            if documented {
                text +=
                    ConfigurationField.wrap("\(field.summary) (\(field.kind))", indent: indent + "# ", width: 100)
                    + "\n"
            }
            text += "\(indent)\(field.path.last ?? ""): \(field.render(self))\n"
        }
        return text
    }

    /// What users can read about the fields of a section, or about all of them: name, default, type, range, meaning.
    ///
    /// - Parameters:
    ///   - name: a section such as `optimizer`, or a field such as `optimizer.betas`; nil for all.
    ///   - width: columns of the terminal.
    /// - Returns: nil where nothing has that name.
    package static func explain(_ name: String? = nil, width: Int = 100) -> String? {
        let fields = ConfigurationField.all.filter { field in
            name.map { field.name == $0 || field.name.hasPrefix($0 + ".") } ?? true
        }
        guard !fields.isEmpty else { return nil }
        var text = ""
        var section = ""
        for field in fields {
            let own = field.sections.joined(separator: ".")
            if own != section, let summary = ConfigurationField.sections[own] {
                section = own
                if !text.isEmpty { text += "\n" }
                text += ConfigurationField.wrap("\(own): \(summary)", indent: "", width: width) + "\n"
            }
            text += "  \(field.name) = \(field.defaultText)\n"
            text += ConfigurationField.wrap("\(field.summary) (\(field.kind))", indent: "      ", width: width)
            text += "\n"
        }
        return text
    }
}

extension ConfigurationField {
    /// Breaks text at spaces into lines of at most `width` columns, each after `indent`.
    static func wrap(_ text: String, indent: String, width: Int) -> String {
        var lines: [String] = []
        var line = indent
        for word in text.split(separator: " ") {
            if line.count + 1 + word.count > width, line != indent {
                lines.append(line)
                line = indent
            }
            line += (line == indent ? "" : " ") + word
        }
        return (lines + [line]).joined(separator: "\n")
    }
}
