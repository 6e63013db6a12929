/// A finished shard, as the data set's manifest lists it.
package struct ShardRecord: Codable, Hashable, Sendable {
    /// The file's name within the data set's directory.
    package var file: String
    package var samples: Int
    /// Samples with at least one run.
    package var positives: Int
    /// The file's size and the SHA-256 of its bytes.
    package var bytes: Int
    package var sha256: SHA256Digest
    /// Over the samples' own digests in order: equal for equal samples, however they are stored.
    package var contentDigest: SHA256Digest
    /// What the shard was made from, in its maker's terms; lets a resumed run recognise it.
    package var sourceDigest: String
    /// Sums over all pixels of all images, exact.
    package var pixelSum: UInt64
    package var pixelSquareSum: UInt64
    /// Over what its index holds beside pixels: ids, runs, metadata and hashes (`ShardIndex.digest`). Nil in the lists of
    /// earlier versions.
    package var indexDigest: SHA256Digest?

    enum CodingKeys: String, CodingKey {
        case file, samples, positives, bytes, sha256
        case contentDigest = "content_digest"
        case sourceDigest = "source_digest"
        case pixelSum = "pixel_sum"
        case pixelSquareSum = "pixel_square_sum"
        case indexDigest = "index_digest"
    }

    /// The name of shard `number`.
    package static func fileName(_ number: Int) -> String {
        let digits = String(number)
        return "shard-\(String(repeating: "0", count: max(0, 5 - digits.count)))\(digits).h5"
    }

    /// The number in a shard's name, or nil if it is not one.
    package static func number(inFileName name: String) -> Int? {
        guard name.hasPrefix("shard-"), name.hasSuffix(".h5") else { return nil }
        let digits = name.dropFirst(6).dropLast(3)
        guard digits.count >= 5, digits.utf8.allSatisfy({ (48...57).contains($0) }) else { return nil }
        return Int(digits)
    }

    /// The content digest of samples with these digests.
    static func contentDigest(of samples: some Sequence<SHA256Digest>) -> SHA256Digest {
        var hash = SHA256()
        hash.update("pleura shard \(ShardSchema.version)\n")
        for digest in samples { hash.update(digest.bytes) }
        return hash.finish()
    }
}
