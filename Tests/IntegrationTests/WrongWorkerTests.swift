import Foundation
import Testing

extension Processes {
    /// A worker whose gradients are wrong is found by audits; a step whose sums are not finite says where.
    @Suite(.serialized) struct WrongWorkers {
        private let runner: ProgramRunner
        private let configuration: String
        private static let audited = ["--set", "audit.minimum_steps=0", "--set", "audit.rate=1"]

        init() throws {
            runner = try ProgramRunner()
            _ = try runner.makeShards()
            configuration = try runner.writeConfiguration()
        }

        @Test(.timeLimit(.minutes(15)), arguments: [0.3, 1])
        func aThirdWorkerDecidesAndTheRunGoesOn(rate: Double) throws {
            defer { runner.remove() }
            let length = ["--set", "training.microbatches=6", "--set", "training.epochs=8"]
            let whole = try runner.run(runner.launchArguments(configuration, run: "whole", length))
            try #require(whole.status == 0, "\(whole.errors)")
            // The lowest bit of one gradient of each microbatch is wrong from the third step on.
            let (outcome, workers) = try UnevenRun(
                runner,
                configuration,
                run: "audited",
                faults: ["", "flip=2", ""],
                length + Self.audited + ["--set", "audit.rate=\(rate)"]
            ).finish()
            #expect(outcome.status == 0, "\(outcome.errors)\n\(workers.map(\.errors))")
            #expect(
                outcome.errors.contains(
                    /Worker \d on host \S+ \(process \d+\) .* its gradient of microbatch \d of step \d+ is not the one that worker \d/
                ),
                "\(outcome.errors)"
            )
            #expect(outcome.errors.contains("the run goes on with 2 workers"), "\(outcome.errors)")
            // One of the three, and the right one.
            #expect(workers.map(\.status) == [0, 78, 0], "\(workers.map(\.errors))")
            let isEqual = try runner.inspect("audited").stateSHA256 == runner.inspect("whole").stateSHA256
            // Where all is audited, no wrong bit counts; else those of the steps before the first audit do.
            if rate == 1 { #expect(isEqual, "\(outcome.errors)") }
        }

        @Test(.timeLimit(.minutes(15)))
        func twoThatDisagreeStop() throws {
            defer { runner.remove() }
            let (outcome, workers) = try UnevenRun(
                runner,
                configuration,
                run: "two",
                faults: ["", "flip=2"],
                Self.audited
            ).finish()
            #expect(outcome.status != 0)
            for part in ["of step 2 is not the same on worker 0", "and worker 1", "no further worker to decide"] {
                #expect(outcome.errors.contains(part), "\(part) in: \(outcome.errors)\n\(workers.map(\.errors))")
            }
            // The two steps before are right; the third is not committed.
            #expect(try runner.metrics("two", kind: "step").count == 2)
        }

        @Test(.timeLimit(.minutes(15)))
        func auditsChangeNoBit() throws {
            defer { runner.remove() }
            let whole = try runner.run(runner.launchArguments(configuration, run: "whole"))
            let audited = try runner.run(runner.launchArguments(configuration, run: "audited", Self.audited))
            #expect(whole.status == 0 && audited.status == 0, "\(whole.errors)\(audited.errors)")
            #expect(try runner.inspect("audited").stateSHA256 == runner.inspect("whole").stateSHA256)
        }

        @Test(.timeLimit(.minutes(15)), arguments: ["stop", "skip"])
        func aSumThatIsNotFiniteNamesLayerMicrobatchAndSamples(choice: String) throws {
            defer { runner.remove() }
            // A pixel of microbatch 1 is not a number from the third step on, whoever computes it.
            let (outcome, workers) = try UnevenRun(
                runner,
                configuration,
                run: "poisoned",
                faults: ["nan=2", "nan=2"],
                ["--set", "training.on_nonfinite=\(choice)", "--set", "validation.every_epochs=0"]
            ).finish()
            #expect((outcome.status == 0) == (choice == "skip"), "\(outcome.errors)\n\(workers.map(\.errors))")
            #expect(
                outcome.errors.contains(
                    /A sum of step 2 is not finite \(worker \d on host \S+ reports: the activation after \S+ of microbatch 1 \(samples [^)]+, [^)]+\)/
                ),
                "\(outcome.errors)"
            )
            if choice == "skip" {
                #expect(outcome.errors.contains("leaves the weights alone"))
                // A step that is skipped counts all the same, and the weights stay those of the second.
                let settings = ["--set", "training.steps=2", "--set", "validation.every_epochs=0"]
                #expect(try runner.metrics("poisoned", kind: "step").count == 8)
                let two = try runner.run(runner.launchArguments(configuration, run: "two", settings))
                #expect(two.status == 0, "\(two.errors)")
                #expect(try runner.inspect("poisoned").weightsSHA256 == runner.inspect("two").weightsSHA256)
            }
        }
    }
}
