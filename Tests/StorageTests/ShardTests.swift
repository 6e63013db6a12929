import Diagnostics
import Foundation
import Storage
import Testing

/// Samples with every feature, the same each time.
enum ShardSamples {
    static let schema = ShardSchema(size: 16, labelSize: 64, extraMetadata: ["source", "modality"])

    static func make(_ number: Int) -> ShardSample {
        var random = TestRandom(state: UInt64(number))
        let runs =
            number % 3 == 0
            ? []
            : [ShardRun(start: Int32(number), length: 3), ShardRun(start: Int32(number + 100), length: 20)]
        return ShardSample(
            id: "1.2.276.\(number)",
            image: (0..<256).map { _ in UInt8(random.next(below: 64)) },
            mask: (0..<256).map { _ in UInt8(random.next(below: 2)) },
            runs: runs,
            metadata: SampleMetadata(
                patient: "patient \(number / 2)",
                sex: number % 2 == 0 ? "M" : "F",
                view: "PA",
                age: number == 1 ? .nan : Double(40 + number),
                rowSpacing: 0.168,
                columnSpacing: 0.143,
                sourceHeight: 1024,
                sourceWidth: 1000,
                extra: ["source": "größe/\(number).dcm"]
            )
        )
    }

    static func folds(_ count: Int) -> [String: Int] {
        Dictionary(uniqueKeysWithValues: (0..<count).map { ("1.2.276.\($0)", $0 / 2 % 3) })
    }

    /// Writes `count` samples in shards of `perShard` and publishes the data set.
    @discardableResult
    static func write(
        _ count: Int,
        perShard: Int,
        deflate: Int? = nil,
        to directory: String
    ) throws -> DatasetManifest {
        let writer = try ShardWriter(directory: directory, schema: schema, deflate: deflate)
        var records: [ShardRecord] = []
        for (number, start) in stride(from: 0, to: count, by: perShard).enumerated() {
            for sample in start..<min(count, start + perShard) { try writer.append(make(sample)) }
            records.append(try writer.finishShard(number: number, sourceDigest: "samples from \(start)"))
        }
        return try DatasetManifest.publish(
            in: directory,
            schema: schema,
            shards: records,
            folds: folds(count),
            foldCount: 3
        )
    }
}

extension Dataset {
    /// A sample's image and mask.
    func planes(_ sample: Int) throws -> (image: [UInt8], mask: [UInt8]) {
        var image = [UInt8](repeating: 0xAA, count: size * size)
        var mask = image
        try image.withUnsafeMutableBytes { image in
            try mask.withUnsafeMutableBytes { mask in try read(sample, image: image, mask: mask) }
        }
        return (image, mask)
    }
}

@Suite("Shards") struct ShardTests {
    let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    @Test(arguments: [nil, 6] as [Int?])
    func everythingComesBack(deflate: Int?) throws {
        let manifest = try ShardSamples.write(11, perShard: 4, deflate: deflate, to: folder.path)
        #expect(folder.names == ["dataset.json", "shard-00000.h5", "shard-00001.h5", "shard-00002.h5"])
        #expect(manifest.samples == 11 && manifest.positives == 7 && manifest.shards.map(\.samples) == [4, 4, 3])

        let dataset = try Dataset.open(folder.path)
        #expect(dataset.manifest == manifest)
        #expect(dataset.count == 11 && dataset.size == 16 && dataset.labelSize == 64)
        for number in 0..<11 {
            let sample = ShardSamples.make(number)
            let planes = try dataset.planes(number)
            #expect(planes.image == sample.image)
            #expect(planes.mask == sample.mask)
            #expect(Array(dataset.runs(of: number)) == sample.runs)
            #expect(dataset.isPositive(number) == (number % 3 != 0))
            #expect(dataset.id(of: number) == sample.id)
            #expect(dataset.fold(of: number) == number / 2 % 3)
            let metadata = dataset.metadata(of: number)
            #expect(metadata.patient == sample.metadata.patient && metadata.view == "PA")
            #expect(metadata.age == sample.metadata.age || (metadata.age.isNaN && number == 1))
            #expect(metadata.sourceWidth == 1000 && metadata.columnSpacing == 0.143)
            #expect(metadata.extra == ["source": "größe/\(number).dcm", "modality": ""])
        }
        #expect(try Dataset.verify(folder.path).isEmpty)
    }

    @Test func statisticsAreThoseOfThePixels() throws {
        let manifest = try ShardSamples.write(5, perShard: 2, to: folder.path)
        let pixels = (0..<5).flatMap { ShardSamples.make($0).image.map(Double.init) }
        let mean = pixels.reduce(0, +) / Double(pixels.count)
        let variance = pixels.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(pixels.count)
        #expect(abs(manifest.statistics.pixelMean - mean) < 1e-9)
        #expect(abs(manifest.statistics.pixelStandardDeviation - variance.squareRoot()) < 1e-9)
        #expect(manifest.statistics.positives == 3 && manifest.statistics.negatives == 2)
    }

    @Test func digestsAreOfTheContentNotOfTheFile() throws {
        let plain = try ShardSamples.write(6, perShard: 3, to: folder.file("plain"))
        let again = try ShardSamples.write(6, perShard: 3, to: folder.file("again"))
        let packed = try ShardSamples.write(6, perShard: 3, deflate: 9, to: folder.file("packed"))
        let recut = try ShardSamples.write(6, perShard: 2, to: folder.file("recut"))
        let fewer = try ShardSamples.write(5, perShard: 3, to: folder.file("fewer"))
        #expect(again == plain)
        #expect(packed.shards.map(\.contentDigest) == plain.shards.map(\.contentDigest))
        #expect(packed.shards.map(\.sha256) != plain.shards.map(\.sha256))
        #expect(packed.datasetDigest == plain.datasetDigest)
        #expect(recut.datasetDigest == plain.datasetDigest)
        #expect(fewer.datasetDigest != plain.datasetDigest)
    }

    @Test func everyPartOfASampleIsInItsDigest() throws {
        func digest(_ change: (inout ShardSample) -> Void) throws -> SHA256Digest {
            var sample = ShardSamples.make(1)
            change(&sample)
            let writer = try ShardWriter(directory: folder.file(UUID().uuidString), schema: ShardSamples.schema)
            try writer.append(sample)
            return try writer.finishShard(number: 0).contentDigest
        }
        let digests = try [
            digest { _ in }, digest { $0.id += "1" }, digest { $0.image[7] ^= 1 }, digest { $0.mask[7] ^= 1 },
            digest { $0.runs[0].length = 4 }, digest { $0.runs = [] }, digest { $0.metadata.patient = "" },
            digest { $0.metadata.sex = "M" }, digest { $0.metadata.view = "AP" }, digest { $0.metadata.age = 1 },
            digest { $0.metadata.rowSpacing = 1 }, digest { $0.metadata.sourceHeight = 1 },
            digest { $0.metadata.extra["source"] = "" },
        ]
        #expect(Set(digests).count == digests.count)
    }

    @Test func samplesThatDoNotFitAreRefusedAndLeaveTheShardWhole() throws {
        let writer = try ShardWriter(directory: folder.path, schema: ShardSamples.schema)
        let good = ShardSamples.make(1)
        try writer.append(good)
        func refused(_ change: (inout ShardSample) -> Void) {
            var sample = ShardSamples.make(2)
            change(&sample)
            #expect(throws: StorageDefect.self) { try writer.append(sample) }
        }
        refused { $0.id = good.id }
        refused { $0.id = "" }
        refused { $0.image.removeLast() }
        refused { $0.mask.append(0) }
        refused { $0.mask[3] = 2 }
        refused { $0.runs = [ShardRun(start: 4090, length: 7)] }
        refused { $0.runs = [ShardRun(start: 5, length: 3), ShardRun(start: 7, length: 1)] }
        refused { $0.runs = [ShardRun(start: -1, length: 3)] }
        refused { $0.runs = [ShardRun(start: 1, length: 0)] }
        #expect(try writer.finishShard(number: 3).samples == 1)
        #expect(throws: StorageDefect.self) { try writer.finishShard(number: 4) }
        #expect(folder.names == ["shard-00003.h5"])
    }

    @Test func aRunInTheLastPixelIsKept() throws {
        let writer = try ShardWriter(directory: folder.path, schema: ShardSamples.schema)
        var sample = ShardSamples.make(1)
        sample.runs = [ShardRun(start: 4090, length: 6)]
        try writer.append(sample)
        let record = try writer.finishShard(number: 0)
        try DatasetManifest.publish(in: folder.path, schema: ShardSamples.schema, shards: [record])
        let dataset = try Dataset.open(folder.path)
        #expect(Array(dataset.runs(of: 0)) == sample.runs)
        #expect(dataset.fold(of: 0) == nil)
    }

    @Test func readsAreRightFromManyThreads() throws {
        try ShardSamples.write(12, perShard: 5, deflate: 1, to: folder.path)
        let dataset = try Dataset.open(folder.path)
        let wrong = WrongCount()
        DispatchQueue.concurrentPerform(iterations: 400) { turn in
            let number = turn * 7 % 12
            let sample = ShardSamples.make(number)
            guard let planes = try? dataset.planes(number), planes == (sample.image, sample.mask) else {
                return wrong.add()
            }
        }
        #expect(wrong.count == 0)
    }

    // MARK: Resuming

    @Test func finishedShardsAreFoundAfterAKill() throws {
        try ShardSamples.write(9, perShard: 3, to: folder.path)
        try FileManager.default.removeItem(atPath: folder.file("dataset.json"))
        let manifest = try ShardSamples.write(9, perShard: 3, to: folder.file("whole"))
        // A writer that dies leaves its temporary file; another shard is damaged.
        try overwrite(folder.file(".shard.1-1.tmp"), [1, 2, 3])
        var bytes = try contents(folder.file("shard-00001.h5"))
        bytes[bytes.count / 2] ^= 1
        try overwrite(folder.file("shard-00001.h5"), bytes)

        try ShardSet.removeTemporaries(in: folder.path)
        #expect(!folder.names.contains { $0.hasSuffix(".tmp") })
        let found = try ShardSet.finishedShards(in: folder.path, schema: ShardSamples.schema)
        #expect(found.shards.keys.sorted() == [0, 2])
        #expect(found.defects.count == 1)
        #expect(found.shards[2] == manifest.shards[2])

        let writer = try ShardWriter(directory: folder.path, schema: ShardSamples.schema)
        for sample in 3..<6 { try writer.append(ShardSamples.make(sample)) }
        let again = try writer.finishShard(number: 1, sourceDigest: "samples from 3")
        let records = [0: found.shards[0], 1: again, 2: found.shards[2]]
        let resumed = try DatasetManifest.publish(
            in: folder.path,
            schema: ShardSamples.schema,
            shards: (0..<3).compactMap { records[$0] ?? nil },
            folds: ShardSamples.folds(9),
            foldCount: 3
        )
        #expect(resumed == manifest)
    }

    @Test func shardsOfAnotherSchemaAreNotTakenOver() throws {
        try ShardSamples.write(2, perShard: 2, to: folder.path)
        let found = try ShardSet.finishedShards(in: folder.path, schema: ShardSchema(size: 32))
        #expect(found.shards.isEmpty && found.defects.count == 1)
        let nowhere = try ShardSet.finishedShards(in: folder.file("absent"), schema: ShardSamples.schema)
        #expect(nowhere.shards.isEmpty && nowhere.defects.isEmpty)
    }

    @Test func idsInTwoShardsAndMissingFoldsAreRefused() throws {
        let writer = try ShardWriter(directory: folder.path, schema: ShardSamples.schema)
        var records: [ShardRecord] = []
        for number in 0..<2 {
            try writer.append(ShardSamples.make(1))
            records.append(try writer.finishShard(number: number))
        }
        let error = #expect(throws: StorageDefect.self) {
            try DatasetManifest.publish(in: folder.path, schema: ShardSamples.schema, shards: records)
        }
        #expect(error?.description.contains("1.2.276.1") == true)
        #expect(throws: StorageDefect.self) {
            try DatasetManifest.publish(
                in: folder.path,
                schema: ShardSamples.schema,
                shards: [records[0]],
                folds: ["other": 0],
                foldCount: 2
            )
        }
        #expect(throws: StorageDefect.self) { try Dataset.verify(folder.path) }
    }

    @Test(.timeLimit(.minutes(15)))
    func aFullDiskLeavesNoPartOfAShard() async throws {
        try ShardSamples.write(3, perShard: 3, to: folder.path)
        let before = folder.names
        await #expect(processExitsWith: .success) { [path = folder.path as String] in
            // A limit on the size of files stands for the disk.
            signal(SIGXFSZ, SIG_IGN)
            var limit = rlimit(rlim_cur: 40_000, rlim_max: 40_000)
            setrlimit(__rlimit_resource_t(1), &limit)
            let writer = try ShardWriter(directory: path, schema: ShardSamples.schema)
            do {
                for number in 10..<500 { try writer.append(ShardSamples.make(number)) }
                try writer.finishShard(number: 1)
            } catch let error as any ReportableError {
                print(error)
                let isRight = error.exitStatus == .temporary && error.description.contains("limit on the size of files")
                exit(isRight ? 0 : 1)
            }
            exit(2)
        }
        #expect(folder.names == before)
        #expect(try Dataset.verify(folder.path).isEmpty)
    }

    // MARK: h5py

    // Needs python3 with h5py; `Python.hasH5py` prints a line where it is absent.
    @Test(.enabled(if: Python.hasH5py), .timeLimit(.minutes(15)), arguments: [nil, 4] as [Int?])
    func h5pyReadsShards(deflate: Int?) throws {
        try ShardSamples.write(3, perShard: 3, deflate: deflate, to: folder.path)
        let text = try Python.run(
            """
            import h5py, sys, zlib
            f = h5py.File(sys.argv[1])
            print(f.attrs['format'].decode(), f.attrs['schema_version'], f.attrs['label_size'])
            print(f['images'].shape, f['images'].dtype, f['images'].chunks, f['images'].compression)
            print(f['masks'].shape, f['masks'].dtype, set(f['masks'][()].ravel().tolist()))
            print([zlib.crc32(f['images'][i].tobytes()) for i in range(3)])
            print([s.decode() for s in f['ids'][()]], f['metadata/source'].asstr()[2])
            print(f['runs'][()].tolist(), f['run_offsets'][()].tolist(), f['runs'].attrs['label_size'])
            print(f['metadata/age'][()].tolist(), f['metadata/spacing'][0].tolist(), f['images_xxh3'].dtype)
            """,
            [folder.file("shard-00000.h5")]
        )
        let lines = text.split(separator: "\n").map(String.init)
        try #require(lines.count == 7, "\(text)")
        #expect(lines[0] == "pleura-shard 1 64")
        #expect(lines[1] == "(3, 16, 16, 1) uint8 (1, 16, 16, 1) \(deflate == nil ? "None" : "gzip")")
        #expect(lines[2] == "(3, 16, 16) uint8 {0, 1}")
        let sums = try Python.run(
            "import sys, zlib; print([zlib.crc32(bytes.fromhex(h)) for h in sys.argv[1:]])",
            (0..<3).map { ShardSamples.make($0).image.map { String(format: "%02x", $0) }.joined() }
        )
        #expect(lines[3] + "\n" == sums)
        #expect(lines[4] == "['1.2.276.0', '1.2.276.1', '1.2.276.2'] größe/2.dcm")
        #expect(lines[5] == "[[1, 3], [101, 20], [2, 3], [102, 20]] [0, 0, 2, 4] 64")
        #expect(lines[6] == "[40.0, nan, 42.0] [0.168, 0.143] uint64")
    }
}

/// Counts from many threads.
final class WrongCount: @unchecked Sendable {
    // Guarded by `lock`.
    private var total = 0
    private let lock = NSLock()

    func add() { lock.withLock { total += 1 } }
    var count: Int { lock.withLock { total } }
}
