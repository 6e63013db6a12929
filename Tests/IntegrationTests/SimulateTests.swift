import Foundation
import Testing

extension Processes {
    @Suite(.serialized) struct Simulate {
        @Test(.timeLimit(.minutes(5)))
        func seedsArePlayedCountedAndReplayed() throws {
            let runner = try ProgramRunner()
            defer { runner.remove() }
            let outcome = try runner.run(["simulate", "--seeds", "60", "--first", "40", "--workers", "3..5"])
            #expect(outcome.status == 0, "\(outcome.output)\n\(outcome.errors)")
            #expect(outcome.output.contains("60 seeds from 40") && outcome.output.contains("No invariant was broken."))
            let counts = outcome.output.matches(of: /(?m)^ *(\d+)  (\S.*)$/)
            #expect(counts.count >= 25)
            #expect(counts.count { Int($0.1) ?? 0 > 0 } >= 20, "\(outcome.output)")
            // The time ends it too, however many seeds are left.
            let timed = try runner.run(["simulate", "--minutes", "0.01", "--jobs", "1"])
            #expect(timed.status == 0, "\(timed.output)\n\(timed.errors)")
            let replayed = try runner.run(["simulate", "--replay", "7:steps=20/1:workers=2,faults=0+1"])
            #expect(replayed.status == 0 && replayed.output.contains("session 1: 2 workers"), "\(replayed.output)")
            #expect(replayed.output.contains("No invariant was broken. The sessions ended: "))
            for arguments in [["--replay", "7/0"], ["--workers", "5..3"], ["--seeds", "0"], ["--minutes", "0"]] {
                #expect(try runner.run(["simulate"] + arguments).status == 64)
            }
        }

        @Test(.timeLimit(.minutes(5)))
        func aStepOfTheCoordinatorIsMeasured() throws {
            let runner = try ProgramRunner()
            defer { runner.remove() }
            let outcome = try runner.run([
                "bench", "coordination", "--workers", "3", "--simulated", "2,64", "--steps", "8", "--json", "-",
            ])
            #expect(outcome.status == 0, "\(outcome.output)\n\(outcome.errors)")
            struct Report: Decodable {
                struct Row: Decodable {
                    var workers: Int
                    var messagesIn: Double?
                    var messagesOut: Double?
                    var bytesOut: Double?
                    var stepS: Double?
                    var coordinatorS: Double?
                }
                var simulated: [Row]
                var real: [Row]
            }
            let decoder = JSONDecoder()
            decoder.keyDecodingStrategy = .convertFromSnakeCase
            let report = try decoder.decode(Report.self, from: Data(outcome.output.utf8))
            #expect(report.simulated.map(\.workers) == [2, 64])
            for row in report.simulated {
                // Each reports its sums and that it has applied them, and hears one commit.
                #expect(row.messagesIn == Double(2 * row.workers) && row.messagesOut == Double(row.workers))
            }
            // A worker hears as much, however many there are: plans are not said again.
            let each = report.simulated.map { ($0.bytesOut ?? 0) / Double($0.workers) }
            #expect(each.allSatisfy { $0 > 20 && $0 < 100 }, "\(each)")
            let real = try #require(report.real.first)
            #expect(real.workers == 3 && real.stepS ?? 0 > 0 && real.coordinatorS ?? 0 > 0)
        }
    }
}
