internal import HDF5IO
import Platform
internal import Synchronization

/// Writes one checkpoint: tensors as they come, in any order and in pieces; then all of it appears at once, or nothing.
///
/// Thread-safe; every call blocks on the disk, so none belongs on Swift's cooperative pool.
package final class CheckpointWriter: Sendable {
    package let directory: String
    package let step: Int
    private let temporary: String
    private let state: Mutex<State>

    private struct State {
        let file: HDF5File
        /// The same file for the tensors' bytes, which bypass HDF5: it gives each its place when it is first named.
        let disk: OpenFile
        var tensors: [String: Tensor] = [:]
        var isOver = false
    }

    private struct Tensor {
        let shape: [Int]
        let bytes: Int
        /// From the start of the file; 0 for a tensor without elements.
        let offset: Int
        var pieces: [Piece] = []
        /// The hash of the bytes so far, as long as they have come in order.
        let hash = RunningHash()
        var hashedBytes = 0
        var isInOrder = true
    }

    /// Bytes as they were handed over, so that what is read back can be compared with them.
    private struct Piece: Equatable {
        let offset: Int
        let count: Int
        let hash: XXH128Hash
        static let maximum = 1 << 20
    }

    private init(directory: String, step: Int, temporary: String, file: HDF5File, disk: OpenFile) {
        self.directory = directory
        self.step = step
        self.temporary = temporary
        state = Mutex(State(file: file, disk: disk))
    }

    deinit { cancel() }

    /// Starts the checkpoint of `step` in a directory, which is created if need be.
    ///
    /// `expectedBytes`, the sum of the tensors' sizes, is taken from the disk at once: a disk too full throws
    /// `InsufficientSpace` or a `FileError` here, before anything is written.
    package static func create(directory: String, step: Int, expectedBytes: Int) throws -> CheckpointWriter {
        try FileSystem.createDirectory(directory)
        let bytes = neededBytes(expectedBytes)
        try FileSystem.requireSpace(bytes, at: directory)
        let temporary = FileSystem.temporaryPath(for: "\(directory)/\(CheckpointStore.fileName(step: step))")
        let file: HDF5File
        do { file = try HDF5File.create(temporary, userBlock: CheckpointSeal.bytes) } catch {
            // The file exists even where its first bytes could not be written, so it is removed.
            try? FileSystem.remove(temporary)
            throw error
        }
        do {
            let disk = try OpenFile(temporary, .update)
            try disk.reserve(bytes: bytes)
            for group in ["/model", "/optimizer", "/buffers", "/ema", "/trainer"] { try file.createGroup(group) }
            return CheckpointWriter(
                directory: directory,
                step: step,
                temporary: temporary,
                file: file,
                disk: disk
            )
        } catch {
            file.discard()
            throw error
        }
    }

    /// The room that a checkpoint with tensors of `expectedBytes` must find on the disk, with a margin.
    package static func neededBytes(_ expectedBytes: Int) -> Int {
        // Beside the tensors, HDF5 needs a few hundred bytes for each, and the texts are small.
        expectedBytes + expectedBytes / 50 + 1 << 21
    }

    // MARK: Tensors

    /// Writes a tensor, or the part of it that starts `offset` bytes from its start.
    ///
    /// The full name is `model/<path>`, `buffers/<path>`, `ema/<path>` or `optimizer/<slot>/<path>`, paths in PyTorch's
    /// dotted form; `shape` is the whole tensor's and the same for all its parts. Parts may not overlap; one that comes again
    /// as it came is taken once.
    package func write(_ name: String, shape: [Int], bytes: UnsafeRawBufferPointer, at offset: Int = 0) throws {
        try state.withLock { state in
            try requireActive(state)
            var tensor = try state.tensors[name] ?? allocate(name, shape: shape, in: state)
            guard tensor.shape == shape, offset >= 0, bytes.count <= tensor.bytes, offset <= tensor.bytes - bytes.count
            else {
                throw defect(
                    .inconsistent,
                    .tensor(name),
                    "\(bytes.count) bytes of shape \(shape) at \(offset) do not fit the shape \(tensor.shape)"
                )
            }
            let pieces = stride(from: 0, to: bytes.count, by: Piece.maximum).map { start in
                let piece = UnsafeRawBufferPointer(rebasing: bytes[start..<min(bytes.count, start + Piece.maximum)])
                return Piece(offset: offset + start, count: piece.count, hash: XXH3.hash128(piece))
            }
            // The answer to it was lost with a connection.
            if !pieces.isEmpty, pieces.allSatisfy(tensor.pieces.contains) { return }
            try state.disk.write(bytes, at: tensor.offset + offset)
            tensor.pieces += pieces
            if offset != tensor.hashedBytes, !bytes.isEmpty { tensor.isInOrder = false }
            if tensor.isInOrder {
                tensor.hash.update(bytes)
                tensor.hashedBytes += bytes.count
            }
            state.tensors[name] = tensor
        }
    }

    /// Writes a whole tensor.
    package func write(_ tensor: StateTensor) throws {
        try tensor.values.withUnsafeBytes { try write(tensor.name, shape: tensor.shape, bytes: $0) }
    }

    private func allocate(_ name: String, shape: [Int], in state: State) throws -> Tensor {
        let parts = name.split(separator: "/", omittingEmptySubsequences: false)
        let depth = parts.first == "optimizer" ? 3 : 2
        guard let group = parts.first, StateHash.stateGroups.contains(String(group)), parts.count == depth,
            parts.allSatisfy({ !$0.isEmpty && $0 != "." && $0 != ".." }), !name.utf8.contains(0)
        else {
            throw defect(
                .malformed,
                .tensor(name),
                "expected model/<path>, buffers/<path>, ema/<path> or optimizer/<slot>/<path>"
            )
        }
        guard let bytes = byteCount(ofShape: shape) else {
            throw defect(.malformed, .tensor(name), "the shape \(shape) is impossible")
        }
        let dataset = try state.file.createDataset(
            name,
            of: Float.self,
            shape: shape,
            layout: HDF5Layout(allocatesEarly: true)
        )
        guard let offset = try dataset.contiguousAddress() ?? (bytes == 0 ? 0 : nil) else {
            throw defect(.missing, .tensor(name), "HDF5 did not store it")
        }
        return Tensor(shape: shape, bytes: bytes, offset: offset)
    }

    // MARK: Finishing

    /// Throws unless the tensors so far are exactly `expected`, by name and shape.
    package func require(_ expected: [TensorSignature]) throws {
        try state.withLock { state in
            let wanted = Dictionary(expected.map { ($0.name, $0.shape) }, uniquingKeysWith: { first, _ in first })
            for (name, shape) in wanted.sorted(by: { $0.key < $1.key }) {
                guard let found = state.tensors[name] else {
                    throw defect(.missing, .tensor(name), "no worker has handed it over")
                }
                guard found.shape == shape else {
                    throw defect(.inconsistent, .tensor(name), "its shape is \(found.shape), expected \(shape)")
                }
            }
            if let other = state.tensors.keys.filter({ wanted[$0] == nil }).min() {
                throw defect(.inconsistent, .tensor(other), "this run has no such tensor")
            }
        }
    }

    /// Completes the checkpoint, reads it back, makes it durable and the latest, and removes what `retention` drops.
    ///
    /// Only when this returns may the state before it be forgotten. On an error the temporary file is removed and every
    /// other checkpoint stands as before. What goes wrong once it is safe does not undo it and is told to `warn`.
    @discardableResult
    package func finish(
        trainer: TrainerState,
        retention: RetentionPolicy? = nil,
        warn: (String) -> Void
    ) throws -> CheckpointRecord {
        let path = "\(directory)/\(CheckpointStore.fileName(step: step))"
        do {
            try state.withLock { state in
                try requireActive(state)
                guard trainer.step == step else {
                    throw defect(.inconsistent, .file, "it is for step \(step), but the state is of \(trainer.step)")
                }
                try complete(state, trainer: trainer)
                state.isOver = true
                for (name, tensor) in state.tensors { try readBack(tensor, name: name, disk: state.disk) }
            }
            let written = try CheckpointFile(temporary)
            if let wrong = try written.verify(tensors: false).first ?? written.structureDefects().first { throw wrong }
            try FileSystem.publish(temporary, as: path)
        } catch {
            cancel()
            try? FileSystem.remove(temporary)
            throw error
        }
        let store = CheckpointStore(directory)
        // On a full disk, the removal makes room for writing `latest`.
        do {
            if let retention { try store.prune(retention, knownIntact: step) }
        } catch { warn("\(path) is saved, but older checkpoints could not be removed: \(error)") }
        do { try store.markLatest(step: step) } catch {
            warn("\(path) is saved, but `latest` does not name it: \(error)")
        }
        return CheckpointRecord(step: step, path: path)
    }

    /// Drops the checkpoint; nothing of it remains.
    ///
    /// Does nothing after `finish`.
    package func cancel() {
        state.withLock { state in
            if state.isOver { return }
            state.isOver = true
            state.file.discard()
        }
    }

    /// Writes what describes the tensors, closes HDF5, and seals the file.
    private func complete(_ state: State, trainer: TrainerState) throws {
        let (file, disk) = (state.file, state.disk)
        var entries = try state.tensors.map { name, tensor in
            let hash = try confirm(tensor, name: name, disk: disk)
            try file.setAttribute("sha256", of: name, to: .text(hash.description))
            return CheckpointManifest.Entry(
                name: name,
                kind: .float32,
                shape: tensor.shape,
                offset: tensor.bytes == 0 ? CheckpointSeal.bytes : tensor.offset,
                bytes: tensor.bytes,
                sha256: hash
            )
        }
        for (name, text) in [("trainer/configuration", trainer.configuration), ("trainer/state", trainer.state)] {
            entries.append(try write(text: text, name: name, to: file))
        }
        entries.sort { ($0.offset, $0.bytes, $0.name) < ($1.offset, $1.bytes, $1.name) }
        try writeAttributes(trainer, to: file)

        let manifest = CheckpointManifest(
            network: trainer.network,
            step: trainer.step,
            epoch: trainer.epoch,
            cursor: trainer.cursor,
            numericsProfile: trainer.numericsProfile,
            datasetDigest: trainer.datasetDigest,
            metrics: trainer.metrics,
            entries: entries
        )
        let place = try write(text: try manifest.encoded(), name: "manifest", to: file)
        try file.close()

        let size = try disk.size()
        // Gives back what was reserved and not used.
        try disk.truncate(to: size)
        let structure = try disk.structureHash(
            in: CheckpointSeal.bytes..<size,
            around: entries.map(\.range) + [place.range]
        )
        let seal = CheckpointSeal(
            fileBytes: size,
            manifestOffset: place.offset,
            manifestBytes: place.bytes,
            manifestHash: place.sha256,
            structureHash: structure
        )
        try seal.encoded().withUnsafeBytes { try disk.write($0, at: 0) }
    }

    /// Checks that all of a tensor has come; returns its SHA-256.
    private func confirm(_ tensor: Tensor, name: String, disk: OpenFile) throws -> SHA256Digest {
        var position = 0
        for piece in tensor.pieces.sorted(by: { $0.offset < $1.offset }) where piece.count > 0 {
            guard piece.offset == position else {
                let fault = piece.offset > position ? "never came" : "came twice"
                throw defect(.missing, .tensor(name), "its bytes from \(min(position, piece.offset)) \(fault)")
            }
            position += piece.count
        }
        guard position == tensor.bytes else {
            throw defect(.missing, .tensor(name), "its bytes \(position) to \(tensor.bytes) were not handed over")
        }
        if tensor.isInOrder, let hash = tensor.hash.finish() { return hash }
        var hash = SHA256()
        try readBack(tensor, name: name, disk: disk) { hash.update($0) }
        return hash.finish()
    }

    /// Checks that a tensor stands in the file as it came, and passes its bytes on in order.
    private func readBack(
        _ tensor: Tensor,
        name: String,
        disk: OpenFile,
        _ body: (UnsafeRawBufferPointer) -> Void = { _ in }
    ) throws {
        let largest = tensor.pieces.lazy.map(\.count).max() ?? 0
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: max(1, largest), alignment: 64)
        defer { buffer.deallocate() }
        for piece in tensor.pieces.sorted(by: { $0.offset < $1.offset }) where piece.count > 0 {
            let part = UnsafeMutableRawBufferPointer(rebasing: buffer[..<piece.count])
            guard try disk.read(at: tensor.offset + piece.offset, into: part) == piece.count,
                XXH3.hash128(UnsafeRawBufferPointer(part)) == piece.hash
            else {
                throw defect(
                    .wrongHash,
                    .tensor(name),
                    "what was read back is not what was written: the disk or its driver is faulty"
                )
            }
            body(UnsafeRawBufferPointer(part))
        }
    }

    private func write(text: String, name: String, to file: HDF5File) throws -> CheckpointManifest.Entry {
        try file.write(string: text, to: name, layout: HDF5Layout(allocatesEarly: true))
        guard let offset = try file.dataset(name).contiguousAddress() else {
            throw defect(.missing, .text(name), "HDF5 did not store it")
        }
        // HDF5 has no strings without bytes; it stores an empty one as a zero.
        let bytes = text.isEmpty ? [0] : Array(text.utf8)
        return CheckpointManifest.Entry(
            name: name,
            kind: .text,
            shape: [],
            offset: offset,
            bytes: bytes.count,
            sha256: .of(bytes)
        )
    }

    /// The facts for readers of the HDF5 file; this program reads them from the manifest.
    private func writeAttributes(_ trainer: TrainerState, to file: HDF5File) throws {
        try file.setAttribute("format", to: .text(CheckpointManifest.format))
        try file.setAttribute("version", to: .integer(Int64(CheckpointManifest.version)))
        let texts = [
            ("network", trainer.network), ("numerics_profile", trainer.numericsProfile),
            ("dataset_digest", trainer.datasetDigest),
        ]
        for (name, text) in texts { try file.setAttribute(name, of: "/trainer", to: .text(text)) }
        for (name, number) in [("step", trainer.step), ("epoch", trainer.epoch), ("cursor", trainer.cursor)] {
            try file.setAttribute(name, of: "/trainer", to: .integer(Int64(number)))
        }
        try file.createGroup("/trainer/metrics")
        for (name, number) in trainer.metrics.sorted(by: { $0.key < $1.key }) {
            try file.setAttribute(name, of: "/trainer/metrics", to: .float(number))
        }
    }

    private func requireActive(_ state: State) throws {
        if state.isOver { throw defect(.inconsistent, .file, "the checkpoint is already finished or cancelled") }
    }

    private func defect(
        _ problem: StorageDefect.Problem,
        _ part: StorageDefect.Part,
        _ detail: String
    ) -> StorageDefect {
        StorageDefect(problem, file: "\(directory)/\(CheckpointStore.fileName(step: step))", part: part, detail)
    }
}

extension OpenFile {
    /// The SHA-256 of the bytes in `whole` that are in none of `holes`, in order.
    func structureHash(in whole: Range<Int>, around holes: [Range<Int>]) throws -> SHA256Digest {
        var hash = SHA256()
        try forEachBlock(of: whole, marked: holes, where: { _ in false }) { block, _ in hash.update(block) }
        return hash.finish()
    }

    /// Reads `whole` from front to back in blocks, each inside one of the ranges or in none; tells which.
    ///
    /// `marked` may come in any order and may not overlap; those for which `isRead` is false are passed over. Throws a
    /// `FileError` if the file ends before `whole` does.
    func forEachBlock(
        of whole: Range<Int>,
        marked: [Range<Int>],
        where isRead: (_ mark: Int) -> Bool = { _ in true },
        _ body: (UnsafeRawBufferPointer, _ mark: Int?) throws -> Void
    ) throws {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
        defer { buffer.deallocate() }
        func pass(_ range: Range<Int>, _ mark: Int?) throws {
            var position = range.lowerBound
            while position < range.upperBound {
                let count = min(buffer.count, range.upperBound - position)
                let part = UnsafeMutableRawBufferPointer(rebasing: buffer[..<count])
                guard try read(at: position, into: part) == count else {
                    throw StorageDefect(.truncated, file: path, "it ends before byte \(range.upperBound)")
                }
                try body(UnsafeRawBufferPointer(part), mark)
                position += count
            }
        }
        var position = whole.lowerBound
        let order = marked.indices.filter { !marked[$0].isEmpty }.sorted {
            marked[$0].lowerBound < marked[$1].lowerBound
        }
        for index in order {
            if position < marked[index].lowerBound { try pass(position..<marked[index].lowerBound, nil) }
            if isRead(index) { try pass(marked[index], index) }
            position = marked[index].upperBound
        }
        if position < whole.upperBound { try pass(position..<whole.upperBound, nil) }
    }
}
