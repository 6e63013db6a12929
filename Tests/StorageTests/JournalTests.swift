import Diagnostics
import Foundation
import Platform
import Storage
import Testing

@Suite("Journal and small files") struct JournalTests {
    let folder: TemporaryFolder
    var path: String { folder.file("journal.jsonl") }

    init() throws { folder = try TemporaryFolder() }

    struct Entry: Codable, Equatable, Sendable {
        var kind: String
        var value: Double
    }

    private func entry(_ number: Int) -> Entry { Entry(kind: "größe\n\"\(number)\"", value: Double(number) / 3) }

    /// A journal of entries 1...count.
    @discardableResult
    private func write(_ count: Int) throws -> [UInt8] {
        let journal = try Journal<Entry>.open(path).journal
        for number in 1...count { try journal.append(entry(number)) }
        return try contents(path)
    }

    @Test func entriesComeBackAndAppendingGoesOn() throws {
        let first = try Journal<Entry>.open(path)
        #expect(first.entries.isEmpty && first.notice == nil)
        try first.journal.append(entry(1))
        try first.journal.append(entry(2))
        let second = try Journal<Entry>.open(path)
        #expect(second.entries == [entry(1), entry(2)])
        try second.journal.append(entry(3))
        #expect(try Journal<Entry>.read(path).entries == [entry(1), entry(2), entry(3)])
        let lines = String(decoding: try contents(path), as: UTF8.self).split(separator: "\n")
        #expect(lines.count == 3)
        for line in lines { #expect(try JSONSerialization.jsonObject(with: Data(line.utf8)) is [String: Any]) }
    }

    @Test func aTornLastLineIsDroppedWithANotice() throws {
        let sound = try write(3)
        let lastStart = try #require(sound.dropLast().lastIndex(of: UInt8(ascii: "\n"))) + 1
        for length in (lastStart + 1)..<sound.count {
            try overwrite(path, Array(sound[..<length]))
            let (entries, notice) = try Journal<Entry>.read(path)
            #expect(entries == [entry(1), entry(2)])
            #expect(notice?.contains("line 3") == true)
        }
        let opened = try Journal<Entry>.open(path)
        #expect(opened.notice != nil)
        try opened.journal.append(entry(3))
        #expect(try contents(path) == sound)

        // A block that did not reach the disk reads as zeros.
        var holed = sound
        for index in lastStart..<sound.count - 1 { holed[index] = 0 }
        try overwrite(path, holed)
        #expect(try Journal<Entry>.read(path).entries.count == 2)
    }

    @Test func aDamagedLineIsNamed() throws {
        let sound = try write(4)
        let starts = [0] + sound.indices.filter { sound[$0] == UInt8(ascii: "\n") }.map { $0 + 1 }
        for offset in sound.indices {
            var bytes = sound
            bytes[offset] ^= 2
            try overwrite(path, bytes)
            // A flipped bit in the last line feed looks like a torn line; every other one is an error.
            if offset == sound.count - 1 { continue }
            let line = starts.lastIndex { $0 <= offset }.map { $0 + 1 }
            let error = #expect(throws: StorageDefect.self) { try Journal<Entry>.read(path) }
            #expect(error?.part == line.map { .line($0) })
            #expect(error?.exitStatus == .badInput)
        }
    }

    @Test func linesOutOfOrderAreNamed() throws {
        let sound = try write(3)
        let lines = sound.split(separator: UInt8(ascii: "\n")).map { Array($0) + [UInt8(ascii: "\n")] }
        try overwrite(path, lines[0] + lines[2])
        #expect(throws: StorageDefect.self) { try Journal<Entry>.read(path) }
        try overwrite(path, lines[0] + lines[0] + lines[1])
        #expect(throws: StorageDefect.self) { try Journal<Entry>.open(path) }
    }

    @Test func entriesOfAnotherProgramAreNamed() throws {
        try write(2)
        struct Other: Codable, Sendable { var absent: Int }
        let error = #expect(throws: StorageDefect.self) { try Journal<Other>.read(path) }
        #expect(error?.part == .line(1) && error?.problem == .foreign)
    }

    // MARK: Metrics

    @Test func metricsAreCheckedLineByLine() throws {
        let path = folder.file("metrics.jsonl")
        let lines = ["{\"run\":\"a\"}"] + (1...6).map { "{\"step\":\($0),\"loss\":0.\($0)}" }
        try overwrite(path, Array((lines.joined(separator: "\n") + "\n{\"step\":7,\"lo").utf8))
        #expect(try MetricsFile.verify(path) == 7)
        try overwrite(path, Array("{\"step\":1}\nnonsense\n{\"step\":2}\n".utf8))
        let error = #expect(throws: StorageDefect.self) { try MetricsFile.verify(path) }
        #expect(error?.part == .line(2))
    }

    // MARK: Files

    @Test func atomicFilesReplaceAndCleanUp() throws {
        let path = folder.file("latest")
        try AtomicFile.write("one", to: path)
        try AtomicFile.write("two", to: path)
        #expect(try contents(path) == Array("two".utf8))
        #expect(folder.names == ["latest"])
        let error = #expect(throws: FileError.self) { try AtomicFile.write("x", to: folder.file("absent/latest")) }
        #expect(error?.description.contains("absent") == true)
        #expect(error?.description.contains("No such file or directory") == true)
        #expect(error?.exitStatus == .missingInput)
        // A directory in the way: nothing is left behind.
        try FileSystem.createDirectory(folder.file("taken/deeper"))
        #expect(throws: FileError.self) { try AtomicFile.write("x", to: folder.file("taken")) }
        #expect(folder.names == ["latest", "taken"])
    }

    /// A container's processes often have equal numbers, and one may have died in the middle of a file.
    @Test func aTemporaryFileInTheWayIsPassedOver() throws {
        let path = folder.file("latest")
        let probe = FileSystem.name(of: FileSystem.temporaryPath(for: path))
        let number = try #require(Int(probe.split(separator: "-").last?.dropLast(4) ?? ""))
        let prefix = probe.dropLast("\(number).tmp".count)
        // Others count on meanwhile, so that more than the next name is taken.
        for taken in number + 1...number + 400 { try overwrite(folder.file("\(prefix)\(taken).tmp"), []) }
        try AtomicFile.write("one", to: path)
        #expect(try contents(path) == Array("one".utf8))
        #expect(folder.names.filter { $0.hasSuffix(".tmp") }.count == 400)
    }

    @Test func relativePathsAreMadeAbsolute() {
        #expect(FileSystem.absolute("/a/b") == "/a/b")
        let here = FileManager.default.currentDirectoryPath
        #expect(FileSystem.absolute("a/b") == "\(here)/a/b" && FileSystem.absolute("./a") == "\(here)/a")
    }

    @Test func spaceIsCheckedBeforeWriting() throws {
        #expect(try FileSystem.availableBytes(at: folder.path) > 0)
        let error = #expect(throws: InsufficientSpace.self) { try FileSystem.requireSpace(1 << 60, at: folder.path) }
        #expect(error?.exitStatus == .temporary)
        #expect(error?.description.contains(folder.path) == true)
        let full = FileError("write", path: "/disk/file", code: ENOSPC)
        #expect(full.exitStatus == .temporary && full.description.contains("No space left on device"))
    }

    @Test func pathsAreTakenApart() {
        #expect(FileSystem.parent(of: "/a/b") == "/a" && FileSystem.parent(of: "/a") == "/")
        #expect(FileSystem.parent(of: "a") == "." && FileSystem.parent(of: "a/b/") == "a")
        #expect(FileSystem.name(of: "/a/b") == "b" && FileSystem.name(of: "b/") == "b")
    }
}
