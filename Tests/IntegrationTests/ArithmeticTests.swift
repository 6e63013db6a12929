import Foundation
import Testing

extension Processes {
    /// A library that is loaded into every process of a run changes how their threads round.
    @Suite(.serialized) struct ChangedArithmetic {
        @Test(.timeLimit(.minutes(5)))
        func theBitsAreTheSameAndItIsSaid() throws {
            let runner = try ProgramRunner()
            defer { runner.remove() }
            _ = try runner.makeShards()
            let configuration = try runner.writeConfiguration()
            let library = try ProgramRunner.program.deletingLastPathComponent()
                .appendingPathComponent("libFaultInjection.so").path
            try #require(FileManager.default.fileExists(atPath: library), "\(library) is not built")
            // Numbers so small that flushing them matters.
            let length = ["--set", "training.epochs=1", "--set", "loss.cross_entropy=1e-17", "--set", "loss.dice=0"]
            let quiet = try runner.run(runner.launchArguments(configuration, run: "quiet", length))
            try #require(quiet.status == 0, "\(quiet.errors)")
            let hash = try runner.inspect("quiet").stateSHA256
            for mode in ["up", "flush"] {
                let outcome = try runner.start(
                    runner.launchArguments(configuration, run: mode, length),
                    environment: ["LD_PRELOAD": library, "FAULT_ARITHMETIC": mode]
                ).finish()
                #expect(outcome.status == 0, "\(outcome.errors)")
                #expect(try runner.inspect(mode).stateSHA256 == hash, "\(mode)")
                #expect(outcome.errors.contains("had changed how its threads round numbers"), "\(outcome.errors)")
            }
            let doctor = try runner.start(
                ["doctor", configuration, "--set", "data.shards=\(runner.path("shards"))"],
                environment: ["LD_PRELOAD": library, "FAULT_ARITHMETIC": "up"]
            ).finish()
            #expect(doctor.output.contains("changes it: it rounds up"), "\(doctor.output)\n\(doctor.errors)")
        }
    }
}
