import Diagnostics
import Foundation
import Glibc
import Platform
import Reporting
import RunFolder
import Storage
import TestSupport
import Testing

/// The files that a start leaves which ends before its first checkpoint.
enum AbortedStart {
    /// Writes them as the program does, and returns the name of the events.
    @discardableResult
    static func write(to run: RunDirectory) throws -> String {
        try run.create()
        try AtomicFile.write(SealedText.sealed("run: {seed: 1}\n"), to: run.configuration)
        try AtomicFile.write(MetricsFile.line("{\"kind\":\"step\",\"step\":0}") + "\n", to: run.metrics)
        let journal = try Journal<[String: String]>.open(run.journal).journal
        try journal.append(["event": "began"])
        try RunReport(title: "t", status: "s").write(to: run.report)
        try AtomicFile.write(try SealedJSON.encode(["threshold": 0.5]), to: run.rule)
        try RunManifest.new(named: "a").write(run)
        try AtomicFile.write(CheckpointStore.fileName(step: 1) + "\n", to: "\(run.checkpoints)/latest")
        let board = try TensorBoardLog(directory: run.tensorBoard, startingAt: 0, time: 1, writer: "host-1")
        return FileSystem.name(of: board.path)
    }
}

/// What a start may remove: its own, and nothing that a person has put there or changed.
@Suite struct OwnershipTests {
    let folder: TemporaryFolder
    var run: RunDirectory { RunDirectory(folder.file("run")) }

    init() throws { folder = try TemporaryFolder() }

    /// All files below the run's folder with their bytes.
    private func snapshot() throws -> [String: Data] {
        let names = try FileManager.default.subpathsOfDirectory(atPath: run.path)
        return Dictionary(
            uniqueKeysWithValues: names.compactMap { name in
                FileManager.default.contents(atPath: "\(run.path)/\(name)").map { (name, $0) }
            }
        )
    }

    @Test(arguments: [
        "config.yaml", "metrics.jsonl", "journal.jsonl", "report.html", "rule.json", "status.json", "endpoints.json",
        "run.json", "checkpoints/latest", "tensorboard/events.out.tfevents.1.other",
    ])
    func aPersonsFileIsInTheWayAndNothingIsTouched(name: String) throws {
        try AbortedStart.write(to: run)
        try folder.write("somebody's own\n", to: "run/\(name)")
        let before = try snapshot()
        let error = #expect(throws: OccupiedOutput.self) { try run.removeAbortedStart() }
        #expect(error?.exitStatus == .usage)
        #expect(error?.obstacles.map(\.path) == ["\(run.path)/\(name)"])
        #expect(error?.description.contains("--set run.directory=FOLDER") == true)
        #expect(try snapshot() == before)
    }

    /// Each of our files with a line of a person's behind it is the person's.
    @Test(arguments: ["config.yaml", "metrics.jsonl", "journal.jsonl", "report.html", "rule.json", "run.json"])
    func oursWithALineOfAPersonsIsTheirs(name: String) throws {
        try AbortedStart.write(to: run)
        let path = "\(run.path)/\(name)"
        let text = try String(contentsOfFile: path, encoding: .utf8)
        try Data((text + "a note of mine\n").utf8).write(to: URL(fileURLWithPath: path))
        let error = #expect(throws: OccupiedOutput.self) { try run.requireOwnFiles() }
        #expect(error?.obstacles.map(\.path) == [path])
    }

    @Test func aFolderOrAPipeInTheWayIsNamedAndNotOpened() throws {
        try run.create()
        try FileSystem.createDirectory(run.metrics)
        #expect(mkfifo(run.report, 0o600) == 0)
        let error = #expect(throws: OccupiedOutput.self) { try run.removeAbortedStart() }
        #expect(error?.obstacles.map(\.reason) == ["is a folder", "is no regular file"])
    }

    @Test func aReportThatWasEditedIsNotWrittenOver() throws {
        try RunReport(title: "t", status: "s").write(to: run.reportInNewFolder())
        try run.requireOwnReport()
        let page = try String(contentsOfFile: run.report, encoding: .utf8)
        try folder.write(page.replacingOccurrences(of: "<main>", with: "<main>My notes."), to: "run/report.html")
        #expect(throws: OccupiedOutput.self) { try run.requireOwnReport() }
        // A page of an earlier version, which had no seal, is known by its heading.
        let old = page.split(separator: "\n").dropLast().joined(separator: "\n")
        try folder.write(old, to: "run/report.html")
        try run.requireOwnReport()
    }

    @Test func aFolderThatIsRemovedOrReplacedUnderARunIsNoticed() throws {
        try AbortedStart.write(to: run)
        let watch = RunFolderWatch(run)
        try watch.check()
        try FileSystem.rename(run.path, to: folder.file("moved"))
        let gone = #expect(throws: RunError.self) { try watch.check() }
        #expect(gone?.description.contains("not there any more") == true && gone?.exitStatus == .temporary)
        try AbortedStart.write(to: run)
        let other = #expect(throws: RunError.self) { try watch.check() }
        #expect(other?.description.contains("another folder") == true)
        try FileManager.default.removeItem(atPath: run.path)
        try FileSystem.rename(folder.file("moved"), to: run.path)
        try watch.check()
        try FileSystem.remove(run.manifest)
        let emptied = #expect(throws: RunError.self) { try watch.check() }
        #expect(emptied?.description.contains("run.json is gone") == true)
    }
}

extension RunDirectory {
    fileprivate func reportInNewFolder() throws -> String {
        try create()
        return report
    }
}
