import Foundation
import Testing

/// What the documents say of the program and of the repository is there.
@Suite struct Documentation {
    private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    /// The documents, by their path in the repository.
    private static let pages: [String: String] = {
        var pages: [String: String] = [:]
        for folder in ["", "docs", "docs/design", "benchmarks"] {
            let url = folder.isEmpty ? root : root.appending(path: folder)
            for name in (try? FileManager.default.contentsOfDirectory(atPath: url.path)) ?? []
            where name.hasSuffix(".md") {
                let path = folder.isEmpty ? name : "\(folder)/\(name)"
                pages[path] = try? String(contentsOf: root.appending(path: path), encoding: .utf8)
            }
        }
        return pages
    }()

    @Test func thereAreDocuments() {
        #expect(Self.pages.count > 12)
        #expect((Self.pages["README.md"]?.split(separator: "\n", omittingEmptySubsequences: false).count ?? .max) <= 81)
    }

    @Test func theNewestVersionIsTheProgramsOwn() throws {
        let runner = try ProgramRunner()
        defer { runner.remove() }
        let said = try runner.run(["--version"]).output
        let heading = try #require(Self.pages["CHANGELOG.md"]?.split(separator: "\n").first { $0.hasPrefix("## ") })
        let version = heading.dropFirst(3).prefix { $0 != "," && $0 != ":" }
        #expect(said.trimmingCharacters(in: .whitespacesAndNewlines) == "pleura \(version)")
    }

    /// A table of CONTRIBUTING.md names files by their names: each of them is there.
    @Test func filesOfTheChecklistsAreThere() throws {
        let page = try #require(Self.pages["CONTRIBUTING.md"])
        let names = Set(
            (FileManager.default.enumerator(atPath: Self.root.appending(path: "Sources").path)?.allObjects ?? [])
                .compactMap { ($0 as? String)?.split(separator: "/").last.map(String.init) }
        )
        var count = 0
        for row in page.split(separator: "\n") where row.hasPrefix("| A") {
            let cells = row.split(separator: "|")
            try #require(cells.count > 3, "\(row)")
            for word in cells[2].split(separator: "`").enumerated().filter({ $0.offset % 2 == 1 }).map(\.element) {
                // A file, a type in a file of its name, or a file that extends one: `+Topic`.
                guard word.contains(".") || word.first?.isUppercase == true || word.hasPrefix("+"), !word.contains("/"),
                    !word.contains("FAMILY")
                else { continue }
                let isThere = names.contains {
                    $0 == word || $0 == "\(word).swift" || word.hasPrefix("+") && $0.hasSuffix("\(word).swift")
                }
                #expect(isThere, "CONTRIBUTING.md names \(word)")
                count += 1
            }
        }
        #expect(count > 30)
    }

    @Test func theFieldsArePrintedByTheProgram() throws {
        let runner = try ProgramRunner()
        defer { runner.remove() }
        let page = try runner.run(["inspect", "--fields", "--markdown"])
        #expect(page.status == 0)
        #expect(page.output == Self.pages["docs/configuration.md"], "`make docs` writes docs/configuration.md anew")
    }

    /// Changes of the past name what may be gone.
    @Test func namedPathsAreThere() throws {
        let pattern = try Regex(#"\b(Sources|Tests|configs|cluster|benchmarks|docs)/[A-Za-z0-9_+./*-]*[A-Za-z0-9*]"#)
        for (page, text) in Self.pages where page != "CHANGELOG.md" && !page.hasPrefix("benchmarks/results") {
            for match in text.matches(of: pattern) {
                let path = String(text[match.range])
                if path.contains("*") { continue }
                let candidates = [path, "\(path).swift"].map { Self.root.appending(path: $0).path }
                #expect(candidates.contains(where: FileManager.default.fileExists(atPath:)), "\(page) names \(path)")
            }
        }
    }

    /// Links within the repository lead somewhere.
    @Test func linksLeadSomewhere() throws {
        let pattern = try Regex(#"\]\(([^)#:]+)(#[^)]*)?\)"#, as: (Substring, Substring, Substring?).self)
        for (page, text) in Self.pages {
            let folder = Self.root.appending(path: page).deletingLastPathComponent()
            for match in text.matches(of: pattern) {
                let target = folder.appending(path: String(match.output.1)).standardized.path
                #expect(FileManager.default.fileExists(atPath: target), "\(page) links to \(match.output.1)")
            }
        }
    }

    /// Every `pleura …` line of a block of code is a command with options that it has.
    @Test func commandsAreThere() throws {
        let runner = try ProgramRunner()
        defer { runner.remove() }
        var help: [String: String] = [:]
        func helpText(_ command: [String]) throws -> String {
            let key = command.joined(separator: " ")
            if let known = help[key] { return known }
            let text = try runner.run(command + ["--help"]).output
            help[key] = text
            return text
        }
        let commands = try helpText([]).split(separator: "\n").drop { !$0.hasSuffix("SUBCOMMANDS:") }
            .compactMap {
                $0.hasPrefix("  ") && !$0.hasPrefix("   ") ? $0.split(separator: " ").first.map(String.init) : nil
            }
        try #require(commands.count > 10, "\(commands)")
        var count = 0
        for (page, text) in Self.pages {
            for line in Self.commands(in: text) {
                var words = line.split(whereSeparator: \.isWhitespace).map(String.init)
                guard let name = words.first, name.first?.isLetter == true else { continue }
                // A word in capitals or dots stands for a command of the reader's choice.
                if name == name.uppercased() { continue }
                #expect(commands.contains(name), "\(page): pleura \(line)")
                words.removeFirst()
                var command = [name]
                if name == "bench", let which = words.first, !which.hasPrefix("-") { command.append(which) }
                let known = try helpText(command)
                for word in words where word.hasPrefix("--") && word.count > 2 {
                    let option = word.split(separator: "=")[0]
                    let isThere =
                        known.contains("\(option) ") || known.contains("\(option)\n") || known.contains("\(option)]")
                        || known.contains("\(option)/")
                        || option.hasPrefix("--no-") && known.contains("/\(option)")
                    #expect(isThere, "\(page): pleura \(line): \(option)")
                }
                count += 1
            }
        }
        #expect(count > 20)
    }

    /// What follows `pleura ` in the lines of blocks of code, without comments, continued lines joined.
    private static func commands(in text: String) -> [String] {
        var result: [String] = []
        var isCode = false
        var pending = ""
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            if line.hasPrefix("```") {
                isCode.toggle()
                continue
            }
            guard isCode else { continue }
            let words = pending + line.prefix { $0 != "#" }.trimmingCharacters(in: .whitespaces)
            pending = ""
            if words.hasSuffix("\\") {
                pending = words.dropLast() + " "
                continue
            }
            if words.hasPrefix("pleura ") { result.append(String(words.dropFirst("pleura ".count))) }
        }
        return result
    }
}
