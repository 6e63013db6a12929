import Foundation
import Testing

extension Processes {
    /// Runs with keys.
    @Suite(.serialized) struct Keys {
        private let runner: ProgramRunner

        init() throws {
            runner = try ProgramRunner()
            _ = try runner.makeShards()
        }

        @Test(.timeLimit(.minutes(5)))
        func keysAreTheirOwnersWhateverTheUmask() throws {
            defer { runner.remove() }
            for umask in ["777", "000", "277"] {
                let keys = runner.path("keys-\(umask)")
                let made = try runner.start(
                    ["keygen", keys, "--workers", "2"],
                    prefix: ["bash", "-c", "umask \(umask); exec \"$@\"", "bash"]
                ).finish()
                try #require(made.status == 0, "\(umask): \(made.errors)")
                func mode(_ path: String) throws -> Int? {
                    try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
                }
                #expect(try mode(keys) == 0o700, "\(umask)")
                for name in try FileManager.default.contentsOfDirectory(atPath: keys) {
                    #expect(try mode("\(keys)/\(name)") == 0o600, "\(umask), \(name)")
                }
            }
        }

        @Test(.timeLimit(.minutes(15)))
        func runsWithKeysHaveTheSameBitsAndLetNobodyElseIn() throws {
            defer { runner.remove() }
            let configuration = try runner.writeConfiguration()
            let plain = try runner.run(runner.launchArguments(configuration, run: "plain"))
            try #require(plain.status == 0, "\(plain.errors)")
            for folder in ["keys", "others"] {
                let made = try runner.run(["keygen", runner.path(folder), "--workers", "2"])
                try #require(made.status == 0, "\(made.errors)")
                let secret = try String(contentsOfFile: runner.path("\(folder)/worker-0.key"), encoding: .utf8)
                    .split(separator: " ").last.map(String.init)
                #expect(!(made.output + made.errors).contains(try #require(secret).trimmingCharacters(in: .newlines)))
                let again = try runner.run(["keygen", runner.path(folder)])
                #expect(again.status == 64 && again.errors.contains("already"), "\(again.errors)")
            }
            // Its own workers, over encrypted frames.
            let own = try runner.run(
                runner.launchArguments(configuration, run: "own", ["--transport", "zeromq"]),
                environment: ["PLEURA_KEYS": runner.path("keys")]
            )
            try #require(own.status == 0, "\(own.errors)")
            #expect(try runner.inspect("own").stateSHA256 == runner.inspect("plain").stateSHA256)

            // Workers of two hosts, which fetch their shards; beside them one of another job and one without keys.
            let coordinator = try runner.start(
                runner.launchArguments(
                    configuration,
                    run: "far",
                    [
                        "--no-local-workers", "--bind", "tcp://0.0.0.0:*", "--set",
                        "security.keys=\(runner.path("keys"))",
                    ]
                )
            )
            defer { coordinator.send(SIGKILL) }
            var port: String?
            let isThere = coordinator.wait {
                port = coordinator.errorText.firstMatch(of: /--coordinator tcp:\/\/\S+:(\d+) --keys/).map {
                    String($0.1)
                }
                return port != nil
            }
            try #require(isThere, "\(coordinator.errorText)")
            let endpoint = "tcp://127.0.0.1:\(try #require(port))"
            func worker(_ host: String, _ extra: [String]) throws -> RunningProgram {
                try runner.start(
                    ["worker", "--coordinator", endpoint, "--host", host, "--fetch", "--cache", runner.path(host)]
                        + extra
                )
            }
            let stranger = try worker("c", ["--keys", runner.path("others")])
            let bare = try worker("d", [])
            defer { for process in [stranger, bare] { process.send(SIGKILL) } }
            // Both were told before anybody else comes.
            #expect(stranger.wait { stranger.errorText.contains("was refused") }, "\(stranger.errorText)")
            #expect(bare.wait { bare.errorText.contains("one side uses keys") }, "\(bare.errorText)")
            let workers = try ["a", "b"].map { try worker($0, ["--keys", runner.path("keys")]) }
            let outcome = try coordinator.finish()
            let ends = try workers.map { try $0.finish() }
            #expect(outcome.status == 0, "\(outcome.errors)\n\(ends.map(\.errors))")
            #expect(outcome.errors.contains("refused"), "\(outcome.errors)")
            #expect(try runner.inspect("far").stateSHA256 == runner.inspect("plain").stateSHA256)
        }

        @Test(.timeLimit(.minutes(15)))
        func otherMachinesNeedKeysOrAWrittenWaiver() throws {
            defer { runner.remove() }
            let configuration = try runner.writeConfiguration()
            let refused = try runner.run(
                runner.launchArguments(configuration, run: "open", ["--bind", "tcp://0.0.0.0:*"])
            )
            #expect(refused.status == 64 && refused.errors.contains("pleura keygen"), "\(refused.errors)")
            let worker = try runner.run(["worker", "--coordinator", "tcp://192.0.2.1:7000", "--advertise", "192.0.2.2"])
            #expect(worker.status == 64 && worker.errors.contains("--security none"), "\(worker.errors)")
            let open = try runner.run(
                runner.launchArguments(
                    configuration,
                    run: "open",
                    ["--bind", "tcp://0.0.0.0:*", "--set", "security.mode=none", "--set", "training.epochs=1"]
                )
            )
            #expect(open.status == 0 && open.errors.contains("warning: security.mode is none"), "\(open.errors)")
            _ = try runner.run(["keygen", runner.path("keys"), "--workers", "2"])
            let key = runner.path("keys/worker-1.key")
            try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: key)
            let leaky = try runner.run([
                "worker", "--coordinator", "tcp://127.0.0.1:1", "--keys", runner.path("keys"), "--key", "worker-1",
            ])
            #expect(leaky.status == 64 && leaky.errors.contains("can be read by others"), "\(leaky.errors)")
        }
    }
}
