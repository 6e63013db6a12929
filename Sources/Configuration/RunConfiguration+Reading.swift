import Diagnostics
import Foundation
import Platform
import Yams

extension RunConfiguration {
    /// A file larger than this is not a configuration.
    private static var largestFile: Int { 1 << 20 }

    /// Reads a YAML file and applies `--set` overrides on top.
    ///
    /// - Parameters:
    ///   - path: the file.
    ///   - overrides: the texts after `--set`, such as `optimizer.learning_rate=1e-4`, in their order.
    /// - Throws: `ConfigurationError` with every problem found. Its exit status is `missingInput` where the file
    ///   cannot be read.
    package static func load(path: String, overrides: [String] = []) throws(ConfigurationError) -> RunConfiguration {
        func unreadable(_ message: String) -> ConfigurationError {
            ConfigurationError(
                problems: [.init(origin: .wholeFile(path: path), message: message)],
                exitStatus: .missingInput
            )
        }
        guard let bytes = contents(of: path) else {
            throw unreadable(
                FileManager.default.fileExists(atPath: path)
                    ? "the configuration cannot be read; check that it is a file and its permissions"
                    : "no such configuration; give the path of a YAML file such as configs/demo.yaml"
            )
        }
        func refused(_ message: String) -> ConfigurationError {
            ConfigurationError(problems: [.init(origin: .wholeFile(path: path), message: message)])
        }
        guard bytes.count <= largestFile else {
            throw refused("larger than 1 MiB, so not a configuration; give the path of a YAML file")
        }
        guard let text = String(data: bytes, encoding: .utf8) else {
            throw refused("not text in UTF-8; give the path of a YAML file")
        }
        return try parse(text, file: path, overrides: overrides)
    }

    /// The first bytes of a file, one more than a configuration may have; nil where it cannot be read, or is a pipe that
    /// nobody writes to.
    static func contents(of path: String) -> Foundation.Data? {
        // A pipe without a writer is at its end at once, where opening it in the usual way waits for one.
        let descriptor = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        let file = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { return nil }
        if status.st_mode & S_IFMT == S_IFIFO {
            // `<(…)` of a shell has a writer, and is read to its end.
            var item = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            guard poll(&item, 1, 10_000) > 0, item.revents & Int16(POLLIN) != 0 else { return nil }
        }
        _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) & ~O_NONBLOCK)
        return try? file.read(upToCount: largestFile + 1) ?? .init()
    }

    /// Reads YAML text and applies `--set` overrides on top; see `load`.
    ///
    /// - Parameter file: the name for messages.
    package static func parse(
        _ text: String,
        file: String,
        overrides: [String] = []
    ) throws(ConfigurationError) -> RunConfiguration {
        // Decimal numbers are rounded to binary ones here.
        Arithmetic.restore()
        var reader = ConfigurationReader()
        reader.readFile(text, path: file)
        for override in overrides { reader.readOverride(override) }
        return try reader.finish()
    }

    /// The same configuration with `--set` overrides on top, for example of a run that is resumed.
    package func overridden(by overrides: [String]) throws(ConfigurationError) -> RunConfiguration {
        Arithmetic.restore()
        var reader = ConfigurationReader(startingFrom: self)
        for override in overrides { reader.readOverride(override) }
        return try reader.finish()
    }
}

/// Collects values and problems from a file and from flags.
struct ConfigurationReader {
    private var configuration: RunConfiguration
    private var problems: [ConfigurationError.Problem] = []
    /// Where each field got its value, by its name.
    private var origins: [String: ConfigurationError.Origin] = [:]
    /// Whether fields that nobody names have been chosen before, and stay.
    private let isWhole: Bool

    /// - Parameter configuration: the one to change; nil begins with the defaults.
    init(startingFrom configuration: RunConfiguration? = nil) {
        self.configuration = configuration ?? RunConfiguration()
        isWhole = configuration != nil
    }

    /// Defaults that stand on another field.
    private mutating func chooseDefaults() {
        if isWhole { return }
        if origins["optimizer.weight_decay"] == nil, configuration.optimizer.name != .adamw {
            configuration.optimizer.weightDecay = 0
        }
    }

    /// The configuration, once its fields fit each other.
    mutating func finish() throws(ConfigurationError) -> RunConfiguration {
        chooseDefaults()
        // Values that were refused are still at their defaults, so a comparison of fields would mislead.
        if problems.isEmpty {
            problems = configuration.contradictions().map { contradiction in
                let origin = contradiction.fields.lazy.compactMap { [origins] in origins[$0] }.first
                return .init(origin: origin ?? .none, message: contradiction.message)
            }
        }
        guard problems.isEmpty else { throw ConfigurationError(problems: problems) }
        return configuration
    }

    mutating func readFile(_ text: String, path: String) {
        do {
            guard let root = try compose(yaml: text) else { return }
            guard !root.isEmptyScalar else { return }
            apply(root, at: []) { Self.place($0, in: path) }
        } catch {
            problems.append(syntaxProblem(error, in: text) { Self.place($0, in: path) })
        }
    }

    static func place(_ mark: Mark?, in path: String) -> ConfigurationError.Origin {
        .file(path: path, line: mark?.line ?? 1, column: mark?.column ?? 1)
    }

    mutating func readOverride(_ text: String) {
        let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        let names = parts[0].split(separator: ".", omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 2, !names.contains("") else {
            problems.append(
                .init(
                    origin: .flag(text),
                    message: "expected a field, = and a value, as in --set optimizer.learning_rate=1e-4"
                )
            )
            return
        }
        let raw = String(parts[1])
        let isQuoted = raw.utf8.count > 1 && raw.first == raw.last && (raw.first == "\"" || raw.first == "'")
        if let field = ConfigurationField.all.first(where: { $0.name == parts[0] }), field.isText, !isQuoted,
            !raw.isEmpty
        {
            // A path is not YAML: in it, `: ` is no key and ` #` begins no comment.
            apply(.scalar(.init(raw, .implicit, .doubleQuoted)), at: names) { _ in .flag(text) }
            return
        }
        do {
            guard let node = try compose(yaml: raw) else {
                let hint = "write \(parts[0])='\"\"' for empty text"
                problems.append(.init(origin: .flag(text), message: "no value after =; \(hint)"))
                return
            }
            apply(node, at: names) { _ in .flag(text) }
        } catch {
            problems.append(syntaxProblem(error, in: raw) { _ in .flag(text) })
        }
    }

    // MARK: - Values

    private mutating func apply(_ node: Node, at path: [String], origin: (Mark?) -> ConfigurationError.Origin) {
        let name = path.joined(separator: ".")
        if let field = ConfigurationField.all.first(where: { $0.name == name }) {
            do throws(ValueProblem) {
                try field.assign(node, &configuration)
                origins[name] = origin(node.mark)
            } catch {
                problems.append(.init(origin: origin(error.mark ?? node.mark), message: "`\(name)`: \(error.message)"))
            }
            return
        }
        guard path.isEmpty || ConfigurationField.sections[name] != nil else {
            problems.append(.init(origin: origin(node.mark), message: unknownKey(path)))
            return
        }
        switch node {
        case .mapping(let mapping):
            for (key, value) in mapping {
                if problems.count > ConfigurationError.listed { return }
                guard case .scalar(let scalar) = key, ConfigurationField.isKnown(path + [scalar.string]) else {
                    let word = key.scalar?.string ?? key.found
                    problems.append(.init(origin: origin(key.mark), message: unknownKey(path + [word])))
                    continue
                }
                apply(value, at: path + [scalar.string], origin: origin)
            }
        case _ where node.isEmptyScalar && !path.isEmpty:
            // A section whose lines are all commented out keeps its defaults.
            return
        default:
            let keys = ConfigurationField.keys(in: path).prefix(3).joined(separator: ", ")
            let subject = path.isEmpty ? "a configuration" : "`\(name)`"
            let meant = node.bareText.flatMap { OtherWords.section(name, given: $0) }
            problems.append(
                .init(
                    origin: origin(node.mark),
                    message: "\(subject) has keys of its own (\(keys), …), found \(node.found)"
                        + (meant.map { "; \($0)" } ?? "")
                )
            )
        }
    }

    private func unknownKey(_ path: [String]) -> String {
        let word = path[path.count - 1]
        // The deepest part of the path that is known decides where to look.
        var known = path.dropLast()
        while !known.isEmpty, !ConfigurationField.isKnown(Array(known)) { known = known.dropLast() }
        let wrong = path[known.count]
        let section = Array(known)
        let place = section.isEmpty ? "" : " in `\(section.joined(separator: "."))`"
        let message = "unknown key `\(wrong)`\(place)"
        if ConfigurationField.all.contains(where: { $0.name == section.joined(separator: ".") }) {
            return "\(message), which is a value and has no keys"
        }
        if let hint = OtherWords.hint(for: wrong) { return "\(message): \(hint)" }
        if let near = Spelling.nearest(to: wrong, in: ConfigurationField.keys(in: section)) {
            return "\(message); did you mean `\(near)`?"
        }
        // The right word in the wrong section.
        let elsewhere = ConfigurationField.all.filter { $0.path.last.map(String.init) == word }
        if elsewhere.count == 1 {
            return "\(message); did you mean `\(elsewhere[0].name)`?"
        }
        let keys = ConfigurationField.keys(in: section).joined(separator: ", ")
        let name = section.isEmpty ? "" : " " + section.joined(separator: ".")
        return "\(message); known are \(keys): see `pleura inspect --fields\(name)`"
    }

    // MARK: - YAML's own errors

    /// The line, counted from 1, where a key stands for the second time in the block that begins in line `first`.
    private static func secondLine(of key: String, from first: Int, in text: String) -> Int? {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        var indent: Substring?
        for (index, line) in lines.enumerated().dropFirst(max(0, first - 1)) {
            let margin = line.prefix { $0 == " " }
            let rest = line.dropFirst(margin.count)
            guard [key, "\"\(key)\"", "'\(key)'"].contains(where: { rest.hasPrefix($0 + ":") }) else { continue }
            if indent == margin { return index + 1 }
            if indent == nil { indent = margin }
        }
        return nil
    }

    func syntaxProblem(
        _ error: any Error,
        in text: String,
        origin: (Mark?) -> ConfigurationError.Origin
    ) -> ConfigurationError.Problem {
        switch error as? YamlError {
        case .scanner(let context, let problem, let mark, _), .parser(let context, let problem, let mark, _),
            .composer(let context, let problem, let mark, _):
            let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
            let line = lines.indices.contains(mark.line - 1) ? lines[mark.line - 1] : ""
            if line.prefix(while: { $0 == " " || $0 == "\t" }).contains("\t") {
                return .init(origin: origin(mark), message: "a tab indents this line; YAML wants spaces")
            }
            let story = [context?.text, problem].compactMap { $0 }.joined(separator: ", ")
            return .init(origin: origin(mark), message: "not valid YAML: \(story)")
        case .duplicatedKeysInMapping(let duplicates, let context):
            let keys = duplicates.sorted()
            let lines = keys.compactMap { Self.secondLine(of: $0, from: context.mark.line, in: text) }
            let places = lines.isEmpty ? "" : ", again in line " + lines.map(String.init).joined(separator: " and ")
            let names = keys.map { "`\($0)`" }.joined(separator: ", ")
            return .init(origin: origin(context.mark), message: "\(names) stands twice\(places); keep one")
        case .reader(let problem, _, _, _):
            return .init(origin: origin(nil), message: "not valid YAML: \(problem)")
        default:
            return .init(origin: origin(nil), message: "not valid YAML: \(error)")
        }
    }
}

extension ConfigurationField {
    /// True where the path names a field or a section.
    static func isKnown(_ path: [String]) -> Bool {
        let name = path.joined(separator: ".")
        return sections[name] != nil || all.contains { $0.name == name }
    }

    /// The keys that stand directly in a section, in the order of the table.
    static func keys(in section: [String]) -> [String] {
        var keys: [String] = []
        for field in all {
            let path = field.path.map(String.init)
            guard path.count > section.count, Array(path.prefix(section.count)) == section else { continue }
            let key = path[section.count]
            if keys.last != key { keys.append(key) }
        }
        return keys
    }
}
