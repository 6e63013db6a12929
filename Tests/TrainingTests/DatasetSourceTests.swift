import Foundation
import Messaging
import Storage
import Synchronization
import Testing
import Training

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

    private func open(shards: String? = nil, configured: String = "nowhere") throws -> Dataset {
        let pieces = pieces
        return try DatasetSource(
            digest: "\(manifest.datasetDigest)",
            shards: shards,
            configured: configured,
            cache: folder.file("cache"),
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
}
