import Foundation
import Testing

extension Processes {
    /// Disks that fill up under a run.
    @Suite(.serialized) struct FullDisks {
        // Mounting a file system needs root; `SmallDisk.isPossible` prints a line where it is not possible.
        @Test(.enabled(if: SmallDisk.isPossible), .timeLimit(.minutes(15)))
        func aRunGoesOnWhileItsDiskIsFull() throws {
            let runner = try ProgramRunner()
            defer { runner.remove() }
            _ = try runner.makeShards()
            let configuration = try runner.writeConfiguration()
            let undisturbed = try runner.run(runner.launchArguments(configuration, run: "reference"))
            try #require(undisturbed.status == 0, "\(undisturbed.errors)")

            try FileManager.default.createDirectory(atPath: runner.path("run"), withIntermediateDirectories: true)
            let disk = try SmallDisk(at: runner.path("run"), megabytes: 32)
            defer { disk.unmount() }
            // All but one megabyte is somebody else's.
            let filler = runner.path("run/filler")
            try Data(count: 31 << 20).write(to: URL(fileURLWithPath: filler))
            let running = try runner.start(
                runner.launchArguments(configuration, run: "run", ["--set", "checkpoint.every_steps=1"])
            )
            #expect(running.wait { running.errorText.contains("waits 30 seconds for room") }, "\(running.errorText)")
            let text = running.errorText
            #expect(text.contains("Saving is paused and goes on by itself once there is room."), "\(text)")
            #expect(text.contains("Writing to \(runner.path("run/checkpoints")) needs "), "\(text)")
            #expect(text.contains(" MB and the disk has "), "\(text)")
            #expect(try runner.metrics("run", kind: "step").count == 6, "the run has gone on")
            try FileManager.default.removeItem(atPath: filler)
            let outcome = try running.finish()
            #expect(outcome.status == 0, "\(outcome.errors)")
            #expect(try runner.inspect("run").stateSHA256 == runner.inspect("reference").stateSHA256)
        }
    }
}

/// A file system in memory.
private struct SmallDisk {
    let path: String

    static let isPossible: Bool = {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("pleura-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        do {
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            try SmallDisk(at: folder.path, megabytes: 4).unmount()
            return true
        } catch {
            print("SKIPPED: a run on a full disk, because a small file system cannot be mounted here")
            return false
        }
    }()

    init(at path: String, megabytes: Int) throws {
        self.path = path
        try Self.run(["mount", "-t", "tmpfs", "-o", "size=\(megabytes)m", "tmpfs", path])
    }

    func unmount() { try? Self.run(["umount", path]) }

    private static func run(_ arguments: [String]) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = arguments
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw CocoaError(.featureUnsupported) }
    }
}
