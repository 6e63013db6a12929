internal import HDF5IO
import Platform

/// A checkpoint file opened by its seal and manifest, without HDF5.
struct CheckpointFile: Sendable {
    let path: String
    let seal: CheckpointSeal
    let manifest: CheckpointManifest
    let disk: OpenFile

    /// Opens a file and checks its seal, size and manifest, but no tensor yet.
    ///
    /// Throws `FileError` if the file cannot be read and `StorageDefect` if it is not a whole checkpoint.
    init(_ path: String) throws {
        let disk = try OpenFile(path, .read)
        let (seal, manifest) = try Self.readList(of: disk)
        guard try disk.size() == seal.fileBytes else {
            throw StorageDefect(
                .inconsistent,
                file: path,
                part: .structure,
                "expected \(seal.fileBytes) bytes, found \(try disk.size()); it was changed after it was written"
            )
        }
        self.path = path
        self.disk = disk
        self.seal = seal
        self.manifest = manifest
    }

    /// Reads and checks the seal and the manifest.
    ///
    /// The file may be longer than its seal says, not shorter.
    static func readList(of disk: OpenFile) throws -> (CheckpointSeal, CheckpointManifest) {
        let (path, size) = (disk.path, try disk.size())
        guard size >= CheckpointSeal.bytes else {
            throw StorageDefect(.truncated, file: path, "it has \(size) bytes, fewer than a checkpoint's seal")
        }
        let block = try disk.bytes(in: 0..<CheckpointSeal.bytes)
        guard let seal = CheckpointSeal(block) else {
            if block.starts(with: Array(CheckpointSeal.magic.utf8)) {
                throw StorageDefect(
                    .malformed,
                    file: path,
                    part: .structure,
                    "its seal is damaged or of another version"
                )
            }
            throw StorageDefect(.foreign, file: path, "it does not begin with the seal of a checkpoint of Pleura's")
        }
        guard size >= seal.fileBytes else {
            throw StorageDefect(.truncated, file: path, "expected \(seal.fileBytes) bytes, found \(size)")
        }
        let bytes = try disk.bytes(in: seal.manifestRange)
        guard SHA256Digest.of(bytes) == seal.manifestHash else {
            throw StorageDefect(.wrongHash, file: path, part: .text("manifest"), "its bytes are not those written")
        }
        let manifest: CheckpointManifest
        do {
            manifest = try CheckpointManifest.decode(bytes)
        } catch {
            throw StorageDefect(.malformed, file: path, part: .text("manifest"), "it cannot be read: \(error)")
        }
        guard manifest.format == CheckpointManifest.format, manifest.version == CheckpointManifest.version else {
            throw StorageDefect(
                .foreign,
                file: path,
                "expected version \(CheckpointManifest.version) of \(CheckpointManifest.format), found "
                    + "\(manifest.version) of \(manifest.format)"
            )
        }
        if let fault = manifest.fault(within: CheckpointSeal.bytes..<seal.fileBytes) {
            throw StorageDefect(.malformed, file: path, part: fault.part, fault.text)
        }
        return (seal, manifest)
    }

    // MARK: Verification

    /// Reads the whole file once and returns everything in it that is not as it was written.
    ///
    /// Every byte is in exactly one hash: a tensor's, a text's, the manifest's, the seal's, or that of the structure.
    /// Without `tensors`, theirs are left out: for the writer, which has compared them otherwise.
    func verify(tensors: Bool = true) throws -> [StorageDefect] {
        var defects: [StorageDefect] = []
        var structure = SHA256()
        var current: (mark: Int, hash: RunningHash)?
        func finishCurrent() {
            guard let (mark, box) = current else { return }
            current = nil
            // The last range is the manifest's, which opening has checked.
            guard mark < manifest.entries.count else { return }
            let entry = manifest.entries[mark]
            if box.finish() != entry.sha256 { defects.append(defect(.wrongHash, entry)) }
        }
        let ranges = manifest.entries.map(\.range) + [seal.manifestRange]
        do {
            let isRead = { mark in tensors || mark >= manifest.entries.count || manifest.entries[mark].kind == .text }
            let whole = CheckpointSeal.bytes..<seal.fileBytes
            try disk.forEachBlock(of: whole, marked: ranges, where: isRead) { block, mark in
                if mark != current?.mark {
                    finishCurrent()
                    if let mark { current = (mark, RunningHash()) }
                }
                if let current { current.hash.update(block) } else { structure.update(block) }
            }
        } catch let defect as StorageDefect {
            return [defect]
        }
        finishCurrent()
        for entry in manifest.entries where entry.bytes == 0 && entry.sha256 != .of([]) {
            defects.append(defect(.wrongHash, entry))
        }
        if structure.finish() != seal.structureHash {
            let named = try structureDefects()
            defects += named.filter { !defects.contains($0) }
            if named.isEmpty {
                let detail = "bytes outside the tensors are not those written; its tensors may be sound"
                defects.append(StorageDefect(.wrongHash, file: path, part: .structure, detail))
            }
        }
        return defects
    }

    private func defect(_ problem: StorageDefect.Problem, _ entry: CheckpointManifest.Entry) -> StorageDefect {
        StorageDefect(problem, file: path, part: entry.part, "its bytes are not those written (SHA-256 differs)")
    }

    /// Compares the manifest with what HDF5 finds in the file: names datasets that are missing, moved or reshaped.
    func structureDefects() throws -> [StorageDefect] { try Self.structureDefects(path, manifest) }

    /// The same for a file that is longer than its seal says.
    ///
    /// The structure is written in HDF5's checksummed form, so damage to it ends in an error of the library and not in
    /// its following wild addresses.
    static func structureDefects(_ path: String, _ manifest: CheckpointManifest) throws -> [StorageDefect] {
        var defects: [StorageDefect] = []
        do {
            let file = try HDF5File.open(path)
            for entry in manifest.entries {
                guard try file.kind(of: entry.name) == .dataset else {
                    defects.append(
                        StorageDefect(
                            .missing,
                            file: path,
                            part: entry.part,
                            "the manifest names it, and the file does not have it"
                        )
                    )
                    continue
                }
                let dataset = try file.dataset(entry.name)
                let isPlaced = try entry.bytes == 0 || dataset.contiguousAddress() == entry.offset
                let isTyped = try entry.kind == .text || dataset.storedType() == Float.hdf5Type
                let shape = try dataset.shape()
                if shape != entry.shape || !isPlaced || !isTyped {
                    let detail = "the manifest says that its shape is \(entry.shape), the file has \(shape)"
                    defects.append(StorageDefect(.inconsistent, file: path, part: entry.part, detail))
                }
            }
            try file.close()
        } catch let error as HDF5Error {
            let detail = "HDF5 says: \(error.description.dropLast())"
            defects.append(StorageDefect(.malformed, file: path, part: .structure, detail))
        }
        return defects
    }
}

/// A running hash that a variable can hold and drop.
///
/// `@unchecked Sendable`: each has one owner, which uses it on one thread at a time, if need be behind its own lock; the
/// compiler cannot see that the bytes handed in are not kept.
final class RunningHash: @unchecked Sendable {
    private var hash: SHA256? = SHA256()

    func update(_ bytes: UnsafeRawBufferPointer) { hash?.update(bytes) }

    /// The digest; to be asked once.
    func finish() -> SHA256Digest? {
        guard let hash = hash.take() else { return nil }
        return hash.finish()
    }
}

extension OpenFile {
    /// A part of the file, whose size the caller has bounded.
    func bytes(in range: Range<Int>) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: range.count)
        let count = try bytes.withUnsafeMutableBytes { try read(at: range.lowerBound, into: $0) }
        guard count == range.count else {
            throw StorageDefect(.truncated, file: path, "it ends before byte \(range.upperBound)")
        }
        return bytes
    }
}
