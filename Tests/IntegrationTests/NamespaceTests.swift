import Foundation
import Testing

extension Processes {
    /// Runs over three hosts with an sshd each, and faults of the network between them.
    @Suite(.serialized, .enabled(if: NamespaceHosts.obstacle == nil, "namespaces, sshd or root are missing here"))
    struct Namespaces {
        private let runner: ProgramRunner
        private let hosts: NamespaceHosts

        init() throws {
            runner = try ProgramRunner()
            _ = try runner.makeShards()
            hosts = try NamespaceHosts(folder: runner.path("hosts"))
        }

        private func end() {
            hosts.close()
            runner.remove()
        }

        /// Many short steps of a model of `width`; a host is given up after `silence` seconds.
        private func configuration(epochs: Int, width: Int = 8, silence: Double = 2) throws -> String {
            let patience = "grace_seconds: \(2 * silence), timeouts: {silence_seconds: \(silence)}"
            let file = try runner.writeConfiguration()
            let text = try String(contentsOfFile: file, encoding: .utf8)
                .replacingOccurrences(of: "epochs: 2", with: "epochs: \(epochs)")
                .replacingOccurrences(of: "every_epochs: 1", with: "every_epochs: 0")
                .replacingOccurrences(of: "every_steps: 2", with: "every_steps: 20")
                .replacingOccurrences(of: "base_width: 8", with: "base_width: \(width)")
                .replacingOccurrences(of: "heartbeat_seconds: 0.25", with: "heartbeat_seconds: 0.25, \(patience)")
            try text.write(toFile: file, atomically: true, encoding: .utf8)
            return file
        }

        private func launch(
            _ configuration: String,
            run: String,
            hosts list: String? = nil,
            _ extra: [String] = []
        ) throws -> RunningProgram {
            try runner.start(
                runner.launchArguments(
                    configuration,
                    run: run,
                    ["--hosts", list ?? "\(hosts.folder)/hosts.yaml", "--verbose"] + extra
                ),
                prefix: hosts.prefix
            )
        }

        /// The hash of a run with one worker here.
        private func undisturbed(_ configuration: String, run: String) throws -> String {
            let outcome = try runner.run(runner.launchArguments(configuration, run: run, ["--workers", "1"]))
            try #require(outcome.status == 0, "\(outcome.errors)")
            return try runner.inspect(run).stateSHA256
        }

        /// How many steps a run has committed.
        private func commits(_ run: String) -> Int {
            let text = (try? String(contentsOfFile: runner.path("\(run)/metrics.jsonl"), encoding: .utf8)) ?? ""
            return text.split(separator: "\n").count { $0.contains("\"kind\":\"step\"") }
        }

        /// Looks until nothing of the program runs on any host; false where that takes longer than `seconds`.
        private func isAllGone(within seconds: Double) -> Bool {
            let deadline = Date().addingTimeInterval(seconds)
            while !hosts.processes().isEmpty {
                if Date() > deadline { return false }
                usleep(20_000)  // Processes of others, which send no event here.
            }
            return true
        }

        @Test(.timeLimit(.minutes(5)))
        func threeHostsGiveTheBitsOfOneAndKeysStayInTheirChannels() throws {
            defer { end() }
            let configuration = try configuration(epochs: 6)
            let expected = try undisturbed(configuration, run: "one")
            let running = try launch(configuration, run: "three")
            try #require(running.wait { commits("three") > 2 }, "\(running.errorText)")
            let keys = runner.path("three/keys-3")
            let files = try FileManager.default.contentsOfDirectory(atPath: keys)
            var secrets: [String] = []
            for file in files where file.hasSuffix(".key") {
                let text = try String(contentsOfFile: "\(keys)/\(file)", encoding: .utf8)
                secrets += text.split(separator: "\n").filter { $0.hasPrefix("secret ") }
                    .map { String($0.dropFirst(7)) }
                let attributes = try FileManager.default.attributesOfItem(atPath: "\(keys)/\(file)")
                #expect(attributes[.posixPermissions] as? Int == 0o600)
            }
            #expect(secrets.count == 4)
            let processes = hosts.processes()
            #expect(processes.count >= 6)
            for secret in secrets { #expect(!processes.contains { $0.command.contains(secret) }) }
            let outcome = try running.finish()
            #expect(outcome.status == 0, "\(outcome.errors)")
            #expect(try runner.inspect("three").stateSHA256 == expected)
            for (number, host) in ["a", "b", "c"].enumerated() {
                let log = try String(contentsOfFile: runner.path("three/logs/worker-\(number).log"), encoding: .utf8)
                #expect(log.contains("\(host)/worker-\(number): The run is complete"), "\(log)")
                // It was fetched, and no key was left.
                let grep = Process()
                grep.executableURL = URL(fileURLWithPath: "/usr/bin/env")
                grep.arguments = ["grep", "-rqF", "secret ", "\(hosts.folder)/work-\(host)"]
                try grep.run()
                grep.waitUntilExit()
                #expect(grep.terminationStatus == 1)
                #expect(FileManager.default.fileExists(atPath: "\(hosts.folder)/work-\(host)/cache"))
            }
            #expect(isAllGone(within: 5))
        }

        @Test(.timeLimit(.minutes(5)))
        func nothingIsLeftOnTheHostsHoweverTheLauncherEnds() throws {
            defer { end() }
            let configuration = try configuration(epochs: 2000)
            let interrupted = try launch(configuration, run: "interrupted")
            try #require(interrupted.wait { commits("interrupted") > 2 }, "\(interrupted.errorText)")
            interrupted.send(SIGINT)
            let outcome = try interrupted.finish()
            #expect(outcome.status == 0, "\(outcome.errors)")
            #expect(isAllGone(within: 5), "\(hosts.processes())")

            let killed = try launch(configuration, run: "killed")
            try #require(killed.wait { commits("killed") > 2 }, "\(killed.errorText)")
            // A worker that is stopped cannot end by itself, and a guard that is killed takes its worker along.
            let workers = hosts.processes().filter { !$0.command.contains("worker-guard") }
            let guards = hosts.processes().filter { $0.command.hasSuffix("pleura worker-guard") }
            try #require(workers.count == 3 && guards.count >= 3, "\(hosts.processes())")
            kill(workers[0].process, SIGSTOP)
            killed.send(SIGKILL)
            let before = Date()
            #expect(isAllGone(within: 10), "\(hosts.processes())")
            print("clean-up of 3 hosts after kill -9 of the launcher: \(Int(-before.timeIntervalSinceNow * 1000)) ms")
            #expect(try killed.finish().status == -SIGKILL)
        }

        @Test(.timeLimit(.minutes(5)))
        func workersOfOtherHostsAreStartedAnewHoweverTheyDie() throws {
            defer { end() }
            let configuration = try configuration(epochs: 45)
            let expected = try undisturbed(configuration, run: "whole")
            let running = try launch(configuration, run: "respawned")
            try #require(running.wait { commits("respawned") > 4 }, "\(running.errorText)")
            func joined() -> Int { running.errorText.components(separatedBy: " joined at step ").count - 1 }
            func find(_ host: String, isGuard: Bool) throws -> Int32 {
                let found = hosts.processes(on: host).first { $0.command.contains("worker-guard") == isGuard }
                return try #require(found?.process, "\(hosts.processes())")
            }
            // A worker; a guard, whose worker dies with it; and an ssh, without which a guard ends its worker.
            let victims: [(String, () throws -> Int32)] = [
                ("worker", { try find("a", isGuard: false) }),
                ("guard", { try find("b", isGuard: true) }),
                ("ssh", { try #require(running.connections.first) }),
            ]
            for (number, (name, victim)) in victims.enumerated() {
                kill(try victim(), SIGKILL)
                #expect(running.wait { joined() > number }, "\(name): \(running.errorText)")
            }
            let outcome = try running.finish()
            #expect(outcome.status == 0, "\(outcome.errors)")
            #expect(try runner.inspect("respawned").stateSHA256 == expected)
            #expect(isAllGone(within: 5), "\(hosts.processes())")
        }

        @Test(.timeLimit(.minutes(5)))
        func aHostThatFailsIsNamedWithItsLastLines() throws {
            defer { end() }
            let configuration = try configuration(epochs: 2)
            let list = try String(contentsOfFile: "\(hosts.folder)/hosts.yaml", encoding: .utf8)
            let program = try ProgramRunner.program.path
            let parts = list.components(separatedBy: "program: \(program)")
            try #require(parts.count == 4)
            func failing(_ name: String, _ text: String) throws -> ProgramRunner.Outcome {
                try text.write(toFile: runner.path("\(name).yaml"), atomically: true, encoding: .utf8)
                let list = runner.path("\(name).yaml")
                let outcome = try launch(configuration, run: name, hosts: list, ["--skip-checks"]).finish()
                #expect(outcome.status == 75, "\(outcome.errors)")
                #expect(isAllGone(within: 5), "\(hosts.processes())")
                return outcome
            }
            let missing = try failing(
                "missing",
                parts[0] + "program: \(program)" + parts[1] + "program: /nowhere/pleura" + parts[2]
                    + "program: \(program)" + parts[3]
            )
            #expect(missing.errors.contains("b/worker-1: "), "\(missing.errors)")
            #expect(missing.errors.contains("/nowhere/pleura: not found"), "\(missing.errors)")
            #expect(missing.errors.contains("Status 127"), "\(missing.errors)")
            let unreachable = try failing(
                "unreachable",
                list.replacingOccurrences(of: "10.83.0.2", with: "10.83.0.77")
                    .replacingOccurrences(of: "ssh: [", with: "ssh: [-o, ConnectTimeout=2, ")
            )
            #expect(unreachable.errors.contains("10.83.0.77"), "\(unreachable.errors)")
            #expect(unreachable.errors.contains("Status 255 is ssh's own: b was not reached"), "\(unreachable.errors)")
        }

        private struct Report: Decodable {
            struct Finding: Decodable {
                var host: String
                var check: String
                var level: String
                var found: String
            }
            var findings: [Finding]

            /// The checks of a level, each as "host check".
            func checks(_ level: String) -> [String] {
                findings.filter { $0.level == level }.map { "\($0.host) \($0.check)" }
            }
        }

        @Test(.timeLimit(.minutes(5)))
        func theDoctorNamesHostAndFault() throws {
            defer { end() }
            let configuration = try configuration(epochs: 2)
            let list = "\(hosts.folder)/hosts.yaml"
            func examine(_ list: String, status: Int32) throws -> Report {
                let arguments = ["doctor", configuration, "--hosts", list, "--json"]
                let outcome = try runner.start(arguments, prefix: hosts.prefix).finish()
                #expect(outcome.status == status, "\(outcome.errors)\n\(outcome.output)")
                return try JSONDecoder().decode(Report.self, from: Data(outcome.output.utf8))
            }
            let well = try examine(list, status: 0)
            #expect(well.checks("FAIL").isEmpty, "\(well)")
            for host in ["a", "b", "c"] {
                for check in ["reach", "program", "clock", "memory", "data", "disk", "coordinator", "others"] {
                    #expect(well.checks("ok").contains("\(host) \(check)"), "\(well)")
                }
            }

            try hosts.command("cut a b")
            let cut = try examine(list, status: 75)
            #expect(Set(cut.checks("FAIL")) == ["a others", "b others"], "\(cut)")
            try hosts.command("heal")

            // Another build, and shards of another job.
            let other = runner.path("pleura")
            try FileManager.default.copyItem(atPath: try ProgramRunner.program.path, toPath: other)
            let file = try FileHandle(forWritingTo: URL(fileURLWithPath: other))
            try file.seekToEnd()
            try file.write(contentsOf: Data([0]))
            try file.close()
            let text = try String(contentsOfFile: list, encoding: .utf8)
            var entries = text.components(separatedBy: "  - host: ")
            try #require(entries.count == 4)
            entries[1] = entries[1].replacingOccurrences(of: try ProgramRunner.program.path, with: other)
            entries[2] = entries[2].replacingOccurrences(of: "fetch: true", with: "shards: \(hosts.folder)")
            let changed = runner.path("changed.yaml")
            try entries.joined(separator: "  - host: ").write(toFile: changed, atomically: true, encoding: .utf8)
            let wrong = try examine(changed, status: 75)
            #expect(Set(wrong.checks("FAIL")) == ["a program", "b data"], "\(wrong)")

            // A launch looks itself, and starts nothing.
            let refused = try launch(configuration, run: "refused", hosts: changed).finish()
            #expect(refused.status == 75 && refused.errors.contains("Nothing was started"), "\(refused.errors)")
            #expect(!FileManager.default.fileExists(atPath: runner.path("refused")))
        }

        // MARK: Faults of the network

        private struct Fault {
            var name: String
            /// What `hosts.py` is told.
            var command: String
            /// How long the network stays so, from the fault on.
            var seconds: Double
            var losesWorker: Bool
            /// The smallest model and patience, for networks that hardly carry anything.
            var isHard = false
        }

        private static var faults: [Fault] {
            // A minute in full; CI looks for less long.
            let loss = ProcessInfo.processInfo.environment["PLEURA_LOSS_SECONDS"].flatMap(Double.init) ?? 12
            return [
                Fault(name: "one host cut off", command: "cut b", seconds: 4, losesWorker: true),
                Fault(name: "half-open, one host hears nothing", command: "half c", seconds: 4, losesWorker: true),
                Fault(name: "two workers out of each other's reach", command: "cut a b", seconds: 5, losesWorker: true),
                Fault(name: "200 ms delay", command: "delay 200", seconds: 6, losesWorker: false, isHard: true),
                Fault(name: "30 % loss", command: "loss 30", seconds: loss, losesWorker: false, isHard: true),
            ]
        }

        @Test(.timeLimit(.minutes(10)))
        func faultsOfTheNetworkChangeNoBit() throws {
            defer { end() }
            let steps = 80
            let easy = try configuration(epochs: steps / 4)
            let text = try String(contentsOfFile: easy, encoding: .utf8)
            let hash = try undisturbed(easy, run: "easy")
            let hard = try configuration(epochs: steps / 4, width: 1, silence: 20)
            let hardHash = try undisturbed(hard, run: "hard")
            let hardText = try String(contentsOfFile: hard, encoding: .utf8)
            for (number, fault) in Self.faults.enumerated() {
                let configuration = runner.path("fault-\(number).yaml")
                try (fault.isHard ? hardText : text).write(toFile: configuration, atomically: true, encoding: .utf8)
                let run = "fault-\(number)"
                let running = try launch(configuration, run: run)
                try #require(running.wait { commits(run) >= 8 }, "\(fault.name): \(running.errorText)")
                try hosts.command(fault.command)
                let began = ContinuousClock.now
                let before = commits(run)
                if fault.losesWorker {
                    let isLost = running.wait { running.errorText.contains(" was lost while ") }
                    #expect(isLost, "\(fault.name): \(running.errorText)")
                }
                // A step may have been all but done when the network broke.
                let behind = fault.losesWorker ? commits(run) : before + 1
                let isBack = running.wait {
                    commits(run) > behind || ContinuousClock.now - began > .seconds(fault.seconds)
                }
                #expect(isBack, "\(fault.name): \(running.errorText)")
                // Where hardly anything is carried, a step may take longer than the test looks.
                #expect(commits(run) > behind || fault.isHard, "\(fault.name): \(running.errorText)")
                let recovery = ContinuousClock.now - began
                let hasRecovered = commits(run) > behind
                _ = running.wait { ContinuousClock.now - began > .seconds(fault.seconds) }
                let during = commits(run) - before
                try hosts.command("heal")
                let outcome = try running.finish()
                #expect(outcome.status == 0, "\(fault.name): \(outcome.errors)")
                #expect(try runner.inspect(run).stateSHA256 == (fault.isHard ? hardHash : hash), "\(fault.name)")
                // One is put out; where that was not the network's fault alone, there would be more.
                let evictions = outcome.errors.components(separatedBy: " was lost while ").count - 1
                if fault.losesWorker { #expect(evictions == 1, "\(fault.name): \(outcome.errors)") }
                let next = hasRecovered ? recovery.formatted(.units(allowed: [.milliseconds])) : "not"
                print(
                    "network fault: \(fault.name): next commit \(next) after the fault, \(during) steps in "
                        + "\(fault.seconds) s of it, \(evictions) put out, equal hashes"
                )
            }
        }
    }
}
