import Foundation
import Testing

extension Processes {
    /// Terminals and pipes that nobody reads: training and its end wait for none of them.
    @Suite(.serialized) struct UnreadStreams {
        let runner: ProgramRunner
        let configuration: String

        init() throws {
            runner = try ProgramRunner()
            _ = try runner.makeShards()
            configuration = try runner.writeConfiguration()
        }

        /// A pipe that is full, by its name; the descriptor keeps it open.
        private func fullPipe() throws -> (path: String, descriptor: Int32) {
            let path = runner.path("pipe-\(UUID().uuidString)")
            try #require(mkfifo(path, 0o600) == 0)
            let descriptor = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC)
            try #require(descriptor >= 0)
            let bytes = [UInt8](repeating: UInt8(ascii: "-"), count: 4096)
            while write(descriptor, bytes, bytes.count) > 0 {}
            return (path, descriptor)
        }

        /// A terminal whose output somebody has stopped, as by Ctrl-S: its two ends.
        private func terminal(isStopped: Bool) throws -> (path: String, own: Int32, other: Int32) {
            let own = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC)
            try #require(own >= 0)
            // TIOCSPTLCK and TIOCGPTN, which Swift does not import: it is unlocked, and has a number.
            var isLocked: Int32 = 0
            var number: UInt32 = 0
            try #require(ioctl(own, 0x4004_5431, &isLocked) == 0 && ioctl(own, 0x8004_5430, &number) == 0)
            let path = "/dev/pts/\(number)"
            let other = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC)
            try #require(other >= 0)
            if isStopped { try #require(tcflow(other, TCOOFF) == 0) }
            return (path, own, other)
        }

        /// The steps of a run that is committed though nobody reads what it says.
        private func expectEnds(_ running: RunningProgram, _ run: String) throws {
            // A failure must not wait for a process that never ends.
            if !running.wait(until: { !running.process.isRunning }) { running.send(SIGKILL) }
            #expect(try running.finish().status == 0)
            #expect(try runner.inspect(run).step == 6)
        }

        @Test(.timeLimit(.minutes(5)))
        func aFullPipeHoldsNothingUp() throws {
            defer { runner.remove() }
            let pipe = try fullPipe()
            defer { close(pipe.descriptor) }
            try expectEnds(
                try runner.start(runner.launchArguments(configuration, run: "run", ["--verbose"]), errors: pipe.path),
                "run"
            )
        }

        @Test(.timeLimit(.minutes(5)))
        func aStoppedTerminalHoldsNothingUpAndAnEndIsHeard() throws {
            defer { runner.remove() }
            let terminal = try terminal(isStopped: true)
            defer { [terminal.own, terminal.other].forEach { close($0) } }
            let running = try runner.start(
                runner.launchArguments(configuration, run: "run", ["--set", "training.epochs=200"]),
                environment: ["TERM": "xterm", "LC_ALL": "C.UTF-8"],
                errors: terminal.path
            )
            #expect(running.wait { ((try? runner.metrics("run", kind: "step").count) ?? 0) >= 10 })
            let before = ContinuousClock.now
            running.send(SIGTERM)
            if !running.wait(until: { !running.process.isRunning }) { running.send(SIGKILL) }
            #expect(try running.finish().status == 0)
            #expect(ContinuousClock.now - before < .seconds(20))
        }

        @Test(.timeLimit(.minutes(5)), arguments: ["dumb", ""])
        func aPlainTerminalGetsLinesAsAFileDoes(type: String) throws {
            defer { runner.remove() }
            let terminal = try terminal(isStopped: false)
            defer { close(terminal.own) }
            let running = try runner.start(
                runner.launchArguments(configuration, run: "run"),
                environment: ["TERM": type, "LC_ALL": "C.UTF-8"],
                errors: terminal.path
            )
            close(terminal.other)
            // The test has the terminal open too, so its end is never read: what is there when the program has ended is all.
            _ = fcntl(terminal.own, F_SETFL, fcntl(terminal.own, F_GETFL) | O_NONBLOCK)
            var text: [UInt8] = []
            var bytes = [UInt8](repeating: 0, count: 4096)
            while true {
                let hasEnded = !running.process.isRunning
                let count = read(terminal.own, &bytes, bytes.count)
                if count > 0 {
                    text += bytes[..<count]
                    continue
                }
                if hasEnded { break }
                var descriptor = pollfd(fd: terminal.own, events: Int16(POLLIN), revents: 0)
                poll(&descriptor, 1, 100)
            }
            #expect(try running.finish().status == 0)
            let said = String(decoding: text, as: UTF8.self)
            #expect(said.contains("epoch 1/2"), "\(said)")
            #expect(!said.contains("\u{1B}") && !said.contains("━"), "\(said)")
        }

        @Test(.timeLimit(.minutes(5)))
        func aStoppedLauncherHoldsNothingUp() throws {
            defer { runner.remove() }
            let running = try runner.start(
                runner.launchArguments(configuration, run: "run", ["--set", "training.epochs=200"])
            )
            func steps() -> Int { (try? runner.metrics("run", kind: "step").count) ?? 0 }
            #expect(running.wait { steps() >= 2 }, "\(running.errorText)")
            running.send(SIGTSTP)
            #expect(
                running.wait { running.errorText.contains("Ctrl-Z stops this process only") },
                "\(running.errorText)"
            )
            let then = steps()
            #expect(running.wait { steps() >= then + 20 }, "\(running.errorText)")
            running.send(SIGCONT)
            running.send(SIGINT)
            let outcome = try running.finish()
            #expect(outcome.status == 0, "\(outcome.errors)")
            #expect(!outcome.errors.contains("was lost"), "\(outcome.errors)")
        }
    }
}
