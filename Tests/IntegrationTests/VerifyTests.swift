import Foundation
import Testing

extension Processes {
    /// `pleura verify` of a run that has ended finds every change of every file.
    @Suite(.serialized) struct Verifications {
        /// A deterministic generator of places.
        private struct Places {
            var state: UInt64 = 0x9E37_79B9_7F4A_7C15

            mutating func below(_ bound: Int) -> Int {
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                return Int((state >> 33) % UInt64(max(1, bound)))
            }
        }

        /// Whichever worker reads it, and whichever of its ends is heard of first.
        @Test(.timeLimit(.minutes(15)))
        func aDamagedShardEndsARunAsBadData() throws {
            let runner = try ProgramRunner()
            defer { runner.remove() }
            _ = try runner.makeShards(images: 12)
            let configuration = try runner.writeConfiguration()
            let shard = runner.path("shards/shard-00000.h5")
            var bytes = try Data(contentsOf: URL(fileURLWithPath: shard))
            // Of most samples some pixels: the structure stands at the file's ends.
            for place in stride(from: bytes.count / 4, to: bytes.count / 2, by: 500) { bytes[place] ^= 1 }
            try bytes.write(to: URL(fileURLWithPath: shard))
            for workers in [1, 2] {
                let run = try runner.run(
                    runner.launchArguments(configuration, run: "run\(workers)", ["--workers", "\(workers)"])
                )
                #expect(run.status == 65 && run.errors.contains("shard-00000.h5"), "\(run.status) \(run.errors)")
            }
        }

        @Test(.timeLimit(.minutes(15)))
        func everyFlipCutAndDeletionOfARunsFilesIsFound() throws {
            let runner = try ProgramRunner()
            defer { runner.remove() }
            _ = try runner.makeShards(images: 12)
            let configuration = try runner.writeConfiguration("audit: {rate: 0}")
            let run = try runner.run(
                runner.launchArguments(configuration, run: "run", ["--set", "checkpoint.keep_last=1"])
            )
            try #require(run.status == 0, "\(run.errors)")
            try #require(runner.run(["evaluate", runner.path("run"), "--threads", "1"]).status == 0)
            let sound = try runner.run(["verify", runner.path("run")])
            try #require(sound.status == 0 && !sound.output.contains("DAMAGED"), "\(sound.output)\(sound.errors)")

            let files = FileManager.default
            let names = try files.subpathsOfDirectory(atPath: runner.path("run")).sorted().filter { name in
                var isFolder: ObjCBool = false
                _ = files.fileExists(atPath: runner.path("run/\(name)"), isDirectory: &isFolder)
                return !isFolder.boolValue && name != ".lock"
            }
            for expected in ["config.yaml", "run.json", "rule.json", "report.html", "journal.jsonl", "metrics.jsonl"] {
                #expect(names.contains(expected), "\(names)")
            }
            var places = Places()
            var missed: [String] = []
            var tried = 0
            func expectFound(_ what: String, _ path: String, _ bytes: Data?) throws {
                let before = try Data(contentsOf: URL(fileURLWithPath: path))
                if let bytes {
                    try bytes.write(to: URL(fileURLWithPath: path))
                } else {
                    try files.removeItem(atPath: path)
                }
                defer { try? before.write(to: URL(fileURLWithPath: path)) }
                tried += 1
                let found = try runner.run(["verify", runner.path("run")])
                if found.status != 65 { missed.append("\(what): \(found.status)") }
            }
            for name in names {
                let path = runner.path("run/\(name)")
                let whole = try Data(contentsOf: URL(fileURLWithPath: path))
                try expectFound("\(name) deleted", path, nil)
                try expectFound("\(name) with junk behind it", path, whole + Data("junk\n".utf8))
                guard !whole.isEmpty else { continue }
                for _ in 0..<2 {
                    var flipped = whole
                    let place = places.below(whole.count)
                    flipped[place] ^= UInt8(1 << places.below(8))
                    try expectFound("\(name) flipped at \(place)", path, flipped)
                }
                let end = places.below(whole.count)
                try expectFound("\(name) cut to \(end)", path, whole.prefix(end))
                // At the end of a line, where nothing in the file itself tells.
                let lines = whole.split(separator: 0x0A, omittingEmptySubsequences: false)
                if lines.count > 2 {
                    let kept = lines.prefix(lines.count - 2).map(\.count).reduce(0, +) + lines.count - 2
                    try expectFound("\(name) without its last line", path, whole.prefix(kept))
                }
            }
            #expect(missed.isEmpty, "of \(tried) changes: \(missed)")
            let again = try runner.run(["verify", runner.path("run")])
            #expect(again.status == 0, "\(again.errors)")
        }
    }
}
