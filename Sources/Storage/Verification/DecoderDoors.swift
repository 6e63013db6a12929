/// Doors to the decoders of stored files, behind their seals, for the fuzzer: who damages a file on purpose can seal it
/// again.
package enum DecoderDoors {
    /// A data set's manifest with some shards.
    package static func sampleDatasetManifest() throws -> [UInt8] {
        let schema = ShardSchema(size: 8, labelSize: 8)
        let hash = SHA256Digest.of([1, 2, 3])
        let shards = (0..<3).map { number in
            ShardRecord(
                file: ShardRecord.fileName(number),
                samples: 4,
                positives: 1,
                bytes: 4096,
                sha256: hash,
                contentDigest: hash,
                sourceDigest: "a source",
                pixelSum: 1000,
                pixelSquareSum: 200_000
            )
        }
        let manifest = DatasetManifest(
            format: "pleura-dataset",
            version: DatasetManifest.version,
            schema: schema,
            samples: 12,
            positives: 3,
            foldCount: 2,
            shards: shards,
            folds: shards.map { _ in [0, 1, 0, 1] },
            statistics: DatasetManifest.Statistics(shards: shards, schema: schema),
            datasetDigest: hash,
            tables: ["rejected.csv": FileSeal(bytes: 41, sha256: hash)]
        )
        return try SealedJSON.encode(manifest)
    }

    /// The manifest's bytes with the seal that fits them.
    package static func resealed(_ manifest: [UInt8]) -> [UInt8] { SealedJSON.resealed(manifest) }

    package static func sampleCheckpointManifest() throws -> [UInt8] {
        let hash = SHA256Digest.of([1, 2, 3])
        let manifest = CheckpointManifest(
            network: "unet-small",
            step: 12,
            epoch: 1,
            cursor: 48,
            numericsProfile: "fp32",
            datasetDigest: hash.description,
            metrics: ["loss": 0.25, "mean_dice": .nan],
            entries: [
                .init(name: "weights/a", kind: .float32, shape: [3, 4], offset: 512, bytes: 48, sha256: hash),
                .init(name: "trainer", kind: .text, shape: [], offset: 560, bytes: 100, sha256: hash),
            ]
        )
        return Array(try manifest.encoded().utf8)
    }

    /// What reading a checkpoint does with its manifest; throws, or returns whether the parts are possible.
    package static func checkpointManifest(_ bytes: [UInt8]) throws -> Bool {
        let manifest = try CheckpointManifest.decode(bytes)
        return manifest.fault(within: CheckpointSeal.bytes..<1 << 20) == nil
    }

    package static func sampleCheckpointSeal() -> [UInt8] {
        let hash = SHA256Digest.of([1, 2, 3])
        return CheckpointSeal(
            fileBytes: 4096,
            manifestOffset: 1024,
            manifestBytes: 512,
            manifestHash: hash,
            structureHash: hash
        ).encoded()
    }

    /// Whether the first block of a checkpoint is accepted.
    package static func checkpointSeal(_ block: [UInt8]) -> Bool {
        guard let seal = CheckpointSeal(block) else { return false }
        return seal.manifestRange.count > 0
    }

    /// The block with the seal that fits its lines.
    package static func resealedBlock(_ block: [UInt8]) -> [UInt8] {
        let text = Array(block.prefix { $0 != 0 })
        guard let place = text.firstRange(of: Array("seal ".utf8)) else { return block }
        let head = Array(text[..<place.lowerBound])
        var result = head + Array("seal \(SHA256Digest.of(head))\n".utf8)
        result += [UInt8](repeating: 0, count: max(0, CheckpointSeal.bytes - result.count))
        return result
    }
}
