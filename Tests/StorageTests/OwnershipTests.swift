import Foundation
import Glibc
import Platform
import Storage
import Testing

@Suite struct OutputTests {
    let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func write(_ bytes: [UInt8], _ name: String) throws -> String {
        let path = "\(folder.path)/\(name)"
        try Data(bytes).write(to: URL(fileURLWithPath: path))
        return path
    }

    @Test func figuresAreKnownByTheirWriter() throws {
        let own = try write(Array("{\"written_by\": \"pleura 0.1.0\", \"x\": 1}".utf8), "own.json")
        let other = try write(Array("{\"name\": \"a package\"}".utf8), "package.json")
        #expect(OutputOwnership.obstacle(named: own, .figures) == nil)
        #expect(OutputOwnership.obstacle(named: other, .figures)?.reason == "was not written by --json")
        #expect(OutputOwnership.obstacle(named: folder.path, .figures)?.reason == "is a folder")
        for free in ["/dev/null", "\(folder.path)/new.json", try write([], "empty")] {
            #expect(OutputOwnership.obstacle(named: free, .figures) == nil)
        }
    }

    @Test func tablesAreKnownByTheirBytes() throws {
        let record = OutputRecord(folder.path)
        #expect(record.obstacle("t.csv") == nil)
        try record.write("a,b\n1,2\n", to: "t.csv")
        try record.write("a,b\n3,4\n", to: "t.csv")
        #expect(record.obstacle("t.csv") == nil)
        // What was written before is ours too: the writer may have died between its two files.
        _ = try write(Array("a,b\n1,2\n".utf8), "t.csv")
        #expect(record.obstacle("t.csv") == nil)
        _ = try write(Array("a,b\n1,2\nmine\n".utf8), "t.csv")
        #expect(record.obstacle("t.csv")?.reason.contains("was changed") == true)
        // Without a list, earlier versions' tables are known by their heads, where the caller says so.
        try FileSystem.remove("\(folder.path)/\(OutputRecord.fileName)")
        #expect(record.obstacle("t.csv") != nil && record.obstacle("t.csv", legacyHeader: "a,b\n") == nil)
    }

    @Test func picturesAreKnownByTheirMark() throws {
        // A PNG of one black pixel.
        let png: [UInt8] = [
            0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A, 0, 0, 0, 13, 0x49, 0x48, 0x44, 0x52, 0, 0, 0, 1, 0, 0, 0, 1,
            8, 0, 0, 0, 0, 0x3A, 0x7E, 0x9B, 0x55, 0, 0, 0, 10, 0x49, 0x44, 0x41, 0x54, 0x78, 0x9C, 0x63, 0x60, 0, 0, 0,
            2,
            0, 1, 0x48, 0xAF, 0xA4, 0x71, 0, 0, 0, 0, 0x49, 0x45, 0x4E, 0x44, 0xAE, 0x42, 0x60, 0x82,
        ]
        #expect(OutputOwnership.obstacle(try write(PictureMark.marked(png), "own.png"), .picture) == nil)
        #expect(OutputOwnership.obstacle(try write(png, "other.png"), .picture) != nil)
    }

    @Test func pagesAreSealedToTheLastBit() throws {
        let page = SealedPage.sealed("<html></html>\n")
        let path = try write(Array(page.utf8), "page.html")
        try SealedPage.check(path)
        for index in page.utf8.indices {
            var bytes = Array(page.utf8)
            let place = page.utf8.distance(from: page.utf8.startIndex, to: index)
            bytes[place] ^= 1
            _ = try write(bytes, "page.html")
            #expect(throws: (any Error).self, "byte \(place)") { try SealedPage.check(path) }
            _ = try write(Array(page.utf8.prefix(place)), "page.html")
            #expect(throws: (any Error).self, "cut at \(place)") { try SealedPage.check(path) }
        }
    }

    @Test func theUmaskAloneDecidesWhoMayReadAndWrite() throws {
        // The mask is the process's: a child has its own.
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/sh")
        process.arguments = ["-c", "umask"]
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        let text = String(decoding: try output.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
        process.waitUntilExit()
        let mask = try #require(UInt32(text.trimmingCharacters(in: .whitespacesAndNewlines), radix: 8))
        try FileSystem.createDirectory("\(folder.path)/a/b")
        try AtomicFile.write("x", to: "\(folder.path)/a/b/file")
        _ = try OpenFile("\(folder.path)/a/log", .append)
        func mode(_ name: String) -> UInt32 {
            var status = stat()
            return stat("\(folder.path)/\(name)", &status) == 0 ? status.st_mode & 0o777 : 0
        }
        for name in ["a", "a/b"] { #expect(mode(name) == 0o777 & ~mask) }
        for name in ["a/b/file", "a/log"] { #expect(mode(name) == 0o666 & ~mask) }
    }

    @Test func theAgeOfAFileIsByItsFileSystemsClock() throws {
        let path = try write([1], "file")
        let age = try #require(FileSystem.age(of: path))
        #expect(age >= 0 && age < 60)
        var times = [
            timespec(tv_sec: time(nil) - 86_400, tv_nsec: 0), timespec(tv_sec: time(nil) - 86_400, tv_nsec: 0),
        ]
        #expect(utimensat(AT_FDCWD, path, &times, 0) == 0)
        #expect(try #require(FileSystem.age(of: path)) > 80_000)
        #expect(FileSystem.age(of: "\(folder.path)/absent") == nil)
    }

    @Test func anErrorAboutInodesSaysInodes() {
        let error = InsufficientSpace(directory: "d", neededBytes: 1, availableBytes: 209_000_000, isOutOfFiles: true)
        #expect(error.description.contains("no inodes left") && error.description.contains("Remove some files"))
        let quota = InsufficientSpace(directory: "d", neededBytes: 1, availableBytes: 209_000_000)
        #expect(quota.description.contains("a quota or a limit"))
    }
}
