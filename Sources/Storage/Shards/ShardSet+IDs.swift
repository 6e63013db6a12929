extension ShardSet {
    /// The ids of the samples of a finished shard, in order; reads its index, not its pixels.
    package static func ids(of shard: ShardRecord, in directory: String) throws -> [String] {
        try ShardIndex(reading: "\(directory)/\(shard.file)").ids
    }
}
