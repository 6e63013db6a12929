import Foundation
import Synchronization
import Testing

extension Processes {
    /// A small run in each of many environments: it gives the bits of an undisturbed run, or says what is in the way.
    @Suite(.serialized) struct Environments {
        /// Made once: the shards, and a run in no special environment.
        private struct Ground {
            var runner: ProgramRunner
            var reference: ProgramRunner.Inspection
        }

        private static let ground = Mutex<Ground?>(nil)

        private static func prepared() throws -> Ground {
            try ground.withLock { ground in
                if let ground { return ground }
                let runner = try ProgramRunner()
                _ = try runner.makeShards(images: 12)
                let outcome = try runner.run(Self.arguments(runner, run: "reference"))
                try #require(outcome.status == 0, "\(outcome.errors)")
                let made = Ground(runner: runner, reference: try runner.inspect("reference"))
                ground = made
                return made
            }
        }

        private static func arguments(_ runner: ProgramRunner, run: String) throws -> [String] {
            runner.launchArguments(
                try runner.writeConfiguration(),
                run: run,
                ["--set", "training.epochs=1", "--set", "network.base_width=4"]
            )
        }

        private static let isRoot = getuid() == 0

        @Test(.timeLimit(.minutes(5)), arguments: EnvironmentCase.all)
        func aRun(in place: EnvironmentCase) throws {
            if place.needsRoot && !Self.isRoot {
                print("SKIPPED: a run with \(place.name), which takes root")
                return
            }
            let ground = try Self.prepared()
            let runner = ground.runner
            let name = "case-\(UUID().uuidString)"
            let folder = runner.path(name)
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            defer { try? FileManager.default.removeItem(atPath: folder) }
            let running = try runner.start(
                Self.arguments(runner, run: "\(name)/run") + place.arguments,
                environment: place.environment.merging(["W": folder]) { $1 },
                prefix: ["bash", "-c", place.shell, "bash"]
            )
            // A minute is a hundred times what it takes.
            if !running.wait(until: { !running.process.isRunning }) {
                Issue.record("it still runs: \(running.errorText)")
                running.send(SIGKILL)
            }
            let outcome = try running.finish()
            switch place.expectation {
            case .refused(let status, let words):
                #expect(outcome.status == status, "\(outcome.errors)")
                for word in words { #expect(outcome.errors.contains(word), "\(outcome.errors)") }
            case .sameBitsOr(let status, let words) where outcome.status != 0:
                #expect(outcome.status == status, "\(outcome.errors)")
                for word in words { #expect(outcome.errors.contains(word), "\(outcome.errors)") }
            case .sameBits, .sameBitsOr:
                try #require(outcome.status == 0, "\(outcome.errors)")
                let found = try runner.inspect("\(name)/run")
                #expect(found.stateSHA256 == ground.reference.stateSHA256)
                if case .sameBits(let words) = place.expectation {
                    for word in words { #expect(outcome.errors.contains(word), "\(outcome.errors)") }
                }
            }
            for word in place.silence { #expect(!outcome.errors.contains(word), "\(outcome.errors)") }
        }
    }
}
