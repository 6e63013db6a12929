import Foundation
import Platform
import Storage
import Testing

/// Checkpoints whose writer dies, or whose disk fails, at every system call of a save.
///
/// `make soak` sets PLEURA_TORTURE_CASES to 1,000; without it some 50 cases run. PLEURA_TORTURE_SEED chooses others.
@Suite("Checkpoints under fire", .serialized, .timeLimit(.minutes(60))) struct CheckpointTortureTests {
    let folder: TemporaryFolder
    /// Two intact checkpoints, to be copied for each case.
    private var base: String { folder.file("base") }
    private var run: String { folder.file("run") }
    private let hashes: [Int: String]
    private static let kept = 2

    init() throws {
        folder = try TemporaryFolder()
        hashes = try Victim.expectedHashes([10, 20, 30, 40])
        let outcome = try Victim(folder: "/nowhere").run(["save", folder.file("base"), "10", "20"])
        try #require(outcome.lines == ["saved 10", "saved 20"])
    }

    private static func number(_ name: String, or otherwise: Int) -> Int {
        ProcessInfo.processInfo.environment[name].flatMap { Int($0) } ?? otherwise
    }

    /// Puts the two checkpoints where the victim will work.
    private func prepare() throws {
        try? FileManager.default.removeItem(atPath: run)
        try FileManager.default.copyItem(atPath: base, toPath: run)
    }

    // MARK: Cases

    /// All faults worth a case of a process that makes `calls`: those that kill it, and those that it must survive.
    private func faults(of calls: [(kind: String, path: String)], _ random: inout TestRandom) -> (
        kills: [Fault], others: [Fault]
    ) {
        var (kills, others): ([Fault], [Fault]) = ([], [])
        for (index, call) in calls.enumerated() {
            let number = index + 1
            let seed = random.next(below: 1 << 30)
            let moves = ["read", "write"].contains(call.kind)
            kills.append(Fault(action: "before", call: number))
            kills.append(Fault(action: "after", call: number))
            if call.kind == "write" { kills.append(Fault(action: "torn", call: number)) }
            // A full disk from here on, for a while or for good; a broken one the same.
            let full = ["write", "create", "reserve", "sync", "close"]
            for count in [1, 2 + random.next(below: 100), 1 << 30] {
                others.append(Fault(action: "error:\(EIO)", call: number, count: count))
                if count > 1 || full.contains(call.kind) {
                    others.append(Fault(action: "error:\(ENOSPC)", call: number, count: count, kinds: full))
                }
            }
            if moves {
                others.append(Fault(action: "flip", call: number, seed: seed))
                others.append(Fault(action: "short", call: number))
                others.append(Fault(action: "short", call: number, count: 1 << 30))
            }
        }
        return (kills, others)
    }

    @Test func savingSurvivesEveryBrokenCall() throws {
        let cases = Self.number("PLEURA_TORTURE_CASES", or: 50) * 9 / 10
        var random = TestRandom(state: UInt64(Self.number("PLEURA_TORTURE_SEED", or: 1)))
        try prepare()
        let traced = Victim(folder: run, log: folder.file("calls"))
        #expect(try traced.run(["save", run, "30"]).lines == ["saved 30"])
        var (kills, others) = faults(of: try traced.calls(), &random)
        random.shuffle(&kills)
        random.shuffle(&others)
        // Every kill, where there are cases enough.
        let killed = min(kills.count, cases / 2)
        let chosen = Array(kills.prefix(killed) + others.prefix(cases - killed))
        for fault in chosen { try save(under: fault) }
        print(
            "checkpoints under fire: \(chosen.count) saves, \(killed) of them killed, of "
                + "\(kills.count + others.count) possible"
        )
    }

    @Test func loadingSurvivesEveryBrokenCall() throws {
        let cases = max(5, Self.number("PLEURA_TORTURE_CASES", or: 50) / 10)
        var random = TestRandom(state: UInt64(Self.number("PLEURA_TORTURE_SEED", or: 1)))
        try prepare()
        let traced = Victim(folder: run, log: folder.file("calls"))
        #expect(try traced.run(["load", run]).lines == ["loaded 20 \(hashes[20] ?? "")"])
        var others = faults(of: try traced.calls(), &random).others
        random.shuffle(&others)
        for fault in others.prefix(cases) {
            let outcome = try Victim(folder: run).run(["load", run], fault: fault)
            #expect(outcome.status == 0, "\(fault): \(outcome)")
            try requirePlain(outcome.lines, fault)
            // The newest that can be read, or why not; the bytes on the disk are sound.
            let last = try #require(outcome.lines.last)
            if let step = outcome.steps("loaded").first {
                #expect(last == "loaded \(step) \(hashes[step] ?? "")", "\(fault)")
                #expect(outcome.steps("skipped") == (step == 20 ? [] : [20]), "\(fault): \(outcome)")
            } else {
                #expect(last == "nothing" || last.hasPrefix("failed "), "\(fault): \(outcome)")
                #expect(last != "nothing" || outcome.steps("skipped").starts(with: [20]), "\(fault): \(outcome)")
            }
        }
        try requireIntact([10, 20], "after loading")
    }

    // MARK: One case

    private func save(under fault: Fault) throws {
        try prepare()
        let outcome = try Victim(folder: run).run(["save", run, "30", "40"], fault: fault)
        #expect(outcome.status == (fault.kills ? 137 : 0), "\(fault): \(outcome)")
        try requirePlain(outcome.lines, fault)

        // What stands there is whole: nothing damaged was ever given its name.
        let store = CheckpointStore(run)
        let present = try store.list().map(\.step)
        try requireIntact(present, "\(fault)")
        // And the newest of what was there or was said to be saved are there.
        let known = Set([10, 20] + outcome.steps("saved") + present).sorted()
        for step in known.suffix(Self.kept) { #expect(present.contains(step), "\(fault): \(step) is lost. \(outcome)") }
        let resumed = try store.newestIntact()
        #expect(resumed.contents?.trainer.step == present.last && resumed.skipped.isEmpty, "\(fault)")

        // Nothing is left beside, once the owner has cleared up, and the next save goes as ever.
        try store.removeTemporaries()
        let names = try FileSystem.names(in: run)
        #expect(
            names.allSatisfy { $0 == "latest" || CheckpointStore.step(inFileName: $0) != nil },
            "\(fault): \(names)"
        )
    }

    /// Whether the checkpoints of these steps hold what was saved.
    private func requireIntact(_ steps: [Int], _ comment: String) throws {
        for step in steps {
            let path = "\(run)/\(CheckpointStore.fileName(step: step))"
            let defects = CheckpointStore.verify(path)
            #expect(defects.isEmpty, "\(comment): \(defects)")
            guard defects.isEmpty else { continue }
            let hash = try CheckpointStore.load(path).stateHash()
            #expect("\(hash)" == hashes[step], "\(comment): step \(step) holds another state")
        }
    }

    /// Whether what the victim said of errors are plain sentences that name a path.
    private func requirePlain(_ lines: [String], _ fault: Fault) throws {
        for line in lines where !line.hasPrefix("saved ") && !line.hasPrefix("loaded ") && line != "nothing" {
            // A checkpoint with several faults says one a line.
            let text = line.split(separator: " ", maxSplits: 2).count == 3 ? line : "? ? \(line)"
            let isPlain =
                text.hasSuffix(".") && !text.hasSuffix("..") && text.contains(run)
                && !["errno", "0x", "(H5", "Error(", "Optional"].contains { text.contains($0) }
            #expect(isPlain, "\(fault): \(line)")
        }
    }

    // MARK: The order of calls

    /// What no kill of a process shows: after a loss of power only what was synced is there.
    @Test func everythingIsOnTheDiskBeforeItIsNamed() throws {
        try prepare()
        let victim = Victim(folder: run, log: folder.file("calls"))
        #expect(try victim.run(["save", run, "30", "40"]).lines == ["saved 30", "saved 40"])
        let calls = try victim.calls()
        func last(_ kind: String, _ matches: (String) -> Bool, before end: Int) -> Int? {
            calls[..<end].lastIndex { $0.kind == kind && matches($0.path) }
        }
        let renames = calls.indices.filter { calls[$0].kind == "rename" }
        #expect(renames.count == 4)
        for index in renames {
            let name = FileSystem.name(of: calls[index].path)
            let isTemporary = { (path: String) in FileSystem.name(of: path).hasPrefix(".\(name).") }
            let written = try #require(last("write", isTemporary, before: index), "\(name)")
            let cut = last("truncate", isTemporary, before: index) ?? 0
            let synced = try #require(last("sync", isTemporary, before: index), "\(name)")
            #expect(written < synced && cut < synced, "\(name)")
            // The name is on the disk before anything older goes.
            let folderSynced = try #require(
                calls[index...].firstIndex { $0.kind == "sync" && $0.path == run },
                "\(name)"
            )
            let removed = calls[index...].firstIndex { $0.kind == "remove" && $0.path.hasSuffix(".h5") } ?? calls.count
            #expect(folderSynced < removed, "\(name)")
        }
    }

    /// A disk that fails again and again costs nothing that adds up, and the first save after it is well again.
    @Test func aDiskThatFailsForLongIsSurvived() throws {
        for kind in ["write", "sync", "truncate", "close"] {
            try prepare()
            let steps = Array(1001...1080)
            let fault = Fault(action: "error:\(EIO)", call: 1, count: 400, kinds: [kind])
            let outcome = try Victim(folder: run).run(["save", run] + steps.map(String.init), fault: fault)
            #expect(outcome.status == 0, "\(fault): \(outcome.lines.suffix(2))")
            #expect(outcome.steps("failed").count >= 2, "\(fault)")
            #expect(outcome.steps("saved").last == 1080, "\(fault): \(outcome.lines.suffix(2))")
            #expect(try CheckpointStore(run).newestIntact().contents?.trainer.step == 1080)
            #expect(try FileSystem.names(in: run).count == Self.kept + 1, "\(fault)")
        }
    }
}
