import Diagnostics
import Foundation
import Platform
import RunFolder
import TestSupport
import Testing

@Suite struct RunDirectoryTests {
    let folder: TemporaryFolder
    var run: RunDirectory { RunDirectory(folder.file("run")) }

    init() throws { folder = try TemporaryFolder() }

    @Test func whatAnAbortedStartLeavesIsRemovedAndNothingElse() throws {
        let events = try AbortedStart.write(to: run)
        for name in ["notes.txt", "logs/worker-0.log", "tensorboard/other"] { try folder.write("x", to: "run/\(name)") }
        try run.requireNoCheckpoints()
        let removed = try run.removeAbortedStart()
        #expect(
            removed == [
                "config.yaml", "metrics.jsonl", "journal.jsonl", "report.html", "rule.json", "run.json",
                "checkpoints/latest", "tensorboard/\(events)",
            ]
        )
        #expect(folder.names(in: "run") == ["checkpoints", "logs", "notes.txt", "tensorboard"])
        #expect(folder.names(in: "run/tensorboard") == ["other"])
        #expect(try run.removeAbortedStart().isEmpty)
    }

    @Test func aFolderWithACheckpointIsRefusedWithOrWithoutItsConfiguration() throws {
        try folder.write("damaged or not", to: "run/checkpoints/step-00000001.h5")
        let without = #expect(throws: RunError.self) { try run.requireNoCheckpoints() }
        #expect(without?.description.contains("its config.yaml is gone") == true)
        try folder.write("x", to: "run/config.yaml")
        let with = #expect(throws: RunError.self) { try run.requireNoCheckpoints() }
        #expect(with?.description.contains("pleura resume") == true)
        #expect(with?.exitStatus == .usage && without?.exitStatus == .usage)
    }

    @Test func shardsAreFoundBesideAMovedRun() throws {
        let gone = folder.file("gone")
        let error = #expect(throws: RunError.self) { try run.shards(gone) }
        #expect(error?.description.contains("\(gone)") == true)
        #expect(error?.description.hasSuffix("give --set data.shards=FOLDER.") == true)
        #expect(error?.exitStatus == .missingInput)
        try folder.write("{}", to: "run/shards/dataset.json")
        #expect(try run.shards(gone) == folder.file("run/shards"))
        try folder.write("{}", to: "gone/dataset.json")
        #expect(try run.shards(gone) == gone)
    }

    @Test func aFolderThatCannotBeMadeIsNamed() throws {
        try folder.write("a file", to: "taken")
        let error = #expect(throws: FileError.self) { try RunDirectory(folder.file("taken/run")).create() }
        #expect(error?.description.contains("create the directory \(folder.file("taken"))") == true)
        #expect(error?.exitStatus != .done)
        #expect(FileError("open", path: "/ro/x", code: EROFS).exitStatus == .missingInput)
    }
}
