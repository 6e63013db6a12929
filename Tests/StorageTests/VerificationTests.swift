import Diagnostics
import Foundation
import Platform
import Storage
import Testing

@Suite("Verification") struct VerificationTests {
    let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func defects(_ path: String) throws -> [StorageDefect] {
        try StorageVerification.verify(path).flatMap(\.defects).compactMap { $0 as? StorageDefect }
    }

    /// The offset of the first pixel of a sample's image in its shard's bytes.
    private func place(of number: Int, in bytes: [UInt8]) throws -> Int {
        let image = ShardSamples.make(number).image
        return try #require((0..<bytes.count - 256).first { Array(bytes[$0..<$0 + 256]) == image })
    }

    @Test func aFlippedPixelNamesShardAndSample() throws {
        try ShardSamples.write(6, perShard: 3, to: folder.path)
        let path = folder.file("shard-00001.h5")
        var bytes = try contents(path)
        bytes[try place(of: 4, in: bytes) + 99] ^= 4
        try overwrite(path, bytes)

        let dataset = try Dataset.open(folder.path)
        for number in [0, 1, 2, 3, 5] { _ = try dataset.planes(number) }
        let error = #expect(throws: StorageDefect.self) { try dataset.planes(4) }
        #expect(error?.part == .sample(1, id: "1.2.276.4") && error?.problem == .wrongHash)
        #expect(error?.description.contains("shard-00001.h5") == true)
        #expect(try defects(folder.path).map(\.part) == [.sample(1, id: "1.2.276.4")])
        #expect(try defects(path).map(\.part) == [.sample(1, id: "1.2.276.4")])
    }

    @Test(.timeLimit(.minutes(15)), arguments: [nil, 6] as [Int?])
    func aFlippedBitAnywhereInAShardIsFound(deflate: Int?) throws {
        let manifest = try ShardSamples.write(3, perShard: 3, deflate: deflate, to: folder.path)
        let path = folder.file("shard-00000.h5")
        let sound = try contents(path)
        #expect(SHA256Digest.of(sound) == manifest.shards[0].sha256)
        var random = TestRandom(state: 5)
        var unnoticed: [Int] = []
        for offset in stride(from: 0, to: sound.count, by: 11) {
            var bytes = sound
            bytes[offset] ^= 1 << UInt8(random.next(below: 8))
            try overwrite(path, bytes)
            if try Dataset.verify(folder.path).isEmpty { unnoticed.append(offset) }
        }
        #expect(unnoticed == [])
    }

    @Test func aFlippedBitAnywhereInTheManifestIsFound() throws {
        try ShardSamples.write(2, perShard: 1, to: folder.path)
        let path = folder.file("dataset.json")
        let sound = try contents(path)
        #expect(try JSONSerialization.jsonObject(with: Data(sound)) is [String: Any])
        for offset in stride(from: 0, to: sound.count, by: 5) {
            var bytes = sound
            bytes[offset] ^= 1
            try overwrite(path, bytes)
            #expect(throws: StorageDefect.self) { try Dataset.open(folder.path) }
        }
        for length in stride(from: 0, to: sound.count, by: 37) {
            try overwrite(path, Array(sound[..<length]))
            #expect(throws: StorageDefect.self) { try Dataset.open(folder.path) }
        }
    }

    @Test func idsAndMetadataThatAreNotThoseThatWereWrittenAreFoundBeforeTraining() throws {
        let manifest = try ShardSamples.write(6, perShard: 3, to: folder.path)
        let path = folder.file("shard-00001.h5")
        let sound = try contents(path)
        for (words, changed) in [
            ("1.2.276.4", "1.2.276.9"), ("patient 2", "patient 7"), ("größe/5.dcm", "größe/7.dcm"),
        ] {
            let place = try #require(sound.firstRange(of: Array(words.utf8)), "\(words)")
            try overwrite(path, sound[..<place.lowerBound] + Array(changed.utf8) + sound[place.upperBound...])
            let error = #expect(throws: StorageDefect.self) { try Dataset.open(folder.path) }
            #expect(error?.problem == .wrongHash && error?.file == path, "\(words)")
            #expect(try defects(folder.path).contains { if case .sample = $0.part { true } else { false } }, "\(words)")
        }
        try overwrite(path, sound)
        #expect(try Dataset.open(folder.path).count == 6)

        // Lists of earlier versions do not know the index.
        var records = manifest.shards
        for shard in records.indices { records[shard].indexDigest = nil }
        let folds = ShardSamples.folds(6)
        try DatasetManifest.publish(
            in: folder.path,
            schema: manifest.schema,
            shards: records,
            folds: folds,
            foldCount: 3
        )
        #expect(try Dataset.open(folder.path).count == 6)
        #expect(try defects(folder.path).isEmpty)
    }

    @Test func tablesBesideTheShardsAreAsTheyWereWritten() throws {
        let manifest = try ShardSamples.write(2, perShard: 1, to: folder.path)
        let list = OutputRecord(folder.path)
        try list.write("kind,path\nfile,a.dcm\n", to: "rejected.csv")
        try list.write("kind,path\n", to: "warnings.csv")
        try list.write("kind,path\n", to: "warnings.csv")
        try DatasetManifest.publish(
            in: folder.path,
            schema: manifest.schema,
            shards: manifest.shards,
            folds: ShardSamples.folds(2),
            foldCount: 3,
            tables: ["rejected.csv", "warnings.csv"]
        )
        #expect(try defects(folder.path).isEmpty)
        let names = ["rejected.csv", "warnings.csv", OutputRecord.fileName]
        for name in names {
            let path = folder.file(name)
            let sound = try contents(path)
            for offset in sound.indices {
                var bytes = sound
                bytes[offset] ^= 1 << UInt8(offset % 8)
                try overwrite(path, bytes)
                #expect(try defects(folder.path).map(\.file) == [path], "\(name), byte \(offset)")
                try overwrite(path, Array(sound[..<offset]))
                #expect(try defects(folder.path).map(\.file) == [path], "\(name) of \(offset) bytes")
            }
            try FileManager.default.removeItem(atPath: path)
            #expect(try defects(folder.path).map(\.file) == [path], "without \(name)")
            try overwrite(path, sound)
        }
        try overwrite(folder.file("rejected.csv"), contents(folder.file("rejected.csv")) + [10])
        #expect(try defects(folder.path).map(\.problem) == [.inconsistent])
        // A copy of the shards alone is sound, and says what it lacks.
        for name in names { try FileManager.default.removeItem(atPath: folder.file(name)) }
        let items = try StorageVerification.verify(folder.path)
        #expect(items.flatMap(\.defects).isEmpty)
        #expect(items.contains { !$0.isChecked && $0.notice?.contains("rejected.csv") == true })
    }

    @Test func missingCutAndForeignShardsAreNamed() throws {
        try ShardSamples.write(6, perShard: 3, to: folder.path)
        let path = folder.file("shard-00001.h5")
        let sound = try contents(path)
        for length in [0, 100, sound.count / 2, sound.count - 1] {
            try overwrite(path, Array(sound[..<length]))
            let error = #expect(throws: StorageDefect.self) { try Dataset.open(folder.path) }
            #expect(error?.problem == .truncated && error?.file == path)
        }
        try overwrite(path, contents(folder.file("shard-00000.h5")))
        #expect(throws: StorageDefect.self) { try Dataset.open(folder.path) }
        try FileManager.default.removeItem(atPath: path)
        let error = #expect(throws: FileError.self) { try Dataset.open(folder.path) }
        #expect(error?.path == path && error?.exitStatus == .missingInput)
        let found = try StorageVerification.verify(folder.path).flatMap(\.defects)
        #expect(found.contains { $0 is FileError })
    }

    @Test func aRunIsVerifiedWhole() throws {
        struct Entry: Codable, Sendable { var a = 1 }
        let checkpoints = folder.file("checkpoints")
        for step in [1, 2] { try CheckpointSamples.write(step: step, to: checkpoints) }
        let journal = try Journal<Entry>.open(folder.file("journal.jsonl")).journal
        for _ in 0..<3 { try journal.append(Entry()) }
        try overwrite(folder.file("metrics.jsonl"), Array("{\"step\":1}\n".utf8))

        let items = try StorageVerification.verify(folder.path)
        #expect(items.map(\.kind).sorted() == ["checkpoint", "checkpoint", "journal", "metrics"])
        #expect(items.allSatisfy { $0.defects.isEmpty })

        var bytes = try contents(folder.file("checkpoints/step-00000002.h5"))
        bytes[bytes.count / 2] ^= 1
        try overwrite(folder.file("checkpoints/step-00000002.h5"), bytes)
        var lines = try contents(folder.file("journal.jsonl"))
        lines[3] ^= 1
        try overwrite(folder.file("journal.jsonl"), lines)
        let damaged = try StorageVerification.verify(folder.path).filter { !$0.defects.isEmpty }
        #expect(damaged.map { FileSystem.name(of: $0.path) } == ["step-00000002.h5", "journal.jsonl"])
    }

    // MARK: The small files of a run

    /// The offsets and bits at which a flip of a file passes for sound.
    private func unnoticedFlips(in path: String) throws -> [Int] {
        let sound = try contents(path)
        #expect(try defects(path).isEmpty)
        var unnoticed: [Int] = []
        for offset in sound.indices {
            for bit: UInt8 in 0..<8 {
                var bytes = sound
                bytes[offset] ^= 1 << bit
                try overwrite(path, bytes)
                if try defects(path).isEmpty { unnoticed.append(8 * offset + Int(bit)) }
            }
        }
        try overwrite(path, sound)
        return unnoticed
    }

    @Test func aFlippedBitAnywhereInASmallFileIsFound() throws {
        struct Entry: Codable, Sendable {
            var text: String
            var number = 1.5
        }
        let journal = try Journal<Entry>.open(folder.file("journal.jsonl")).journal
        for text in ["began", "lost worker 2 @ host J*", "ended"] { try journal.append(Entry(text: text)) }
        #expect(try unnoticedFlips(in: folder.file("journal.jsonl")) == [])

        let lines = (0..<3).map { MetricsFile.line(#"{"kind":"step","step":\#($0),"loss":0.5,"note":"a @ J"}"#) }
        try overwrite(folder.file("metrics.jsonl"), Array((lines.joined(separator: "\n") + "\n").utf8))
        #expect(try MetricsFile.verify(folder.file("metrics.jsonl")) == 3)
        #expect(try unnoticedFlips(in: folder.file("metrics.jsonl")) == [])

        try AtomicFile.write(SealedText.sealed("run:\n  seed: 7 # größer\n"), to: folder.file("config.yaml"))
        #expect(try unnoticedFlips(in: folder.file("config.yaml")) == [])
        try AtomicFile.write(try SealedJSON.encode(["threshold": 0.5]), to: folder.file("rule.json"))
        #expect(try unnoticedFlips(in: folder.file("rule.json")) == [])
    }

    @Test func tornAndCutSmallFiles() throws {
        // What a writer leaves that dies inside a line is no damage; a configuration that is cut short is.
        let line = MetricsFile.line(#"{"kind":"step","step":1}"#) + "\n"
        let metrics = Array((line + line).utf8)
        for length in line.utf8.count...metrics.count {
            try overwrite(folder.file("metrics.jsonl"), Array(metrics[..<length]))
            #expect(try defects(folder.file("metrics.jsonl")).isEmpty, "\(length)")
        }
        let text = Array(SealedText.sealed("run:\n  seed: 7").utf8)
        for length in 0..<text.count {
            try overwrite(folder.file("config.yaml"), Array(text[..<length]))
            #expect(try !defects(folder.file("config.yaml")).isEmpty, "\(length)")
        }
    }

    @Test func aJournalWhoseLastBlockDidNotReachTheDiskIsOnlyTorn() throws {
        struct Entry: Codable, Sendable { var text: String }
        let path = folder.file("journal.jsonl")
        let journal = try Journal<Entry>.open(path).journal
        try journal.append(Entry(text: "a"))
        let whole = try contents(path).count
        try journal.append(Entry(text: String(repeating: "b", count: 2000)))
        var bytes = try contents(path)
        // From a block's start to the end, and a block in the middle.
        for range in [1024..<bytes.count - 1, 512..<1024, whole..<512] {
            var torn = bytes
            for offset in range { torn[offset] = 0 }
            try overwrite(path, torn)
            #expect(try defects(path).isEmpty, "\(range)")
            #expect(try JournalLines(reading: path).count == 1)
        }
        bytes[700] = 0
        try overwrite(path, bytes)
        #expect(try defects(path).map(\.part) == [.line(2)])
    }

    @Test func aNameOfTheLatestThatLeadsNowhereIsFound() throws {
        try CheckpointSamples.write(step: 10, to: folder.file("checkpoints"))
        try overwrite(folder.file("metrics.jsonl"), [])
        #expect(try defects(folder.path).isEmpty)
        for text in ["step-00000011.h5\n", "step-00000010.h5", ""] {
            try overwrite(folder.file("checkpoints/latest"), Array(text.utf8))
            #expect(try defects(folder.path).map(\.file) == [folder.file("checkpoints/latest")], "\(text)")
        }
    }

    @Test func nothingToVerifyIsAnError() throws {
        let empty = #expect(throws: StorageDefect.self) { try StorageVerification.verify(folder.path) }
        #expect(empty?.problem == .missing)
        let absent = #expect(throws: FileError.self) { try StorageVerification.verify(folder.file("absent")) }
        #expect(absent?.exitStatus == .missingInput)
    }

    @Test func aFileOfAnotherKindIsNoDamagedCheckpoint() throws {
        try overwrite(folder.file("notes.txt"), Array("notes".utf8))
        let error = #expect(throws: StorageDefect.self) { try StorageVerification.verify(folder.file("notes.txt")) }
        #expect(error?.problem == .missing && error?.description.contains("nothing to verify") == true)
        // By its name it should be one.
        try overwrite(folder.file("step.h5"), Array("notes".utf8))
        #expect(try !StorageVerification.verify(folder.file("step.h5")).flatMap(\.defects).isEmpty)
    }
}

@Suite("Small files", .timeLimit(.minutes(15))) struct AtomicFileTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    @Test func linksAreFollowed() throws {
        try overwrite(folder.file("target"), [1])
        try FileManager.default.createSymbolicLink(atPath: folder.file("link"), withDestinationPath: "target")
        try AtomicFile.write([2, 3], to: folder.file("link"))
        #expect(try contents(folder.file("target")) == [2, 3])
        #expect(try FileManager.default.destinationOfSymbolicLink(atPath: folder.file("link")) == "target")
        // One that leads nowhere yet makes its target.
        try FileManager.default.createSymbolicLink(atPath: folder.file("loose"), withDestinationPath: "new")
        try AtomicFile.write([4], to: folder.file("loose"))
        #expect(try contents(folder.file("new")) == [4])
        #expect(folder.names == ["link", "loose", "new", "target"])
    }

    @Test func whatIsNoFileIsWrittenTo() throws {
        let path = folder.file("pipe")
        #expect(mkfifo(path, 0o600) == 0)
        let reader = open(path, O_RDONLY | O_NONBLOCK)
        defer { close(reader) }
        try AtomicFile.write([5, 6, 7], to: path)
        var bytes = [UInt8](repeating: 0, count: 8)
        #expect(bytes.withUnsafeMutableBytes { read(reader, $0.baseAddress, 8) } == 3)
        var status = stat()
        #expect(stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFIFO)
        try AtomicFile.write([1], to: "/dev/null")
        #expect(stat("/dev/null", &status) == 0 && status.st_mode & S_IFMT == S_IFCHR)
    }

    @Test func errorsNameThePathThatWasAskedFor() {
        let path = folder.file("absent/x.json")
        let error = #expect(throws: FileError.self) { try AtomicFile.write([1], to: path) }
        #expect(error?.description.hasPrefix("Cannot write \(path): ") == true)
    }

    @Test func aFolderThatCannotBeWrittenToIsNamed() throws {
        try FileSystem.requireWritable(folder.path)
        #expect(folder.names.isEmpty)
        let error = #expect(throws: FileError.self) { try FileSystem.requireWritable("/proc") }
        #expect(error?.description.hasPrefix("Cannot write to /proc: ") == true)
    }
}
