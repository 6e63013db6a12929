import Foundation
import Testing

extension Processes {
    /// What the program says to people who do not know it.
    @Suite(.serialized) struct Help {
        private let runner: ProgramRunner

        init() throws { runner = try ProgramRunner() }

        private func help(_ command: [String]) throws -> String {
            let outcome = try runner.run(command + ["--help"], environment: ["COLUMNS": "80"])
            #expect(outcome.status == 0 && outcome.errors.isEmpty)
            return outcome.output
        }

        /// The commands that a page of help lists, with the groups in which they stand.
        private func commands(_ page: String) -> [String] {
            var isList = false
            return page.split(separator: "\n", omittingEmptySubsequences: false).compactMap { line in
                if line.hasSuffix(":"), !line.hasPrefix(" ") { isList = line.contains("SUBCOMMANDS") }
                guard isList, line.hasPrefix("  "), !line.hasPrefix("   ") else { return nil }
                let word = line.split(separator: " ").first.map(String.init)
                return word == "See" ? nil : word
            }
        }

        @Test(.timeLimit(.minutes(5)))
        func everyCommandHasAnExampleAndFitsATerminal() throws {
            defer { runner.remove() }
            let top = try help([])
            let groups = [
                "DATA SUBCOMMANDS:", "TRAIN SUBCOMMANDS:", "RESULTS SUBCOMMANDS:", "HOSTS SUBCOMMANDS:",
                "CHECKS SUBCOMMANDS:",
            ]
            let places = groups.compactMap { top.range(of: $0)?.lowerBound }
            #expect(places.count == groups.count && places == places.sorted(), "\(top)")
            let names = commands(top)
            #expect(
                names.count >= 16 && Set(names).isSuperset(of: ["shard", "launch", "predict", "worker", "verify"]),
                "\(names)"
            )
            let bench = commands(try help(["bench"])).map { ["bench", $0] }
            #expect(bench.count >= 4)
            for command in [[]] + names.map({ [$0] }) + bench {
                let page = try help(command)
                let name = (["pleura"] + command).joined(separator: " ")
                let wide = page.split(separator: "\n").filter { $0.count > 80 }
                #expect(wide.isEmpty, "\(name): \(wide)")
                let example = try #require(page.range(of: "\nEXAMPLE")?.upperBound, "\(name) has no example")
                let lines = page[example...].split(separator: "\n").dropFirst()
                #expect(!lines.isEmpty && lines.allSatisfy { $0.hasPrefix("  ") })
                if !command.isEmpty {
                    #expect(
                        lines.allSatisfy { $0.hasPrefix("      ") || $0.hasPrefix("  \(name) ") || $0 == "  \(name)" },
                        "\(lines)"
                    )
                    // What an example uses is there.
                    for option in lines.joined(separator: " ").matches(of: /\s(--[a-z-]+)/).map({ $0.output.1 }) {
                        #expect(page[..<example].contains(option), "\(name): \(option)")
                    }
                }
            }
        }

        @Test(arguments: [
            (["lauch", "c.yaml"], "`pleura launch`"), (["train", "c.yaml"], "`pleura launch`"),
            (["fit"], "`pleura launch`"),
            (["predcit", "x"], "`pleura predict`"), (["test"], "`pleura evaluate`"), (["preprocess"], "`pleura shard`"),
            (["bench", "kernles"], "`pleura bench kernels`"), (["xyzzyxyzzy"], "`pleura --help`"),
        ])
        func theCommandThatIsMeantIsNamed(arguments: [String], expected: String) throws {
            defer { runner.remove() }
            let outcome = try runner.run(arguments)
            #expect(outcome.status == 64 && outcome.output.isEmpty)
            #expect(outcome.errors.contains(expected), "\(outcome.errors)")
        }

        @Test(arguments: [
            ("--lr", "--set optimizer.learning_rate=VALUE"), ("--batch-size", "`training.microbatches` times"),
            ("--gpus", "trains on CPUs"), ("--max_epochs", "--set training.epochs=VALUE"),
            ("--num_workers", "`workers.count`"), ("--epochs", "--set training.epochs=VALUE"),
        ])
        func theFieldThatIsMeantIsNamed(option: String, expected: String) throws {
            defer { runner.remove() }
            let outcome = try runner.run(["launch", "c.yaml", option, "1"])
            #expect(outcome.status == 64)
            #expect(outcome.errors.contains(expected), "\(outcome.errors)")
        }
    }
}
