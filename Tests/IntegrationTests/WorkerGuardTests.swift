import Foundation
import Testing

extension Processes {
    /// The guard of a worker on another host, without the host.
    @Suite(.serialized) struct WorkerGuards {
        /// Starts a guard with an order of that much patience, whose worker looks for a coordinator that is not there.
        private func start(silence: Double) throws -> (process: Process, input: Pipe, folder: URL) {
            let folder = FileManager.default.temporaryDirectory.appendingPathComponent("pleura-\(UUID().uuidString)")
            let order: [String: Any] = [
                "format": 1, "coordinator": "tcp://0.0.0.0:9", "arguments": ["--threads", "1"],
                "folder": folder.path, "silenceSeconds": silence,
            ]
            let process = Process()
            let input = Pipe()
            process.executableURL = try ProgramRunner.program
            process.arguments = ["worker-guard"]
            process.standardInput = input
            process.standardOutput = FileHandle.nullDevice
            process.standardError = FileHandle.nullDevice
            try process.run()
            try input.fileHandleForWriting.write(
                contentsOf: try JSONSerialization.data(withJSONObject: order) + Data("\n".utf8)
            )
            return (process, input, folder)
        }

        /// The guard's worker, once there is one.
        private func worker(of process: Process) -> Int32? {
            // The kernel lists children by the thread that started them.
            let tasks = "/proc/\(process.processIdentifier)/task"
            let threads = (try? FileManager.default.contentsOfDirectory(atPath: tasks)) ?? []
            let child = threads.lazy.compactMap { thread -> Int32? in
                let text = (try? String(contentsOfFile: "\(tasks)/\(thread)/children", encoding: .utf8)) ?? ""
                return text.split(separator: " ").first.flatMap { Int32($0) }
            }.first
            // Until it runs the worker's program, the guard stands still with it: it must not be stopped then.
            return child.flatMap { child in
                let line = (try? String(contentsOfFile: "/proc/\(child)/cmdline", encoding: .utf8)) ?? ""
                let words = line.split(separator: "\0")
                return words.count > 1 && words[1] == "worker" ? child : nil
            }
        }

        private func waitForWorker(of process: Process) throws -> Int32 {
            let deadline = Date().addingTimeInterval(10)
            while Date() < deadline {
                if let worker = worker(of: process) { return worker }
                usleep(5_000)  // Another process's child, which sends no event here.
            }
            return try #require(worker(of: process))
        }

        @Test(.timeLimit(.minutes(5)))
        func aWorkerEndsWithTheChannelAndWithSilence() throws {
            // The channel closes, and the guard has a day of patience: nothing else ends its worker, also where that is
            // stopped. Nor has the guard ended it before.
            let closed = try start(silence: 86_400)
            defer { try? FileManager.default.removeItem(at: closed.folder) }
            let stopped = try waitForWorker(of: closed.process)
            kill(stopped, SIGSTOP)
            #expect(closed.process.isRunning)
            try closed.input.fileHandleForWriting.close()
            closed.process.waitUntilExit()
            #expect(closed.process.terminationStatus == 128 + SIGKILL)
            #expect(kill(stopped, 0) != 0)

            // The channel stays open, and nobody speaks.
            let silent = try start(silence: 1)
            defer { try? FileManager.default.removeItem(at: silent.folder) }
            silent.process.waitUntilExit()
            #expect(silent.process.terminationStatus == 128 + SIGKILL)
            try silent.input.fileHandleForWriting.close()

            // The guard dies: its worker with it.
            let killed = try start(silence: 86_400)
            defer { try? FileManager.default.removeItem(at: killed.folder) }
            let orphan = try waitForWorker(of: killed.process)
            kill(killed.process.processIdentifier, SIGKILL)
            killed.process.waitUntilExit()
            let deadline = Date().addingTimeInterval(5)
            while isRunning(orphan), Date() < deadline { usleep(5_000) }
            #expect(!isRunning(orphan))
        }

        /// Whether a process runs; one that has ended and was not waited for does not.
        private func isRunning(_ process: Int32) -> Bool {
            guard let text = try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8) else { return false }
            return text.split(separator: ")").last?.split(separator: " ").first != "Z"
        }

        @Test(.timeLimit(.minutes(5)))
        func whatIsNoOrderIsRefused() throws {
            let process = Process()
            let input = Pipe()
            let errors = Pipe()
            process.executableURL = try ProgramRunner.program
            process.arguments = ["worker-guard"]
            process.standardInput = input
            process.standardError = errors
            try process.run()
            try input.fileHandleForWriting.write(contentsOf: Data("{\"format\": 2}\n".utf8))
            try input.fileHandleForWriting.close()
            let text = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
            process.waitUntilExit()
            #expect(process.terminationStatus == 64 && text.contains("no order for a guard"), "\(text)")
        }
    }
}
