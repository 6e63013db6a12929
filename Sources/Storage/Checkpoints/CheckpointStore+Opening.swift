extension CheckpointStore {
    /// Opens a checkpoint after checking its seal, size and list, but none of its tensors: each is checked when it is
    /// read.
    ///
    /// For readers of a few tensors, or of none: `load` reads the whole file.
    package static func open(_ path: String) throws -> CheckpointContents {
        try CheckpointContents(CheckpointFile(path))
    }
}
