import Foundation
import Storage
import Testing

extension Processes {
    /// Whether all that is said of the best network is said of one, which is there.
    @Suite(.serialized) struct BestCheckpoints {
        @Test(.timeLimit(.minutes(15)))
        func logReportFilesAndCommandsSpeakOfOneNetwork() throws {
            let runner = try ProgramRunner()
            defer { runner.remove() }
            _ = try runner.makeShards()
            // No other rhythm saves anything.
            let configuration = try runner.writeConfiguration()
            let launched = try runner.run(
                runner.launchArguments(
                    configuration,
                    run: "run",
                    [
                        "--set", "training.epochs=8", "--set", "checkpoint.every_steps=0", "--set",
                        "checkpoint.every_minutes=0", "--set", "checkpoint.keep_last=1", "--set",
                        "checkpoint.keep_best=2",
                    ]
                )
            )
            try #require(launched.status == 0, "\(launched.errors)")
            let figures = try runner.metrics("run", kind: "validation").map { line in
                (
                    steps: try #require(line["step"] as? Int) + 1, dice: try #require(line["mean_dice"] as? Double),
                    isBest: try #require(line["best"] as? Bool)
                )
            }
            let ranked = figures.sorted { ($0.dice, -$0.steps) > ($1.dice, -$1.steps) }
            let best = try #require(ranked.first)
            let last = try #require(figures.last)
            #expect(figures.last { $0.isBest }?.steps == best.steps)

            // The two best of all validations, and the newest.
            let kept = try CheckpointStore(runner.path("run/checkpoints")).list().map(\.step)
            #expect(Set(kept) == Set(ranked.prefix(2).map(\.steps) + [last.steps]))

            let said = launched.errors.split(separator: "\n").filter { $0.contains("(best so far)") }.last
            let figure = String(format: "%.4f", best.dice)
            #expect(said?.contains("validation after \(best.steps) steps: mean_dice \(figure) (best so far)") == true)

            let page = try String(contentsOfFile: runner.path("run/report.html"), encoding: .utf8)
            let heading = "<b>step \(best.steps)</b><span>Best by mean_dice</span>"
            #expect(page.contains(heading), "\(heading)")

            // Names are whole, and nothing is wider than a terminal.
            let inspected = try runner.run(["inspect", runner.path("run")]).output
            for name in ["mean_dice 0.", "positive_dice 0.", "negative_dice ", "loss 0.", "images 8\n"] {
                #expect(inspected.contains(name), "\(inspected)")
            }
            let lines = inspected.split(separator: "\n").filter { !$0.contains("/") }
            #expect(lines.allSatisfy { $0.count <= 80 }, "\(inspected)")

            let status = try runner.run(["status", runner.path("run")]).output.split(separator: "\n")
            #expect(status.first?.hasPrefix("epoch 8/8  loss 0.") == true)
            #expect(status.first?.contains("best \(figure) after \(best.steps) steps") == true, "\(status)")

            let scored = try runner.run(["evaluate", runner.path("run"), "--best"])
            #expect(
                scored.status == 0 && scored.output.contains("step \(best.steps)"),
                "\(scored.output)\(scored.errors)"
            )
        }
    }
}
