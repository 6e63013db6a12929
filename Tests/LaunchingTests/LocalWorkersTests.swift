import Launching
import Platform
import TestSupport
import Testing

/// Worker processes of this machine, and their logs.
@Suite struct LocalWorkersTests {
    let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    @Test func aLogThatCannotBeOpenedIsNotBlamedOnTheProgram() throws {
        let log = folder.file("absent/worker-0.log")
        let error = #expect(throws: FileError.self) {
            _ = try LocalWorkers().start(program: .file("/bin/true"), arguments: [], log: log, incarnation: 1) {
                _,
                _ in
            }
        }
        #expect(error?.path == log)
    }

    @Test func theLastLineOfAWorkersLogIsQuoted() throws {
        try folder.write("from before\n", to: "worker.log")
        let start = "from before\n".utf8.count
        let log = folder.file("worker.log")
        #expect(LocalWorkers.note(log: log, from: start) == "Its log is \(log); the worker wrote nothing.")
        try folder.write("from before\nwarning: a\npleura: no such thing.\n", to: "worker.log")
        #expect(LocalWorkers.note(log: log, from: start) == "Its log is \(log); it ends: pleura: no such thing.")
    }
}
