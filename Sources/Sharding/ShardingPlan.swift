import Radiography
internal import Storage

/// Which samples go into which shard, known before any pixel is decoded.
struct ShardingPlan {
    /// A radiograph with its label.
    struct Sample: Sendable {
        var id: String
        /// The file, below the input folder.
        var file: String
        /// On the square that holds the radiograph, at any side.
        var mask: RunLengthMask
        /// The size that the radiograph has, where the mask was made for a size.
        var maskSize: MaskSize?
        var patient: String
        var contentHash: String
        /// Other files of the same image, in the order of `files`: each takes the place of those before it where they
        /// turn out to be damaged.
        var spares: [Spare] = []

        /// The area of the mask where the square has the challenge's side: masks of any side are alike by it.
        var areaInChallengePixels: Int {
            guard mask.width != RunLengthMask.challengeSide, !mask.isEmpty else { return mask.area }
            let side = RunLengthMask.challengeSide
            return max(1, mask.area * side / mask.width * side / mask.height)
        }

        /// Throws where a radiograph turns out to have another size than its mask was made for.
        func requireSize(of metadata: RadiographMetadata, path: String) throws(RadiographError) {
            guard let maskSize, maskSize.width != metadata.columns || maskSize.height != metadata.rows else { return }
            throw RadiographError(
                .damaged,
                path: path,
                reason: "its header says \(maskSize.width)×\(maskSize.height) pixels and it has "
                    + "\(metadata.columns)×\(metadata.rows), so its mask would lie elsewhere"
            )
        }

        /// The file and its spares.
        var candidates: [String] { [file] + spares.map(\.file) }
    }

    /// The width and height of the radiograph that a mask was drawn on.
    struct MaskSize: Sendable, Equatable {
        var width: Int
        var height: Int
    }

    /// A second file of an image.
    struct Spare: Sendable {
        /// The file, below the input folder.
        var file: String
        var contentHash: String
    }

    /// Consecutive samples that make one file.
    struct Shard: Sendable {
        var number: Int
        var samples: Range<Int>
        /// Over all that the shard is made from; equal on every machine.
        var sourceDigest: String
    }

    /// In the order of their ids' bytes, so that equal sets have equal shards whatever their folders look like.
    var samples: [Sample]
    var shards: [Shard]
    var schema: ShardSchema

    /// The version of the rules by which files become samples; a change of them makes old shards stale.
    private static let rulesVersion = 2

    init(samples: [Sample], options: ShardingOptions) {
        self.samples = samples.sorted { $0.id.utf8.lexicographicallyPrecedes($1.id.utf8) }
        schema = ShardSchema(
            size: options.size,
            labelSize: RunLengthMask.challengeSide,
            extraMetadata: options.isLabelled ? [] : [ShardSchema.labelColumn]
        )
        shards = []
        for start in stride(from: 0, to: samples.count, by: options.shardSize) {
            let range = start..<min(start + options.shardSize, samples.count)
            shards.append(
                Shard(
                    number: shards.count,
                    samples: range,
                    sourceDigest: Self.digest(of: self.samples[range], options: options)
                )
            )
        }
    }

    private static func digest(of samples: ArraySlice<Sample>, options: ShardingOptions) -> String {
        var hash = SHA256()
        hash.update("pleura shard source \(rulesVersion)\n")
        hash.update(littleEndian: Int64(options.size))
        hash.update(littleEndian: Int64(options.deflate ?? 0))
        hash.update(littleEndian: Int64(options.isLabelled ? 1 : 0))
        for sample in samples {
            hash.update(sized: sample.id)
            hash.update(sized: sample.contentHash)
            hash.update(sized: sample.patient)
            for spare in sample.spares { hash.update(sized: "spare " + spare.contentHash) }
            // Masks at the challenge's size have been hashed without it since the first version.
            if sample.mask.width != RunLengthMask.challengeSide { hash.update(sized: "side \(sample.mask.width)") }
            hash.update(littleEndian: Int64(sample.mask.runs.count))
            sample.mask.runs.withUnsafeBytes { hash.update($0) }
        }
        return hash.finish().description
    }
}
