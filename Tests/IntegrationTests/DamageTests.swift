import Foundation
import Platform
import Testing

extension Processes {
    /// Bits that flip in a run's files.
    @Suite(.serialized) struct Damage {
        /// The files of a kind in a run's folder and beside it, as paths below the runner's folder.
        private func files(_ runner: ProgramRunner) throws -> [String: [String]] {
            let tree = FileManager.default.enumerator(atPath: runner.folder.path)
            var files: [String: [String]] = [:]
            for case let path as String in tree ?? .init() {
                let name = FileSystem.name(of: path)
                let kind: String? =
                    switch name {
                    case "dataset.json": "manifest"
                    case "rejected.csv", "warnings.csv", ".written-by-pleura": path.hasPrefix("shards/") ? name : nil
                    case "config.yaml", "rule.json": path.hasPrefix("run/") ? name : nil
                    case "metrics.jsonl", "journal.jsonl": name
                    case _ where name.hasPrefix("shard-"): "shard"
                    case _ where name.hasPrefix("step-"): "checkpoint"
                    case _ where name.hasPrefix("events."): "events"
                    default: nil
                    }
                if let kind { files[kind, default: []].append(path) }
            }
            return files
        }

        @Test(.timeLimit(.minutes(5)))
        func aRunIsNotBegunOnShardsWhoseIDsWereChanged() throws {
            let runner = try ProgramRunner()
            defer { runner.remove() }
            _ = try runner.makeShards()
            let configuration = try runner.writeConfiguration()
            let shard = URL(fileURLWithPath: runner.path("shards/shard-00000.h5"))
            var bytes = try Data(contentsOf: shard)
            let labels = try String(contentsOfFile: runner.path("data/train-rle.csv"), encoding: .utf8)
            let id = try #require(labels.split(separator: "\n").dropFirst().first?.split(separator: ",").first)
            let place = try #require(bytes.range(of: Data(id.utf8)))
            bytes[place.upperBound - 1] ^= 1
            try bytes.write(to: shard)
            let launched = try runner.run(runner.launchArguments(configuration, run: "run"))
            #expect(launched.status == 65, "\(launched.errors)")
            #expect(launched.errors.contains("shard-00000.h5") && launched.errors.contains("ids"), "\(launched.errors)")
            #expect(!FileManager.default.fileExists(atPath: runner.path("run")))
            let verified = try runner.run(["verify", runner.path("shards")])
            #expect(verified.status == 65 && verified.errors.contains("fit its digest"), "\(verified.errors)")
        }

        @Test(.timeLimit(.minutes(30)))
        func aFlippedBitInAnyFileOfARunIsFoundByVerify() throws {
            let runner = try ProgramRunner()
            defer { runner.remove() }
            _ = try runner.makeShards()
            let configuration = try runner.writeConfiguration()
            let launched = try runner.run(runner.launchArguments(configuration, run: "run"))
            try #require(launched.status == 0, "\(launched.errors)")
            let evaluated = try runner.run(["evaluate", runner.path("run"), "--best"])
            try #require(evaluated.status == 0, "\(evaluated.errors)")

            let files = try files(runner)
            let kinds = [
                ".written-by-pleura", "checkpoint", "config.yaml", "events", "journal.jsonl", "manifest",
                "metrics.jsonl",
                "rejected.csv", "rule.json", "shard", "warnings.csv",
            ]
            try #require(files.keys.sorted() == kinds)
            let verified = try runner.run(["verify", runner.path("run")])
            try #require(verified.status == 0, "\(verified)")
            for path in files.values.joined() {
                #expect(verified.output.contains(FileSystem.name(of: path)) || path.hasPrefix("shards/"), "\(path)")
            }

            var seed: UInt64 = 1
            func random(below bound: Int) -> Int {
                seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                return Int(truncatingIfNeeded: seed >> 33) % bound
            }
            for kind in kinds {
                let paths = try #require(files[kind]).sorted()
                for _ in 0..<30 {
                    let path = runner.path(paths[random(below: paths.count)])
                    let sound = try Data(contentsOf: URL(fileURLWithPath: path))
                    var bytes = sound
                    let offset = random(below: bytes.count)
                    bytes[offset] ^= 1 << UInt8(random(below: 8))
                    try bytes.write(to: URL(fileURLWithPath: path))
                    let outcome = try runner.run(["verify", runner.path("run")])
                    let isNamed = outcome.errors.contains(FileSystem.name(of: path))
                    #expect(outcome.status == 65 && isNamed, "\(path), byte \(offset): \(outcome)")
                    try sound.write(to: URL(fileURLWithPath: path))
                }
            }
            #expect(try runner.run(["verify", runner.path("run")]).status == 0)
            // Without its data set a run is still checked, and says what was not.
            try FileManager.default.moveItem(atPath: runner.path("shards"), toPath: runner.path("aside"))
            let alone = try runner.run(["verify", runner.path("run")])
            #expect(alone.status == 0 && alone.output.contains("data set was not checked"), "\(alone)")
        }
    }
}
