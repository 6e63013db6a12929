import Platform

/// A checkpoint open for reading: its trainer's state, and its tensors by name.
///
/// Thread-safe; tensors are read and checked when asked for.
package struct CheckpointContents: Sendable {
    /// The file it was loaded from.
    package var path: String { file.path }
    package let trainer: TrainerState
    /// All tensors, in order of their names' bytes.
    package let tensors: [TensorSignature]
    private let file: CheckpointFile
    private let entries: [String: CheckpointManifest.Entry]

    init(_ file: CheckpointFile) throws {
        self.file = file
        entries = Dictionary(file.manifest.entries.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        tensors = file.manifest.entries.filter { $0.kind == .float32 }.map { TensorSignature($0.name, $0.shape) }
            .sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
        let manifest = file.manifest
        trainer = TrainerState(
            network: manifest.network,
            step: manifest.step,
            epoch: manifest.epoch,
            cursor: manifest.cursor,
            configuration: try Self.text("trainer/configuration", file, entries),
            numericsProfile: manifest.numericsProfile,
            datasetDigest: manifest.datasetDigest,
            metrics: manifest.metrics,
            state: try Self.text("trainer/state", file, entries)
        )
    }

    private static func text(
        _ name: String,
        _ file: CheckpointFile,
        _ entries: [String: CheckpointManifest.Entry]
    ) throws -> String {
        guard let entry = entries[name], entry.kind == .text else {
            throw StorageDefect(.missing, file: file.path, part: .text(name), "the checkpoint does not have it")
        }
        let bytes = try file.disk.bytes(in: entry.range)
        guard SHA256Digest.of(bytes) == entry.sha256, let text = String(validating: bytes, as: UTF8.self) else {
            throw StorageDefect(.wrongHash, file: file.path, part: .text(name), "its bytes are not those written")
        }
        return text == "\0" ? "" : text
    }

    // MARK: Tensors

    /// The tensor's shape, or nil if the checkpoint has none of that name.
    package func shape(of name: String) -> [Int]? {
        guard let entry = entries[name], entry.kind == .float32 else { return nil }
        return entry.shape
    }

    /// Reads a tensor's bytes into a buffer of exactly their size, and checks them after they are there.
    package func read(_ name: String, into buffer: UnsafeMutableRawBufferPointer) throws {
        guard let entry = entries[name], entry.kind == .float32 else {
            throw StorageDefect(.missing, file: path, part: .tensor(name), "the checkpoint does not have it")
        }
        guard buffer.count == entry.bytes else {
            throw StorageDefect(
                .foreign,
                file: path,
                part: .tensor(name),
                "expected \(buffer.count) bytes, found the shape \(entry.shape)"
            )
        }
        guard try file.disk.read(at: entry.offset, into: buffer) == entry.bytes else {
            throw StorageDefect(.truncated, file: path, part: .tensor(name), "the file ends inside it")
        }
        guard SHA256Digest.of(UnsafeRawBufferPointer(buffer)) == entry.sha256 else { throw wrongHash(entry) }
    }

    private func wrongHash(_ entry: CheckpointManifest.Entry) -> StorageDefect {
        StorageDefect(.wrongHash, file: path, part: entry.part, "its bytes are not those written (SHA-256 differs)")
    }

    /// Reads a tensor.
    package func values(of name: String) throws -> [Float] {
        guard let entry = entries[name], entry.kind == .float32 else {
            throw StorageDefect(.missing, file: path, part: .tensor(name), "the checkpoint does not have it")
        }
        var values = [Float](repeating: 0, count: entry.bytes / 4)
        try values.withUnsafeMutableBytes { try read(name, into: $0) }
        return values
    }

    // MARK: Fitting

    /// Refuses the checkpoint unless its tensors of `groups` are exactly `expected`, by name and shape.
    ///
    /// `network` is what the caller runs. The error lists the first differences.
    package func require(
        _ expected: [TensorSignature],
        network: String,
        groups: Set<String> = StateHash.weightGroups
    ) throws(StorageDefect) {
        let found = tensors.filter { tensor in groups.contains { tensor.name.hasPrefix($0 + "/") } }
        let wanted = Dictionary(expected.map { ($0.name, $0.shape) }, uniquingKeysWith: { first, _ in first })
        var differences: [String] = []
        for tensor in expected.sorted(by: { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }) {
            guard let shape = shape(of: tensor.name) else {
                differences.append("\(tensor.name) is missing")
                continue
            }
            if shape != tensor.shape { differences.append("\(tensor.name) is \(shape), not \(tensor.shape)") }
        }
        differences += found.filter { wanted[$0.name] == nil }.map { "\($0.name) is not in this network" }
        guard !differences.isEmpty || trainer.network != network else { return }
        if differences.isEmpty { differences = ["the tensors are alike"] }
        let rest = differences.count > 5 ? ", and \(differences.count - 5) more" : ""
        throw StorageDefect(
            .foreign,
            file: path,
            "it holds the network \(trainer.network), and this is \(network): "
                + differences.prefix(5).joined(separator: "; ") + rest
        )
    }

    // MARK: Hashes

    /// `weights_sha256`: over all of `model/` and `buffers/`; see `StateHash`.
    ///
    /// Every tensor is checked once more as it is read.
    package func weightsHash() throws -> SHA256Digest { try hash(over: StateHash.weightGroups) }

    /// `state_sha256`: over all tensors; see `StateHash`.
    package func stateHash() throws -> SHA256Digest { try hash(over: StateHash.stateGroups) }

    private func hash(over groups: Set<String>) throws -> SHA256Digest {
        var hash = StateHash()
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
        defer { buffer.deallocate() }
        for tensor in tensors where groups.contains(where: { tensor.name.hasPrefix($0 + "/") }) {
            guard let entry = entries[tensor.name] else { continue }
            hash.begin(tensor.name, shape: tensor.shape)
            // The bytes are checked again: a disk may give right bytes once and wrong ones later.
            var own = SHA256()
            var position = 0
            while position < entry.bytes {
                let part = UnsafeMutableRawBufferPointer(rebasing: buffer[..<min(buffer.count, entry.bytes - position)])
                guard try file.disk.read(at: entry.offset + position, into: part) == part.count else {
                    throw StorageDefect(.truncated, file: path, part: entry.part, "the file ends inside it")
                }
                hash.update(UnsafeRawBufferPointer(part))
                own.update(UnsafeRawBufferPointer(part))
                position += part.count
            }
            guard own.finish() == entry.sha256 else { throw wrongHash(entry) }
        }
        return hash.finish()
    }
}
