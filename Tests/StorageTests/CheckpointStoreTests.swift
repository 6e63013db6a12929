import Diagnostics
import Foundation
import Platform
import Storage
import Testing

@Suite("Checkpoint store") struct CheckpointStoreTests {
    let folder: TemporaryFolder
    var store: CheckpointStore { CheckpointStore(folder.path) }

    init() throws { folder = try TemporaryFolder() }

    private func flip(_ name: String, at fraction: Double) throws {
        var bytes = try contents(folder.file(name))
        bytes[Int(Double(bytes.count) * fraction)] ^= 16
        try overwrite(folder.file(name), bytes)
    }

    @Test func namesAndSteps() {
        #expect(CheckpointStore.fileName(step: 1200) == "step-00001200.h5")
        #expect(CheckpointStore.fileName(step: 1_234_567_890) == "step-1234567890.h5")
        #expect(CheckpointStore.step(inFileName: "step-00001200.h5") == 1200)
        for name in ["step-1200.h5", "step-0000120x.h5", ".step-00001200.h5.1-1.tmp", "step--0000001.h5", "latest"] {
            #expect(CheckpointStore.step(inFileName: name) == nil)
        }
    }

    @Test func theNewestIntactOneIsLoadedAndTheOthersAreNamed() throws {
        #expect(try store.newestIntact().contents == nil)
        for step in [10, 20, 30, 40] { try CheckpointSamples.write(step: step, to: folder.path) }
        #expect(try store.newestIntact().contents?.trainer.step == 40)
        #expect(try store.newestIntact().skipped.isEmpty)

        try flip("step-00000040.h5", at: 0.5)
        try overwrite(folder.file("step-00000030.h5"), Array(contents(folder.file("step-00000030.h5")).dropLast(100)))
        let (loaded, skipped) = try store.newestIntact()
        #expect(loaded?.trainer.step == 20)
        #expect(skipped.map(\.record.step) == [40, 30])
        #expect(skipped[0].description.contains("step-00000040.h5, tensor "))
        #expect((skipped[1].defects.first as? StorageDefect)?.problem == .truncated)
    }

    @Test func oneThatTheCallerRefusesIsSkipped() throws {
        for step in [10, 20] { try CheckpointSamples.write(step: step, to: folder.path) }
        let (loaded, skipped) = try store.newestIntact { contents in
            if contents.trainer.step == 20 {
                try contents.require([TensorSignature("model/other", [1])], network: "other")
            }
        }
        #expect(loaded?.trainer.step == 10)
        #expect((skipped.first?.defects.first as? StorageDefect)?.problem == .foreign)
    }

    @Test func aRenamedCheckpointIsNotTakenForAnotherStep() throws {
        try CheckpointSamples.write(step: 10, to: folder.path)
        try overwrite(folder.file("step-00000099.h5"), contents(folder.file("step-00000010.h5")))
        let (loaded, skipped) = try store.newestIntact()
        #expect(loaded?.trainer.step == 10)
        #expect((skipped.first?.defects.first as? StorageDefect)?.problem == .inconsistent)
    }

    @Test func latestFollowsTheNewestWritten() throws {
        #expect(store.latest() == nil)
        try CheckpointSamples.write(step: 10, to: folder.path)
        try CheckpointSamples.write(step: 20, to: folder.path)
        #expect(store.latest()?.step == 20)
        try overwrite(folder.file("latest"), Array("../../etc/passwd\n".utf8))
        #expect(store.latest() == nil)
    }

    // MARK: Keeping

    @Test func theLastAndTheBestAreKept() throws {
        let dice = [1: 0.1, 2: 0.9, 3: 0.2, 4: .nan, 5: 0.8, 6: 0.3, 7: 0.9]
        let policy = RetentionPolicy(keepLast: 2, keepBest: .init(metric: "dice", mode: .maximum, count: 2))
        for step in 1...7 {
            try CheckpointSamples.write(
                step: step,
                metrics: ["dice": dice[step] ?? 0],
                retention: policy,
                to: folder.path
            )
        }
        // 2 and 7 are best (7 is also of the last two).
        #expect(try store.list().map(\.step) == [2, 6, 7])
        let least = RetentionPolicy(keepLast: 1, keepBest: .init(metric: "dice", mode: .minimum, count: 1))
        #expect(try store.prune(least).map(\.step) == [2])
        #expect(try store.list().map(\.step) == [6, 7])
    }

    /// Of equal ones the earlier is the better, here and wherever a best one is chosen.
    @Test func ofEqualOnesTheEarlierIsKept() throws {
        for (mode, figures) in [
            (RetentionPolicy.Mode.maximum, [0.5, 0.9, 0.9, 0.9, 0.1]), (.minimum, [0.5, 0.2, 0.2, 0.2, 0.6]),
        ] {
            let best = RetentionPolicy.Best(metric: "dice", mode: mode, count: 2)
            let steps = best.ranked(Array(figures.enumerated())) { ($0.offset, ["dice": $0.element]) }.map(\.offset)
            #expect(Array(steps.prefix(4)) == [1, 2, 3, 0])
        }
        for step in 1...4 { try CheckpointSamples.write(step: step, metrics: ["dice": 0.9], to: folder.path) }
        try store.prune(RetentionPolicy(keepLast: 1, keepBest: .init(metric: "dice", mode: .maximum, count: 1)))
        #expect(try store.list().map(\.step) == [1, 4])
    }

    @Test func theNewestIntactOneIsNeverRemoved() throws {
        for step in [10, 20, 30, 40] { try CheckpointSamples.write(step: step, to: folder.path) }
        // Damage in a tensor of the newest two, which their seals do not show.
        try flip("step-00000030.h5", at: 0.4)
        try flip("step-00000040.h5", at: 0.4)
        try store.prune(RetentionPolicy(keepLast: 1))
        #expect(try store.newestIntact().contents?.trainer.step == 20)
        #expect(try store.list().map(\.step) == [20, 40])
        try store.prune(RetentionPolicy(keepLast: 0))
        #expect(try store.newestIntact().contents?.trainer.step == 20)
    }

    @Test func theOneJustWrittenIsKeptWhateverLiesBehindIt() throws {
        for step in [10, 20, 50, 60] {
            try CheckpointSamples.write(step: step, metrics: ["dice": 0.9], to: folder.path)
        }
        let policy = RetentionPolicy(keepLast: 1, keepBest: .init(metric: "dice", mode: .maximum, count: 1))
        try CheckpointSamples.write(step: 30, metrics: ["dice": 0.1], retention: policy, to: folder.path)
        // 10 is the best of those that the run has reached; 50 and 60 are another's.
        #expect(try store.list().map(\.step) == [10, 30, 50, 60])
        #expect(store.latest()?.step == 30)
    }

    @Test func whatGoesWrongAfterPublishingIsAWarning() throws {
        try CheckpointSamples.write(step: 10, to: folder.path)
        try CheckpointSamples.write(step: 20, to: folder.path)
        try FileSystem.remove(folder.file("latest"))
        try FileSystem.createDirectory(folder.file("latest/in-the-way"))
        let writer = try CheckpointWriter.create(directory: folder.path, step: 30, expectedBytes: 0)
        for tensor in CheckpointSamples.tensors(step: 30) { try writer.write(tensor) }
        var warnings: [String] = []
        let trainer = CheckpointSamples.trainer(step: 30)
        let record = try writer.finish(trainer: trainer, retention: RetentionPolicy(keepLast: 2)) {
            warnings.append($0)
        }
        #expect(CheckpointStore.verify(record.path).isEmpty)
        #expect(warnings.count == 1 && warnings[0].contains("step-00000030.h5 is saved, but `latest`"))
        // Older ones are removed first: on a full disk that makes room.
        #expect(try store.list().map(\.step) == [20, 30])
    }

    @Test func aCheckpointThatLacksATensorIsNotPublished() throws {
        let tensors = CheckpointSamples.tensors(step: 10)
        let expected = tensors.map { TensorSignature($0.name, $0.shape) }
        let writer = try CheckpointWriter.create(directory: folder.path, step: 10, expectedBytes: 0)
        for tensor in tensors.dropLast() { try writer.write(tensor) }
        let missing = #expect(throws: StorageDefect.self) { try writer.require(expected) }
        #expect(missing?.problem == .missing && missing?.part == .tensor(tensors[tensors.count - 1].name))
        try writer.write(tensors[tensors.count - 1])
        try writer.require(expected)
        #expect(throws: StorageDefect.self) { try writer.require(Array(expected.dropLast())) }
        var reshaped = expected
        reshaped[0] = TensorSignature(expected[0].name, expected[0].shape + [1])
        #expect(throws: StorageDefect.self) { try writer.require(reshaped) }
    }

    @Test func whenNothingIsIntactNothingIsRemoved() throws {
        for step in [10, 20] { try CheckpointSamples.write(step: step, to: folder.path) }
        try flip("step-00000010.h5", at: 0.4)
        try flip("step-00000020.h5", at: 0.4)
        #expect(try store.prune(RetentionPolicy(keepLast: 0)).isEmpty)
        #expect(try store.list().count == 2)
    }

    // MARK: Crashes and full disks

    @Test(.timeLimit(.minutes(15)))
    func aKilledWriterLeavesTheOldOnesAndOneTemporaryFile() async throws {
        try CheckpointSamples.write(step: 10, to: folder.path)
        await #expect(processExitsWith: .signal(SIGKILL)) { [path = folder.path as String] in
            let writer = try CheckpointWriter.create(directory: path, step: 20, expectedBytes: 1 << 16)
            for tensor in CheckpointSamples.tensors(step: 20).dropLast(3) { try writer.write(tensor) }
            kill(getpid(), SIGKILL)
        }
        #expect(folder.names.count == 3)
        #expect(try store.list().map(\.step) == [10])
        #expect(try store.newestIntact().contents?.trainer.step == 10)
        #expect(try store.removeTemporaries().count == 1)
        #expect(folder.names == ["latest", "step-00000010.h5"])
    }

    /// Writes step 20 with `bytes` bytes of tensors announced as `expected`; exits 0 if it is refused for want of space
    /// and leaves step 10 alone.
    @Test(.timeLimit(.minutes(15)), arguments: [(1 << 23, 1 << 23), (0, 1 << 23), (0, 4_190_000)])
    func aFullDiskIsReportedAndHarmsNothing(expected: Int, bytes: Int) async throws {
        try CheckpointSamples.write(step: 10, to: folder.path)
        let arguments = FullDisk(path: folder.path, expected: expected, bytes: bytes)
        await #expect(processExitsWith: .success) { [arguments = arguments as FullDisk] in
            // A limit on the size of files stands for the disk: the third case fails inside HDF5's own writes.
            signal(SIGXFSZ, SIG_IGN)
            var limit = rlimit(rlim_cur: 4 << 20, rlim_max: 4 << 20)
            setrlimit(__rlimit_resource_t(1), &limit)
            arguments.check()
        }
        #expect(folder.names == ["latest", "step-00000010.h5"])
        #expect(try store.newestIntact().contents?.trainer.step == 10)
    }

    // Mounting a file system of 4 MB needs root; `SmallDisk.isPossible` prints a line where it is not possible.
    @Test(
        .enabled(if: SmallDisk.isPossible),
        .timeLimit(.minutes(15)),
        arguments: [(1 << 23, 1 << 23), (0, 1 << 23), (0, 4_148_000)]
    )
    func aSmallDiskIsReportedAndHarmsNothing(expected: Int, bytes: Int) async throws {
        let disk = try SmallDisk(at: folder.path)
        defer { disk.unmount() }
        try CheckpointSamples.write(step: 10, to: folder.path)
        let arguments = FullDisk(path: folder.path, expected: expected, bytes: bytes)
        await #expect(processExitsWith: .success) { [arguments = arguments as FullDisk] in arguments.check() }
        #expect(folder.names == ["latest", "step-00000010.h5"])
        #expect(try store.newestIntact().contents?.trainer.step == 10)
        try CheckpointSamples.write(step: 30, to: folder.path)
        #expect(try store.newestIntact().contents?.trainer.step == 30)
    }
}

/// Fills the disk in a process of its own.
struct FullDisk: Codable, Sendable {
    let path: String
    let expected: Int
    let bytes: Int

    /// Exits with failure unless writing is refused for want of space.
    func check() {
        do {
            let writer = try CheckpointWriter.create(directory: path, step: 20, expectedBytes: expected)
            let values = [Float](repeating: 1, count: bytes / 8)
            for name in ["model/a", "model/b"] {
                try writer.write(StateTensor(name: name, shape: [values.count], values: values))
            }
            try writer.finish(trainer: CheckpointSamples.trainer(step: 20)) { print($0) }
            print("nothing was refused")
        } catch let error as any ReportableError {
            print(error)
            // A test may put a limit on the size of files in the place of a small disk.
            let remedies = ["Free some space", "Raise the limit", "raise it (ulimit -f)"]
            if error.exitStatus == .temporary, remedies.contains(where: error.description.contains) { exit(0) }
        } catch { print("\(error)") }
        exit(1)
    }
}

/// A file system in memory of 4 MB.
struct SmallDisk {
    let path: String

    static let isPossible: Bool = {
        guard getuid() == 0, let folder = try? TemporaryFolder(), let disk = try? SmallDisk(at: folder.path) else {
            print("SKIPPED: writing checkpoints to a full disk, because a small file system cannot be mounted here")
            return false
        }
        disk.unmount()
        return true
    }()

    init(at path: String) throws {
        self.path = path
        try Self.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", path])
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
