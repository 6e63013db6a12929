import Diagnostics
import Foundation
import HDF5IO
import Platform
import Storage
import Testing

/// A small state with every group of tensors and awkward shapes.
enum CheckpointSamples {
    static let names = ["encoder.conv1.weight", "encoder.bn1.weight", "decoder.0.bias"]
    static let shapes = [[4, 3, 7, 7], [64], [1000]]

    static func tensors(step: Int = 0) -> [StateTensor] {
        var random = TestRandom(state: UInt64(step) &+ 99)
        func tensor(_ name: String, _ shape: [Int]) -> StateTensor {
            let values = (0..<shape.reduce(1, *)).map { _ in Float(random.next(below: 1 << 24)) / 1000 - 5000 }
            return StateTensor(name: name, shape: shape, values: values)
        }
        var tensors: [StateTensor] = []
        for (name, shape) in zip(names, shapes) {
            for prefix in ["model", "optimizer/momentum", "optimizer/variance", "ema"] {
                tensors.append(tensor("\(prefix)/\(name)", shape))
            }
        }
        tensors.append(tensor("buffers/encoder.bn1.running_mean", [64]))
        tensors.append(tensor("buffers/encoder.bn1.scalar", []))
        tensors.append(tensor("model/empty", [0, 3]))
        return tensors
    }

    static func trainer(step: Int, metrics: [String: Double] = [:]) -> TrainerState {
        TrainerState(
            network: "unet-small",
            step: step,
            epoch: step / 10,
            cursor: step % 10 * 8,
            configuration: "run:\n  größe: 1\n",
            numericsProfile: "fp32",
            datasetDigest: "abc",
            metrics: metrics,
            state: #"{"schedule":{"best":0.5}}"#
        )
    }

    /// Writes a checkpoint in one go.
    @discardableResult
    static func write(
        step: Int,
        metrics: [String: Double] = [:],
        retention: RetentionPolicy? = nil,
        to directory: String
    ) throws -> CheckpointRecord {
        let tensors = tensors(step: step)
        let writer = try CheckpointWriter.create(
            directory: directory,
            step: step,
            expectedBytes: tensors.reduce(0) { $0 + $1.values.count * 4 }
        )
        for tensor in tensors { try writer.write(tensor) }
        return try writer.finish(trainer: trainer(step: step, metrics: metrics), retention: retention) { warning in
            Issue.record("\(warning)")
        }
    }

    static var signatures: [TensorSignature] {
        tensors().filter { $0.name.hasPrefix("model/") || $0.name.hasPrefix("buffers/") }
            .map { TensorSignature($0.name, $0.shape) }
    }
}

@Suite("Checkpoints") struct CheckpointTests {
    let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func defects(_ path: String) -> [StorageDefect] {
        CheckpointStore.verify(path).compactMap { $0 as? StorageDefect }
    }

    @Test func everythingComesBack() throws {
        let record = try CheckpointSamples.write(step: 1200, metrics: ["dice": 0.75, "loss": .nan], to: folder.path)
        #expect(record.path == folder.file("step-00001200.h5"))
        #expect(folder.names == ["latest", "step-00001200.h5"])
        #expect(try contents(folder.file("latest")) == Array("step-00001200.h5\n".utf8))
        #expect(CheckpointStore.verify(record.path).isEmpty)

        let loaded = try CheckpointStore.load(record.path)
        let metrics = loaded.trainer.metrics
        #expect(metrics["dice"] == 0.75 && metrics["loss"]?.isNaN == true && metrics.count == 2)
        var trainer = loaded.trainer
        trainer.metrics = [:]
        #expect(trainer == CheckpointSamples.trainer(step: 1200))
        let tensors = CheckpointSamples.tensors(step: 1200)
        #expect(Set(loaded.tensors.map(\.name)) == Set(tensors.map(\.name)))
        for tensor in tensors {
            #expect(try loaded.values(of: tensor.name) == tensor.values)
            #expect(loaded.shape(of: tensor.name) == tensor.shape)
        }
        #expect(throws: StorageDefect.self) { try loaded.values(of: "model/absent") }
        #expect(throws: StorageDefect.self) { try loaded.values(of: "trainer/state") }
    }

    @Test func piecesMayComeInAnyOrder() throws {
        let tensors = CheckpointSamples.tensors()
        let large = StateTensor(name: "model/large", shape: [700_001], values: (0..<700_001).map { Float($0) })
        let whole = try CheckpointWriter.create(directory: folder.file("whole"), step: 5, expectedBytes: 1 << 22)
        for tensor in tensors + [large] { try whole.write(tensor) }
        let one = try whole.finish(trainer: CheckpointSamples.trainer(step: 5)) { Issue.record("\($0)") }

        let parts = try CheckpointWriter.create(directory: folder.file("parts"), step: 5, expectedBytes: 0)
        var pieces: [(StateTensor, Range<Int>)] = []
        for tensor in tensors + [large] {
            let bytes = tensor.values.count * 4
            let size = tensor.name == "model/large" ? 333_333 : 97
            if bytes == 0 { pieces.append((tensor, 0..<0)) }
            for start in stride(from: 0, to: bytes, by: size) {
                pieces.append((tensor, start..<min(bytes, start + size)))
            }
        }
        var random = TestRandom(state: 3)
        for index in pieces.indices { pieces.swapAt(index, random.next(below: pieces.count)) }
        for (tensor, range) in pieces {
            try tensor.values.withUnsafeBytes {
                try parts.write(
                    tensor.name,
                    shape: tensor.shape,
                    bytes: UnsafeRawBufferPointer(rebasing: $0[range]),
                    at: range.lowerBound
                )
            }
        }
        let two = try parts.finish(trainer: CheckpointSamples.trainer(step: 5)) { Issue.record("\($0)") }
        let (first, second) = try (CheckpointStore.load(one.path), CheckpointStore.load(two.path))
        #expect(try first.stateHash() == second.stateHash())
        #expect(try second.values(of: "model/large") == large.values)
    }

    @Test func tensorsThatDidNotComeWholeAreNamed() throws {
        func failure(_ body: (CheckpointWriter) throws -> Void) throws -> StorageDefect? {
            let writer = try CheckpointWriter.create(directory: folder.path, step: 1, expectedBytes: 0)
            do {
                try body(writer)
                try writer.finish(trainer: CheckpointSamples.trainer(step: 1)) { _ in }
                return nil
            } catch { return error as? StorageDefect }
        }
        let bytes = [UInt8](repeating: 1, count: 400)
        func write(_ writer: CheckpointWriter, _ range: Range<Int>, _ name: String = "model/a", _ shape: [Int] = [100])
            throws
        {
            try bytes.withUnsafeBytes {
                try writer.write(
                    name,
                    shape: shape,
                    bytes: UnsafeRawBufferPointer(rebasing: $0[range]),
                    at: range.lowerBound
                )
            }
        }
        let tail = try failure { try write($0, 0..<399) }
        #expect(tail?.problem == .missing && tail?.part == .tensor("model/a"))
        let hole = try failure {
            try write($0, 0..<100)
            try write($0, 101..<400)
        }
        #expect(hole?.problem == .missing && hole?.description.contains("100") == true)
        let twice = try failure {
            try write($0, 0..<200)
            try write($0, 100..<400)
        }
        #expect(twice?.problem == .missing && twice?.description.contains("twice") == true)
        for name in [
            "a", "model", "model/", "model/a/b", "optimizer/a", "trainer/a", "model/..", "/model/a", "model/a\0",
        ] {
            #expect(try failure { try write($0, 0..<400, name) } != nil, "\(name)")
        }
        #expect(try failure { try write($0, 0..<400, "model/a", [99]) } != nil)
        #expect(try failure { try write($0, 0..<400, "model/a", [-1]) } != nil)
        #expect(try failure { try write($0, 0..<400, "model/a", [1 << 32, 1 << 32]) } != nil)
        #expect(
            try failure {
                try write($0, 0..<200)
                try write($0, 200..<400, "model/a", [10, 10])
            } != nil
        )
        #expect(try failure { _ in } == nil)
        #expect(folder.names == ["latest", "step-00000001.h5"])
    }

    @Test func aCancelledCheckpointLeavesNothing() throws {
        let writer = try CheckpointWriter.create(directory: folder.path, step: 1, expectedBytes: 0)
        try writer.write(CheckpointSamples.tensors()[0])
        #expect(folder.names.count == 1)
        writer.cancel()
        #expect(folder.names.isEmpty)
        #expect(throws: StorageDefect.self) { try writer.write(CheckpointSamples.tensors()[0]) }
        #expect(throws: StorageDefect.self) { try writer.finish(trainer: CheckpointSamples.trainer(step: 1)) { _ in } }
        do { _ = try CheckpointWriter.create(directory: folder.path, step: 1, expectedBytes: 0) }
        #expect(folder.names.isEmpty)
    }

    @Test func equalStatesAreEqualFiles() throws {
        let one = try CheckpointSamples.write(step: 3, to: folder.file("one"))
        let two = try CheckpointSamples.write(step: 3, to: folder.file("two"))
        #expect(try contents(one.path) == contents(two.path))
    }

    // MARK: Damage

    @Test(.timeLimit(.minutes(15)))
    func aFlippedBitAnywhereIsFoundAndNamed() throws {
        let record = try CheckpointSamples.write(step: 7, metrics: ["dice": 0.5], to: folder.path)
        let sound = try contents(record.path)
        var places: [(name: String, range: Range<Int>)] = []
        do {
            let file = try HDF5File.open(record.path)
            for tensor in CheckpointSamples.tensors() where !tensor.values.isEmpty {
                let start = try #require(try file.dataset(tensor.name).contiguousAddress())
                places.append((tensor.name, start..<start + tensor.values.count * 4))
            }
            try file.close()
        }
        let path = folder.file("flipped.h5")
        var random = TestRandom(state: 1)
        // Every byte of the seal, and a fine comb over the rest.
        let offsets = Array(0..<512) + stride(from: 512, to: sound.count, by: 31)
        var unnoticed: [Int] = []
        var misnamed: [Int] = []
        for offset in offsets {
            var bytes = sound
            bytes[offset] ^= 1 << UInt8(random.next(below: 8))
            try overwrite(path, bytes)
            let found = CheckpointStore.verify(path)
            if found.isEmpty { unnoticed.append(offset) }
            guard let place = places.first(where: { $0.range.contains(offset) }) else { continue }
            if (found.first as? StorageDefect)?.part != .tensor(place.name) || found.count != 1 {
                misnamed.append(offset)
            }
        }
        #expect(unnoticed == [])
        #expect(misnamed == [])
    }

    @Test func cutFilesAreFound() throws {
        let record = try CheckpointSamples.write(step: 7, to: folder.path)
        let sound = try contents(record.path)
        let path = folder.file("cut.h5")
        let lengths = [0, 1, 511, 512, 513] + Array(stride(from: 600, to: sound.count, by: 997)) + [sound.count - 1]
        for length in lengths {
            try overwrite(path, Array(sound[..<length]))
            let found = defects(path)
            #expect(found.first?.problem == .truncated, "\(length)")
        }
        try overwrite(path, sound + [0])
        #expect(defects(path).contains { $0.part == .structure })
    }

    @Test func otherFilesAreRefused() throws {
        let path = folder.file("other.h5")
        try overwrite(path, Array(repeating: 7, count: 5000))
        #expect(defects(path).first?.problem == .foreign)
        let shard = try HDF5File.create(folder.file("plain.h5"))
        try shard.write([Float](repeating: 0, count: 1000), to: "model/a")
        try shard.close()
        #expect(defects(folder.file("plain.h5")).first?.problem == .foreign)
        let absent = CheckpointStore.verify(folder.file("absent.h5"))
        #expect((absent.first as? FileError)?.exitStatus == .missingInput)
    }

    // Needs python3 with h5py; `Python.hasH5py` prints a line where it is absent.
    @Test(.enabled(if: Python.hasH5py), .timeLimit(.minutes(15)))
    func aTensorRemovedOrChangedByOthersIsNamed() throws {
        let record = try CheckpointSamples.write(step: 7, to: folder.path)
        let sound = try contents(record.path)
        _ = try Python.run(
            "import h5py, sys\nwith h5py.File(sys.argv[1], 'r+') as f: del f['model/encoder.bn1.weight']",
            [record.path]
        )
        let removed = defects(record.path)
        #expect(removed.contains { $0.problem == .missing && $0.part == .tensor("model/encoder.bn1.weight") })
        #expect(throws: (any Error).self) { try CheckpointStore.load(record.path) }

        try overwrite(record.path, sound)
        _ = try Python.run(
            "import h5py, sys\nwith h5py.File(sys.argv[1], 'r+') as f: f['ema/encoder.bn1.weight'][3] = 0",
            [record.path]
        )
        #expect(defects(record.path).contains { $0.part == .tensor("ema/encoder.bn1.weight") })

        try overwrite(record.path, sound)
        _ = try Python.run(
            "import h5py, sys\nwith h5py.File(sys.argv[1], 'r+') as f: f['model/more'] = [1.0]",
            [record.path]
        )
        #expect(!defects(record.path).isEmpty)
    }

    // MARK: Another network

    @Test func anotherNetworkIsRefusedWithTheFirstDifferences() throws {
        let record = try CheckpointSamples.write(step: 7, to: folder.path)
        let loaded = try CheckpointStore.load(record.path)
        let signatures = CheckpointSamples.signatures
        try loaded.require(signatures, network: "unet-small")
        #expect(throws: StorageDefect.self) { try loaded.require(signatures, network: "unet") }

        let other =
            signatures.filter { $0.name != "model/decoder.0.bias" && $0.name != "model/encoder.bn1.weight" } + [
                TensorSignature("model/encoder.bn1.weight", [65]), TensorSignature("model/head.weight", [1]),
            ]
        let error = #expect(throws: StorageDefect.self) { try loaded.require(other, network: "unet") }
        #expect(error?.problem == .foreign)
        let text = error?.description ?? ""
        #expect(text.contains("model/encoder.bn1.weight is [64], not [65]"))
        #expect(text.contains("model/head.weight is missing"))
        #expect(text.contains("model/decoder.0.bias is not in this network"))
        #expect(text.contains("unet-small"))
    }

    // MARK: Hashes

    @Test func hashesOfFilesAreThoseOfMemory() throws {
        let record = try CheckpointSamples.write(step: 7, to: folder.path)
        let loaded = try CheckpointStore.load(record.path)
        let tensors = CheckpointSamples.tensors(step: 7)
        #expect(try loaded.stateHash() == StateHash.of(tensors))
        let weights = tensors.filter { $0.name.hasPrefix("model/") || $0.name.hasPrefix("buffers/") }
        #expect(try loaded.weightsHash() == StateHash.of(weights))
        #expect(try loaded.weightsHash() != loaded.stateHash())
    }

    // Needs python3 with h5py; `Python.hasH5py` prints a line where it is absent.
    @Test(.enabled(if: Python.hasH5py), .timeLimit(.minutes(15)))
    func h5pyReadsCheckpoints() throws {
        let record = try CheckpointSamples.write(step: 7, metrics: ["dice": 0.5], to: folder.path)
        let text = try Python.run(
            """
            import h5py, sys, hashlib, json
            f = h5py.File(sys.argv[1])
            w = f['model/encoder.conv1.weight']
            print(w.shape, w.dtype, hashlib.sha256(w[()].tobytes()).hexdigest() == w.attrs['sha256'].decode())
            def digest(groups):
                h, names = hashlib.sha256(), []
                f.visititems(lambda n, o: names.append(n) if isinstance(o, h5py.Dataset) else None)
                for n in sorted(n for n in names if n.split('/')[0] in groups):
                    d = f[n]
                    h.update(n.encode() + b'\\0float32\\0' + ','.join(map(str, d.shape)).encode() + b'\\0')
                    h.update(d[()].astype('<f4').tobytes())
                return h.hexdigest()
            print(digest(['model', 'buffers']))
            print(digest(['model', 'buffers', 'optimizer', 'ema']))
            t = f['trainer']
            print(t.attrs['step'], t.attrs['epoch'], t.attrs['cursor'], t.attrs['network'].decode())
            print(repr(t['configuration'][()].decode()), json.loads(t['state'][()])['schedule']['best'])
            print(t['metrics'].attrs['dice'], len(json.loads(f['manifest'][()])['entries']))
            """,
            [record.path]
        )
        let lines = text.split(separator: "\n").map(String.init)
        try #require(lines.count == 6, "\(text)")
        let loaded = try CheckpointStore.load(record.path)
        #expect(lines[0] == "(4, 3, 7, 7) float32 True")
        #expect(lines[1] == "\(try loaded.weightsHash())")
        #expect(lines[2] == "\(try loaded.stateHash())")
        #expect(lines[3] == "7 0 56 unet-small")
        #expect(lines[4] == #"'run:\n  größe: 1\n' 0.5"#)
        #expect(lines[5] == "0.5 \(CheckpointSamples.tensors().count + 2)")
    }
}
