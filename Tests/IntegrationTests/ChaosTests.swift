import Foundation
import Testing

extension Processes {
    /// `pleura chaos`, as a user runs it.
    @Suite(.serialized) struct Chaos {
        private struct Report: Decodable {
            struct Row: Decodable {
                var fault: String
                var tried: Int
                var equal: Int
                var medianSeconds: Double?
            }
            struct Run: Decodable { var isEqual: Bool }
            var rows: [Row]
            var runs: [Run]
            var failure: String?
        }

        private func chaos(_ runner: ProgramRunner, _ extra: [String]) throws -> (ProgramRunner.Outcome, Report) {
            _ = try runner.makeShards()
            let configuration = try runner.writeConfiguration()
            let outcome = try runner.run(
                [
                    "chaos", configuration, "--workers", "3", "--json", runner.path("chaos.json"), "--directory",
                    runner.path("chaos"), "--set", "workers.timeouts.silence_seconds=1", "--set",
                    "workers.heartbeat_seconds=0.2", "--set", "validation.every_epochs=20", "--set",
                    "checkpoint.every_steps=20",
                ] + extra
            )
            let decoder = JSONDecoder()
            decoder.keyDecodingStrategy = .convertFromSnakeCase
            let data = try Data(contentsOf: URL(fileURLWithPath: runner.path("chaos.json")))
            return (outcome, try decoder.decode(Report.self, from: data))
        }

        @Test(.timeLimit(.minutes(15)))
        func everyFaultLeavesTheHashesAsTheyAre() throws {
            let runner = try ProgramRunner()
            defer { runner.remove() }
            // As many faults on a slow machine as on a fast one.
            let (outcome, report) = try chaos(
                runner,
                ["--minutes", "60", "--most-faults", "4", "--seed", "3", "--set", "training.epochs=60"]
            )
            #expect(outcome.status == 0, "\(outcome.output)\n\(outcome.errors)")
            #expect(report.failure == nil && report.runs.allSatisfy(\.isEqual) && !report.runs.isEmpty)
            #expect(report.rows.count >= 2 && report.rows.reduce(0) { $0 + $1.tried } == 4, "\(outcome.output)")
            for row in report.rows { #expect(row.equal == row.tried && row.tried > 0) }
            #expect(report.rows.contains { $0.medianSeconds != nil }, "\(outcome.output)")
            #expect(outcome.output.contains("| fault ") && outcome.output.contains("recovery"), "\(outcome.output)")
            // What was intact is removed, the undisturbed run stays.
            let left = try FileManager.default.contentsOfDirectory(atPath: runner.path("chaos"))
            #expect(left.contains("reference") && !left.contains("run-1"), "\(left)")
        }

        @Test(.timeLimit(.minutes(15)))
        func anotherHashIsAFailureWithItsSeedAndFaults() throws {
            let runner = try ProgramRunner()
            defer { runner.remove() }
            let wrong = String(repeating: "0", count: 64)
            let (outcome, report) = try chaos(
                runner,
                [
                    "--minutes", "60", "--most-faults", "1", "--seed", "11", "--fault", "kill", "--expect", wrong,
                    "--set", "training.epochs=30",
                ]
            )
            #expect(outcome.status == 70, "\(outcome.output)\n\(outcome.errors)")
            let failure = try #require(report.failure)
            for part in ["seed 11", wrong, "kill -9 of a worker: worker ", "is kept in \(runner.path("chaos/run-1"))"] {
                #expect(failure.contains(part) && outcome.errors.contains(part), "\(part) in: \(failure)")
            }
            #expect(report.rows.allSatisfy { $0.equal == 0 })
            #expect(FileManager.default.fileExists(atPath: runner.path("chaos/run-1/metrics.jsonl")))
        }

        @Test(.timeLimit(.minutes(15)))
        func aRunThatHangsIsAFailure() throws {
            let runner = try ProgramRunner()
            defer { runner.remove() }
            // A stopped worker is put out after ten minutes of silence, and chaos waits for 3 seconds.
            let (outcome, report) = try chaos(
                runner,
                [
                    "--minutes", "60", "--most-faults", "1", "--fault", "stop", "--patience", "3", "--set",
                    "training.epochs=150", "--set", "workers.timeouts.silence_seconds=600",
                ]
            )
            #expect(outcome.status == 70, "\(outcome.output)\n\(outcome.errors)")
            #expect(report.failure?.contains("It hangs: nothing was committed for") == true, "\(outcome.errors)")
            #expect(report.runs.isEmpty)
        }

        @Test(.timeLimit(.minutes(5)))
        func somebodyElsesFolderIsLeftAlone() throws {
            let runner = try ProgramRunner()
            defer { runner.remove() }
            _ = try runner.makeShards()
            let configuration = try runner.writeConfiguration()
            let outcome = try runner.run([
                "chaos", configuration, "--minutes", "1", "--directory", runner.folder.path,
            ])
            #expect(outcome.status == 64 && outcome.errors.contains("somebody else's files"), "\(outcome.errors)")
        }
    }
}
