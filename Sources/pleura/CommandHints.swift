import ArgumentParser
import Configuration
import Foundation

/// What a person may have meant who wrote a command or an option that there is not.
enum CommandHints {
    /// Commands of other trainers, and words for the same thing.
    private static let words: [String: String] = [
        "train": "launch", "fit": "launch", "run": "launch", "start": "launch", "continue": "resume",
        "restart": "resume",
        "test": "evaluate", "validate": "evaluate", "eval": "evaluate", "score": "evaluate", "infer": "predict",
        "inference": "predict", "predict_from_folder": "predict", "segment": "predict", "convert": "shard",
        "preprocess": "shard", "plan_and_preprocess": "shard", "prepare": "shard", "stop": "drain", "cancel": "drain",
        "kill": "drain", "watch": "status", "ps": "status", "top": "status", "check": "verify", "show": "inspect",
        "summary": "inspect", "config": "inspect", "generate": "synthesize", "phantoms": "synthesize",
        "demo": "synthesize",
        "keys": "keygen", "benchmark": "bench", "plot": "report", "html": "report",
    ]

    /// What to say of arguments whose first word is no command; nil where it is one, or an option.
    static func unknownCommand(_ arguments: [String], of root: any ParsableCommand.Type) -> String? {
        var command = root
        var path: [String] = []
        for word in arguments {
            let known = command.configuration.subcommands
            guard !known.isEmpty, !word.hasPrefix("-") else { return nil }
            if let next = known.first(where: { name(of: $0) == word }) {
                command = next
                path.append(word)
                continue
            }
            if word == "help" && path.isEmpty { return nil }
            let names = known.filter { $0.configuration.shouldDisplay }.map { name(of: $0) }
            let before = (["pleura"] + path).joined(separator: " ")
            let meant = path.isEmpty ? words[word.lowercased()] : nil
            if let near = meant ?? Spelling.nearest(to: word, in: names) {
                return "\(before) has no command \(word); did you mean `\(before) \(near)`?"
            }
            return "\(before) has no command \(word); `\(before) --help` lists them: \(names.joined(separator: ", "))"
        }
        return nil
    }

    private static func name(of command: any ParsableCommand.Type) -> String {
        command.configuration.commandName ?? command._commandName
    }

    /// What is called otherwise here, of an option that `text`, an error of the command line, does not know.
    static func unknownOption(in text: String) -> String? {
        guard let range = text.range(of: "Unknown option '-") else { return nil }
        let word = String(text[range.upperBound...].prefix { $0 != "'" && $0 != "=" }.drop { $0 == "-" })
        if let field = OtherWords.field(for: word) {
            return "It is a field of the configuration here: --set \(field)=VALUE"
        }
        if let hint = OtherWords.hint(for: word) { return "Of \(word): \(hint)." }
        let name = word.replacing("-", with: "_")
        let fields = ConfigurationField.all.map(\.name).filter { $0 == name || $0.hasSuffix(".\(name)") }
        return fields.count == 1 ? "It is a field of the configuration: --set \(fields[0])=VALUE" : nil
    }
}
