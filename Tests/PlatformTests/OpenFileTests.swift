import Diagnostics
import Foundation
import Platform
import TestSupport
import Testing

@Suite struct OpenFileTests {
    let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    /// Whoever opens a pipe without a writer waits for one, for ever, with all that it holds.
    @Test(.timeLimit(.minutes(5))) func aPipeIsNotWaitedFor() throws {
        let path = folder.file("status.json")
        #expect(mkfifo(path, 0o600) == 0)
        let error = #expect(throws: FileError.self) { try OpenFile(path, .read) }
        #expect(error?.description.contains("it is a pipe, and a file is needed") == true)
        // What is no pipe is read as before.
        #expect(try OpenFile("/dev/null", .read).readAll(limit: 10).isEmpty)
        try Data([1, 2]).write(to: URL(fileURLWithPath: folder.file("a")))
        #expect(try OpenFile(folder.file("a"), .read).readAll(limit: 10) == [1, 2])
    }

    /// File systems keep times that no calendar has.
    @Test func anyTimeOfAFileHasAnAge() throws {
        let path = folder.file("a")
        try Data([1]).write(to: URL(fileURLWithPath: path))
        for seconds in [Int.min / 2, -1, 0, 1 << 33, Int.max / 2] {
            var times = [timespec(tv_sec: seconds, tv_nsec: 0), timespec(tv_sec: seconds, tv_nsec: 0)]
            guard utimensat(AT_FDCWD, path, &times, 0) == 0 else { continue }
            let age = FileSystem.age(of: path)
            #expect(age.map { $0 >= 0 && $0.isFinite } == true)
        }
    }
}
