import Foundation
import Testing

extension Processes {
    /// Scores of runs and submissions.
    @Suite(.serialized) struct Evaluate {
        let runner: ProgramRunner

        init() throws { runner = try ProgramRunner() }

        private func figures(_ outcome: ProgramRunner.Outcome) throws -> [String: Any] {
            try #require(outcome.status == 0, "\(outcome)")
            return try #require(JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any])
        }

        @Test(.timeLimit(.minutes(15)))
        func aRunIsScoredOnItsFoldAndOnOtherShards() throws {
            defer { runner.remove() }
            _ = try runner.makeShards()
            let launched = try runner.run(runner.launchArguments(runner.writeConfiguration(), run: "run"))
            try #require(launched.status == 0, "\(launched.errors)")
            let run = runner.path("run")
            let csv = runner.path("images.csv")
            let own = try figures(runner.run(["evaluate", run, "--best", "--json", "-", "--csv", csv]))
            let best = try #require(own["best"] as? [String: Any])
            #expect(own["searched"] as? Bool == true && best["sensitivity"] is Double && best["auroc"] is Double)
            let count = try #require(best["images"] as? Int)
            let rows = try String(contentsOfFile: csv, encoding: .utf8).split(separator: "\n")
            #expect(rows.count == count + 1 && rows[0].hasPrefix("id,patient,truth,predicted,verdict,probability,dice"))
            // A table that was edited since is somebody's.
            try "id\n".write(toFile: csv, atomically: true, encoding: .utf8)
            #expect(try runner.run(["evaluate", run, "--csv", csv]).status == 64)

            // The rule of the run, on all of the others: nothing is searched or kept.
            let rule = try Data(contentsOf: URL(filePath: "\(run)/rule.json"))
            let made = try runner.run([
                "synthesize", runner.path("other"), "--images", "10", "--size", "128", "--seed", "9", "--positives",
                "0.5",
            ])
            try #require(made.status == 0, "\(made.errors)")
            let shard = ["shard", "--dicom", runner.path("other/dicom-images-train"), "--size", "64", "--output"]
            let sharded = try runner.run(
                shard + [runner.path("others"), "--labels", runner.path("other/train-rle.csv"), "--folds", "2"]
            )
            try #require(sharded.status == 0, "\(sharded.errors)")
            let outcome = try runner.run(["evaluate", run, "--data", runner.path("others"), "--json", "-"])
            let others = try figures(outcome)
            #expect(others["searched"] as? Bool == false && (others["best"] as? [String: Any])?["images"] as? Int == 10)
            let found = try #require(best["rule"] as? NSDictionary)
            #expect((others["best"] as? [String: Any])?["rule"] as? NSDictionary == found)
            #expect(outcome.errors.contains("the rule that was found with it"), "\(outcome.errors)")
            #expect(try Data(contentsOf: URL(filePath: "\(run)/rule.json")) == rule)
            // Its own shards have images that it was trained on.
            let same = try runner.run(["evaluate", run, "--data", runner.path("shards")])
            #expect(same.status == 0 && same.errors.contains("their validation fold is scored"), "\(same)")
            let unlabelled = try runner.run(shard + [runner.path("unlabelled"), "--unlabelled"])
            try #require(unlabelled.status == 0, "\(unlabelled.errors)")
            let refused = try runner.run(["evaluate", run, "--data", runner.path("unlabelled")])
            #expect(refused.status == 65 && refused.errors.contains("have no labels"), "\(refused)")
            // One network in the heading and the pictures.
            #expect(try runner.run(["report", run]).status == 0)
            let page = try String(contentsOfFile: "\(run)/report.html", encoding: .utf8)
            let shown = page.matches(of: #/<b>step (\d+)<\/b><span>Best by \w+<\/span>/#)
            let outlines = page.matches(of: #/<dt>Outlines<\/dt><dd>step (\d+),/#)
            #expect(shown.count == 1 && outlines.count == 1 && shown.first?.output.1 == outlines.first?.output.1)
        }

        @Test func aSubmissionIsScoredWithWhatItLeavesOut() throws {
            defer { runner.remove() }
            func write(_ name: String, _ rows: [String]) throws -> String {
                let path = runner.path(name)
                try rows.joined(separator: "\n").write(toFile: path, atomically: true, encoding: .utf8)
                return path
            }
            let labels = try write("labels.csv", ["ImageId,EncodedPixels", "a,10 5", "b,-1", "c,9 9", "d,-1"])
            let submission = try write("submission.csv", ["ImageId,EncodedPixels", "a,10 5", "b,-1"])
            let given = ["evaluate", "--predictions", submission, "--labels", labels]
            let plain = try runner.run(given)
            #expect(plain.status == 0 && plain.output.contains("an empty submission    0.5"), "\(plain)")
            let area = "AUROC                  -         -               needs --probabilities"
            #expect(plain.output.contains(area), "\(plain)")
            #expect(plain.errors.contains("2 of 4 labelled images have no row"), "\(plain)")
            let table = try write("predictions.csv", ["id,probability", "a,0.9", "b,0.1"])
            let patients = try write("patients.csv", ["id,patient", "a,p", "b,p"])
            let all = try figures(
                runner.run(given + ["--probabilities", table, "--patients", patients, "--json", "-"])
            )
            #expect(
                all["labelled_without_row"] as? Int == 2 && all["auroc"] as? Double == 1 && all["patients"] as? Int == 1
            )
            #expect(all["mean_dice"] as? Double == 1 && all["empty_submission"] as? Double == 0.5)
            // Runs that count from the image's beginning look like it.
            let rising = ["ImageId,EncodedPixels"] + ["a", "b"].map { "\($0),100 5 1100 6 2100 7 3100 6" }
            let absolute = try write("absolute.csv", rising)
            let warned = try runner.run(["evaluate", "--predictions", submission, "--labels", absolute])
            #expect(warned.status == 0 && warned.errors.contains("count from the image's beginning"), "\(warned)")
            #expect(
                try runner.run(["evaluate", "--predictions", submission, "--labels", labels, "--data", labels]).status
                    == 64
            )
        }
    }
}
