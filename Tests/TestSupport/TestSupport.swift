package import Foundation
package import Storage

/// A fresh folder, removed with its owner.
package final class TemporaryFolder: Sendable {
    package let path: String

    package init() throws {
        path = FileManager.default.temporaryDirectory.appendingPathComponent("pleura-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    package func file(_ name: String) -> String { "\(path)/\(name)" }

    /// Writes a file, with the folders above it, and returns its path.
    @discardableResult
    package func write(_ data: Data, to name: String) throws -> String {
        let url = URL(fileURLWithPath: file(name))
        try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
        try data.write(to: url)
        return url.path
    }

    @discardableResult
    package func write(_ text: String, to name: String) throws -> String { try write(Data(text.utf8), to: name) }

    package func names(in folder: String = "") -> [String] {
        (try? FileManager.default.contentsOfDirectory(atPath: file(folder)).sorted()) ?? []
    }
}

/// A small data set of noise with a block for each lesion.
package enum NoiseShards {
    /// Writes `count` samples of 32 × 32 in two shards and three folds; another `seed` gives another data set.
    @discardableResult
    package static func write(_ count: Int = 12, seed: UInt8 = 1, to directory: String) throws -> DatasetManifest {
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        let size = 32
        let schema = ShardSchema(size: size, labelSize: size)
        let writer = try ShardWriter(directory: directory, schema: schema, deflate: nil)
        var records: [ShardRecord] = []
        for (number, range) in [0..<count / 2, count / 2..<count].enumerated() {
            for sample in range {
                let isPositive = sample % 2 == 0
                var mask = [UInt8](repeating: 0, count: size * size)
                if isPositive { for pixel in 100..<110 { mask[pixel] = 1 } }
                try writer.append(
                    ShardSample(
                        id: "sample-\(sample)",
                        image: (0..<size * size).map { UInt8(truncatingIfNeeded: $0 * (sample + 3)) &+ seed },
                        mask: mask,
                        runs: isPositive ? [ShardRun(start: 100, length: 10)] : []
                    )
                )
            }
            records.append(try writer.finishShard(number: number, sourceDigest: "noise"))
        }
        return try DatasetManifest.publish(
            in: directory,
            schema: schema,
            shards: records,
            folds: Dictionary(uniqueKeysWithValues: (0..<count).map { ("sample-\($0)", $0 % 3) }),
            foldCount: 3
        )
    }
}

/// Random numbers that a seed repeats (SplitMix64), for tests whose data are drawn: a failure tells the seed.
package struct SeededRandom: RandomNumberGenerator {
    private var state: UInt64

    package init(seed: UInt64) { state = seed }

    package mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
