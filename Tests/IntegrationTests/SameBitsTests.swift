import Foundation
import Testing

extension Processes {
    /// One run, one hash: who computes, on which instruction set, over which transport, interrupted or not, changes no
    /// bit of weights and optimizer state.
    @Suite(.serialized) struct SameBits {
        @Test(.timeLimit(.minutes(15)))
        func workersThreadsTransportsAndInterruptions() throws {
            let runner = try ProgramRunner()
            defer { runner.remove() }
            _ = try runner.makeShards()
            let configuration = try runner.writeConfiguration()
            func launch(_ name: String, _ extra: [String], _ environment: [String: String] = [:]) throws
                -> ProgramRunner.Inspection
            {
                let outcome = try runner.run(
                    runner.launchArguments(configuration, run: name, extra),
                    environment: environment
                )
                try #require(outcome.status == 0, "\(name): \(outcome.errors)")
                return try runner.inspect(name)
            }
            let reference = try launch("w1", ["--workers", "1"])
            #expect(reference.step == 6)
            let variants: [(String, [String], [String: String])] = [
                ("w2", ["--workers", "2"], [:]),
                ("w3t2", ["--workers", "3", "--threads", "2"], [:]),
                ("w5", ["--workers", "5"], [:]),
                ("zeromq", ["--workers", "2", "--transport", "zeromq"], [:]),
                ("threads", ["--workers", "1", "--threads", "2"], [:]),
                ("avx2", ["--workers", "2"], ["PLEURA_KERNELS": "avx2"]),
            ]
            for (name, extra, environment) in variants {
                let found = try launch(name, extra, environment)
                #expect(found.weightsSHA256 == reference.weightsSHA256, "\(name)")
                #expect(found.stateSHA256 == reference.stateSHA256, "\(name)")
            }
            // Gradients summed as bfloat16: other bits than fp32's, and one hash of their own.
            let rounded = ["--set", "collectives.dtype=bf16"]
            let roundedReference = try launch("b1", ["--workers", "1"] + rounded)
            #expect(roundedReference.weightsSHA256 != reference.weightsSHA256)
            for (name, extra, environment) in [
                ("b2", ["--workers", "2"], [:]), ("b3", ["--workers", "3", "--transport", "zeromq"], [:]),
                ("b5", ["--workers", "5", "--threads", "2"], ["PLEURA_KERNELS": "avx2"]),
                ("b2zeromq", ["--workers", "2", "--transport", "zeromq"], [:]),
            ] as [(String, [String], [String: String])] {
                let found = try launch(name, extra + rounded, environment)
                #expect(found.weightsSHA256 == roundedReference.weightsSHA256, "\(name)")
                #expect(found.stateSHA256 == roundedReference.stateSHA256, "\(name)")
            }
            // Drained at some step, then resumed on another number of workers, until the run is complete.
            for steps in [1, 2, 4] {
                let name = "drained\(steps)"
                let running = try runner.start(
                    runner.launchArguments(configuration, run: name, ["--workers", "2"])
                )
                let isThere = running.wait {
                    ((try? runner.metrics(name, kind: "step").count) ?? 0) >= steps
                }
                #expect(isThere, "\(running.errorText)")
                running.send(SIGINT)
                let outcome = try running.finish()
                #expect(outcome.status == 0, "\(outcome.errors)")
                let resumed = try runner.run(["resume", runner.path(name), "--workers", "\(steps)"])
                #expect(resumed.status == 0, "\(resumed.errors)")
                let found = try runner.inspect(name)
                #expect(found.step == reference.step)
                #expect(found.stateSHA256 == reference.stateSHA256, "\(name)")
                // Each step and each validation stands once.
                let lines = try runner.metrics(name, kind: "step").compactMap { $0["step"] as? Int }
                #expect(lines == Array(0..<reference.step))
                #expect(try runner.metrics(name, kind: "validation").count == 2)
            }
        }
    }
}
