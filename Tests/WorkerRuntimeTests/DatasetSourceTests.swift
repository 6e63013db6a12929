import CoordinatorRuntime
import Foundation
import Messaging
import Platform
import Storage
import Synchronization
import TestSupport
import Testing
import WorkerRuntime

/// Where a worker takes its data set from, over a real connection to a coordinator's files.
@Suite(.serialized, .timeLimit(.minutes(15)))
final class DatasetSourceTests {
    private let folder: TemporaryFolder
    private let manifest: DatasetManifest
    private let keeper: CheckpointKeeper
    private let bulk: BulkClient
    private let pieces = Counter()
    private let notices = Mutex<[String]>([])

    private final class Counter: Sendable {
        let count = Atomic<Int>(0)
    }

    init() throws {
        folder = try TemporaryFolder()
        manifest = try NoiseShards.write(to: folder.file("served"))
        keeper = try CheckpointKeeper(
            bind: ["tcp://127.0.0.1:*"],
            directory: folder.file("checkpoints"),
            shards: folder.file("served"),
            tensors: [],
            retention: RetentionPolicy(keepLast: 1)
        ) { _ in }
        bulk = try BulkClient(endpoint: try #require(keeper.endpoints.first), identity: .random(role: "bulk"))
    }

    deinit {
        bulk.close()
        keeper.close()
    }

    private var cached: String { "\(folder.file("cache"))/\("\(manifest.datasetDigest)".prefix(32))" }
    private var fetches: Int { notices.withLock { $0.count { $0.contains("fetching") } } }

    private func open(
        shards: String? = nil,
        configured: String = "nowhere",
        cacheLimit: Int? = nil
    ) throws -> Dataset {
        let pieces = pieces
        return try DatasetSource(
            digest: "\(manifest.datasetDigest)",
            shards: shards,
            configured: configured,
            cache: folder.file("cache"),
            cacheLimit: cacheLimit,
            noteProgress: { pieces.count.add(1, ordering: .relaxed) }
        ).open(fetchingFrom: bulk) { notice in notices.withLock { $0.append(notice) } }
    }

    @Test func whatIsFetchedIsKept() throws {
        let dataset = try open()
        #expect(dataset.manifest == manifest && dataset.directory == cached)
        #expect(try Dataset.verify(cached).isEmpty)
        // Each file is a sign that the worker gets on.
        let signs = pieces.count.load(ordering: .relaxed)
        #expect(signs >= 3)
        #expect(try open().manifest == manifest)
        #expect(fetches == 1 && pieces.count.load(ordering: .relaxed) == signs)
        let names = try FileManager.default.contentsOfDirectory(atPath: cached).sorted()
        #expect(names == ["dataset.json", "shard-00000.h5", "shard-00001.h5"])
    }

    @Test func theConfiguredFolderIsUsedWhereItHasTheJobsShards() throws {
        #expect(try open(configured: folder.file("served")).directory == folder.file("served"))
        #expect(fetches == 0)
    }

    @Test func anotherDataSetInTheConfiguredFolderIsPassedOver() throws {
        try NoiseShards.write(seed: 9, to: folder.file("stale"))
        let dataset = try open(configured: folder.file("stale"))
        #expect(dataset.manifest == manifest && dataset.directory == cached)
    }

    @Test func aDamagedConfiguredFolderIsPassedOver() throws {
        try FileManager.default.createDirectory(atPath: folder.file("broken"), withIntermediateDirectories: true)
        try Data("{}".utf8).write(to: URL(fileURLWithPath: folder.file("broken/dataset.json")))
        #expect(try open(configured: folder.file("broken")).directory == cached)
    }

    @Test func namedShardsAreBinding() throws {
        #expect(try open(shards: folder.file("served")).directory == folder.file("served"))
        let other = try NoiseShards.write(seed: 9, to: folder.file("other"))
        #expect {
            try open(shards: folder.file("other"), configured: folder.file("served"))
        } throws: { error in
            ["--shards", "\(other.datasetDigest)", "\(manifest.datasetDigest)"].allSatisfy { "\(error)".contains($0) }
        }
        #expect {
            try open(shards: folder.file("missing"), configured: folder.file("served"))
        } throws: { error in
            ["--shards", "missing", "dataset.json"].allSatisfy { "\(error)".contains($0) }
        }
        #expect(fetches == 0)
    }

    @Test(arguments: ["shard-00001.h5", "dataset.json"])
    func aDamagedCacheIsFetchedOnceMore(file: String) throws {
        _ = try open()
        let path = URL(fileURLWithPath: "\(cached)/\(file)")
        let whole = try Data(contentsOf: path)
        try whole.prefix(whole.count / 2).write(to: path)
        #expect(try open().manifest == manifest)
        #expect(try Data(contentsOf: path) == whole)
        #expect(fetches == 2)
    }

    @Test func aPartLeftByAnInterruptedFetchIsTakenUp() throws {
        _ = try open()
        let (shard, manifest) = ("\(cached)/shard-00001.h5", "\(cached)/dataset.json")
        for path in [shard, manifest] { try FileManager.default.removeItem(atPath: path) }
        let signs = pieces.count.load(ordering: .relaxed)
        #expect(try open().manifest == self.manifest)
        // The manifest and one shard.
        #expect(pieces.count.load(ordering: .relaxed) == signs + 2)
    }

    @Test func shardsThatWereMadeAgainMeanwhileAreRefused() throws {
        try FileManager.default.removeItem(atPath: folder.file("served"))
        let now = try NoiseShards.write(seed: 9, to: folder.file("served"))
        #expect {
            try open()
        } throws: { error in
            ["\(now.datasetDigest)", "\(manifest.datasetDigest)"].allSatisfy { "\(error)".contains($0) }
        }
    }

    @Test func aCacheKeepsItsLimitByRemovingWhatWasUnusedForTheLongest() throws {
        let bytes = manifest.shards.reduce(0) { $0 + $1.bytes }
        // Two older data sets, the first the older one; a third is in use; something else stands beside them.
        let names = ["a", "b", "c"].map { String(repeating: $0, count: 32) }
        for (age, name) in names.enumerated() {
            let path = folder.file("cache/\(name)")
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
            try Data(count: bytes).write(to: URL(fileURLWithPath: "\(path)/shard-00000.h5"))
            try Data().write(to: URL(fileURLWithPath: "\(path).used"))
            let date = Date(timeIntervalSinceNow: Double(age) * 1000 - 100_000)
            try FileManager.default.setAttributes([.modificationDate: date], ofItemAtPath: "\(path).used")
        }
        try Data(count: bytes).write(to: URL(fileURLWithPath: folder.file("cache/notes.txt")))
        let inUse = try OpenFile(folder.file("cache/\(names[2]).used"), .read)
        #expect(flock(inUse.descriptor, LOCK_SH) == 0)
        func kept() -> [Bool] { names.map { FileSystem.exists(folder.file("cache/\($0)")) } }

        // Smaller than the data set: refused, and nothing is removed.
        #expect(throws: WorkerError.self) { try open(cacheLimit: bytes - 1) }
        #expect(kept() == [true, true, true])
        // Room for three: the oldest goes.
        _ = try open(cacheLimit: 3 * bytes + bytes / 2)
        #expect(kept() == [false, true, true])
        #expect(try Dataset.verify(cached).isEmpty)
        // Present already: nothing is fetched, and nothing removed, whatever the limit.
        _ = try open(cacheLimit: 1)
        #expect(kept() == [false, true, true] && FileSystem.exists(folder.file("cache/notes.txt")))
        // Room for one beside the one in use, which stays; the data set itself is fetched again.
        try FileManager.default.removeItem(atPath: cached)
        _ = try open(cacheLimit: 2 * bytes + bytes / 2)
        #expect(kept() == [false, false, true])
        // No room beside the one in use.
        try FileManager.default.removeItem(atPath: cached)
        #expect(throws: WorkerError.self) { try open(cacheLimit: bytes + bytes / 2) }
        #expect(kept() == [false, false, true])
        withExtendedLifetime(inUse) {}
    }
}
