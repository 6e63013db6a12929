import Yams

/// One field of the configuration: its name, type, default, meaning and range.
package struct ConfigurationField: Sendable {
    /// The name with its sections: "optimizer.learning_rate".
    package let name: String
    /// The type and the range in words: "a number, above 0".
    package let kind: String
    /// What the field does, in full sentences.
    package let summary: String
    /// True for a field of text, of which an override takes whatever stands after `=`.
    let isText: Bool
    /// True for a setting that an entry of a registry declares.
    package let isDeclared: Bool
    /// Reads a node, checks the value and stores it.
    let assign: @Sendable (Node, inout RunConfiguration) throws(ValueProblem) -> Void
    /// The YAML text of the field's value.
    let render: @Sendable (RunConfiguration) -> String

    /// The sections above the field: ["optimizer"].
    package var sections: ArraySlice<Substring> { path.dropLast() }
    /// The name in parts: ["optimizer", "learning_rate"].
    var path: [Substring] { name.split(separator: ".") }

    /// The YAML text of the field's value in `configuration`.
    package func text(in configuration: RunConfiguration) -> String { render(configuration) }

    /// The YAML text of the field's default.
    package var defaultText: String { render(RunConfiguration()) }

    static func field<Value: ConfigurationValue>(
        _ name: String,
        _ keyPath: any WritableKeyPath<RunConfiguration, Value> & Sendable,
        _ summary: String
    ) -> ConfigurationField {
        field(name, keyPath, .any, summary)
    }

    static func field<Value: ConfigurationValue>(
        _ name: String,
        _ keyPath: any WritableKeyPath<RunConfiguration, Value> & Sendable,
        _ check: ValueCheck<Value>,
        _ summary: String
    ) -> ConfigurationField {
        ConfigurationField(
            name: name,
            kind: check.saysType ? check.text : check.text.isEmpty ? Value.kind : "\(Value.kind), \(check.text)",
            summary: summary,
            isText: Value.self == String.self,
            isDeclared: false,
            assign: { node, configuration throws(ValueProblem) in
                let read = try Value(node: node)
                guard check.accepts(read) else {
                    throw ValueProblem(
                        message: "must be \(check.text), found \(shortened(read.yaml))",
                        mark: node.mark
                    )
                }
                let value: Value
                do throws(ValueProblem) { value = try check.resolve(read) } catch {
                    throw ValueProblem(message: error.message, mark: node.mark)
                }
                configuration[keyPath: keyPath] = value
            },
            render: { $0[keyPath: keyPath].yaml }
        )
    }

    /// A value that is far too long does not have to be seen whole.
    static func shortened(_ text: String) -> String {
        text.utf8.count > 200 ? "\(text.prefix(100))… (\(text.utf8.count) bytes)" : text
    }
}
