extension RunConfiguration {
    /// All fields as a page of Markdown: a heading and a table for each section; docs/configuration.md is this text.
    package static var page: String {
        var text = """
            # Configuration

            Every field with its default. A configuration is YAML and names what differs; `--set section.field=value` overrides a
            field for one run. This page is what `pleura inspect --fields --markdown` prints.

            """
        // In the order of their first fields; a section's fields may stand in several places of the table.
        var order: [String] = []
        var groups: [String: [ConfigurationField]] = [:]
        for field in ConfigurationField.all {
            let section = field.sections.joined(separator: ".")
            if groups[section] == nil { order.append(section) }
            groups[section, default: []].append(field)
        }
        for section in order {
            if let summary = ConfigurationField.sections[section] {
                text += "\n## \(section)\n\n\(summary)\n"
            } else {
                text += "\n## Top level\n"
            }
            text += "\n| Field | Default | Values | Meaning |\n|---|---|---|---|\n"
            for field in groups[section] ?? [] {
                let cells = ["`\(field.name)`", "`\(field.defaultText)`", field.kind, field.summary]
                text += "| \(cells.map(Self.cell).joined(separator: " | ")) |\n"
            }
        }
        return text
    }

    /// Text as it may stand in a cell of a table.
    private static func cell(_ text: String) -> String {
        text.split(separator: "|", omittingEmptySubsequences: false).joined(separator: "\\|")
    }
}
