import Platform

extension CheckpointStore {
    /// Opens a checkpoint after checking its seal, size and list, but none of its tensors: each is checked when it is
    /// read.
    ///
    /// For readers of a few tensors, or of none: `load` reads the whole file.
    package static func open(_ path: String) throws -> CheckpointContents {
        try CheckpointContents(CheckpointFile(path))
    }

    /// The bytes of a checkpoint's seal, at its start.
    ///
    /// They vouch for all others: files with equal seals that are whole are equal.
    package static let sealBytes = CheckpointSeal.bytes

    /// The seal of a checkpoint's file, as it stands there.
    package static func seal(of path: String) throws -> [UInt8] {
        let file = try OpenFile(path, .read)
        return try file.bytes(in: 0..<min(sealBytes, file.size()))
    }
}
