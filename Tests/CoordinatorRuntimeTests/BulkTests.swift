import Coordination
import CoordinatorRuntime
import Foundation
import Messaging
import Platform
import RunLinks
import Storage
import Synchronization
import TestSupport
import Testing
import WorkerRuntime

/// Checkpoints from a worker's end of the bulk connection to the coordinator's disk.
@Suite(.timeLimit(.minutes(5))) struct BulkTests {
    let folder: TemporaryFolder
    let outcomes = Outcomes()

    init() throws { folder = try TemporaryFolder() }

    struct NotSaved: Error { var outcome: String }

    /// What the keeper reports, in order.
    final class Outcomes: Sendable {
        private let list = Mutex<[CheckpointKeeper.Outcome]>([])
        private let arrived = DispatchSemaphore(value: 0)

        func add(_ outcome: CheckpointKeeper.Outcome) {
            list.withLock { $0.append(outcome) }
            arrived.signal()
        }

        func next() throws -> CheckpointKeeper.Outcome {
            try #require(arrived.wait(timeout: .now() + 60) == .success, "the keeper reported nothing")
            return list.withLock { $0.removeFirst() }
        }

        func durable() throws -> (steps: UInt64, path: String, warnings: [String]) {
            let outcome = try next()
            guard case .durable(let steps, let path, let warnings) = outcome else {
                throw NotSaved(outcome: "\(outcome)")
            }
            return (steps, path, warnings)
        }

        func failure() throws -> String {
            guard case .failed(_, let reason) = try next() else { return "it was saved" }
            return reason
        }
    }

    static let tensors = [TensorSignature("model/a", [3]), TensorSignature("model/b", [2, 2])]

    private func keeper(
        bind: String = "tcp://127.0.0.1:*",
        space: CheckpointKeeper.Disk = .init(),
        tensors: [TensorSignature] = Self.tensors
    ) throws -> CheckpointKeeper {
        try CheckpointKeeper(
            bind: [bind],
            directory: folder.file("checkpoints"),
            shards: folder.file("shards"),
            tensors: tensors,
            retention: RetentionPolicy(keepLast: 2),
            space: space,
            report: { [outcomes] in
                // Who comes and goes is told too, and no matter of these tests.
                if case .refused = $0 { return }
                outcomes.add($0)
            }
        )
    }

    /// Opens the checkpoint of `step` in one part.
    private func begin(
        _ step: UInt64,
        _ keeper: CheckpointKeeper,
        token: UInt64 = 1,
        reason: CheckpointOrder.Reason = .interval,
        before: @escaping @Sendable () throws -> Void = {}
    ) {
        var progress = RunProgress.fresh(scheduleState: [])
        progress.completedSteps = step
        let share = CheckpointShare(part: 0, parts: 1, token: token)
        let trainer = TrainerState(
            network: "unet-small",
            step: Int(step),
            epoch: 0,
            cursor: 0,
            configuration: "",
            numericsProfile: "fp32",
            datasetDigest: "data"
        )
        keeper.begin(
            CheckpointOrder(
                progress: progress,
                epoch: 0,
                stepInEpoch: 0,
                pieces: [.init(worker: 0, peer: PeerID(1), share: share)],
                reason: reason,
                isBest: false
            ),
            trainer: trainer,
            beforePublishing: before
        )
    }

    private func part(_ step: UInt64, token: UInt64 = 1) -> BulkPart {
        BulkPart(step: step, part: 0, parts: 1, token: token)
    }

    /// Hands over the tensors, all or the first of them.
    private func handOver(_ step: UInt64, _ client: BulkClient, token: UInt64 = 1, count: Int = 2) throws -> UInt64 {
        try client.handOver(part(step, token: token)) { send in
            for tensor in Self.tensors.prefix(count) {
                let elements = tensor.shape.reduce(1, *)
                try send(tensor.name, tensor.shape, 0, [UInt8](repeating: UInt8(step), count: 4 * elements))
            }
        }
    }

    @Test func shareAfterShareIsSaved() throws {
        let keeper = try keeper()
        defer { keeper.close() }
        let client = try BulkClient(endpoint: keeper.endpoints[0], identity: .random(role: "bulk"))
        defer { client.close() }
        let synced = Counter()
        for step: UInt64 in 1...3 {
            begin(step, keeper) { synced.add() }
            #expect(try handOver(step, client) == 28)
            let (steps, path, warnings) = try outcomes.durable()
            #expect(steps == step && warnings.isEmpty && CheckpointStore.verify(path).isEmpty)
        }
        #expect(synced.value == 3)
        #expect(try CheckpointStore(folder.file("checkpoints")).list().map(\.step) == [2, 3])
    }

    @Test func whatCannotBeSyncedBeforeIsAWarning() throws {
        let keeper = try keeper()
        defer { keeper.close() }
        let client = try BulkClient(endpoint: keeper.endpoints[0], identity: .random(role: "bulk"))
        defer { client.close() }
        begin(1, keeper) { throw FileError("write to the disk", path: "metrics.jsonl", code: EIO) }
        _ = try handOver(1, client)
        let warnings = try outcomes.durable().warnings
        #expect(warnings.count == 1 && warnings[0].contains("metrics.jsonl"))
    }

    @Test func aShareWithoutATensorIsNotPublished() throws {
        let keeper = try keeper()
        defer { keeper.close() }
        let client = try BulkClient(endpoint: keeper.endpoints[0], identity: .random(role: "bulk"))
        defer { client.close() }
        begin(1, keeper)
        #expect(try handOver(1, client, count: 1) == 12)
        #expect(try outcomes.failure().contains("model/b"))
        #expect(try CheckpointStore(folder.file("checkpoints")).list().isEmpty)
        // The next one is not harmed.
        begin(2, keeper)
        _ = try handOver(2, client)
        _ = try outcomes.durable()
    }

    // MARK: A full disk

    /// A disk whose free bytes the test sets.
    private func disk(_ free: Free, patience: Duration = .seconds(30)) -> CheckpointKeeper.Disk {
        .init(availableBytes: { _ in free.take() }, patience: patience)
    }

    @Test func aFullDiskPausesSavingAndRoomLetsItGoOn() throws {
        let free = Free(1000)
        let keeper = try keeper(space: disk(free))
        defer { keeper.close() }
        let client = try BulkClient(endpoint: keeper.endpoints[0], identity: .random(role: "bulk"))
        defer { client.close() }
        // A file that a writer before this one could not remove.
        try FileSystem.createDirectory(folder.file("checkpoints"))
        let left = folder.file("checkpoints/.step-00000007.h5.1-1.tmp")
        _ = try OpenFile(left, .create)
        for step: UInt64 in 1...2 {
            begin(step, keeper)
            // The worker's pieces are taken and dropped, so that it goes on.
            #expect(try handOver(step, client) == 28)
            let reason = try outcomes.failure()
            #expect(
                reason == "Writing to \(folder.file("checkpoints")) needs 3 MB and the disk has 0 MB left. "
                    + "Saving is paused and goes on by itself once there is room."
            )
        }
        #expect(!FileSystem.exists(left))
        free.bytes = 1 << 30
        begin(3, keeper)
        _ = try handOver(3, client)
        guard case .notice(let notice) = try outcomes.next() else { throw NotSaved(outcome: "no notice") }
        #expect(notice.contains("There is room in"))
        #expect(try outcomes.durable().steps == 3)
        begin(4, keeper)
        _ = try handOver(4, client)
        #expect(try outcomes.durable().steps == 4)
    }

    @Test func theLastCheckpointWaitsForRoom() throws {
        let free = Free(1000, afterFour: 1 << 30)
        let keeper = try keeper(space: disk(free))
        defer { keeper.close() }
        let client = try BulkClient(endpoint: keeper.endpoints[0], identity: .random(role: "bulk"))
        defer { client.close() }
        begin(1, keeper, reason: .end)
        _ = try handOver(1, client)
        guard case .notice(let notice) = try outcomes.next() else { throw NotSaved(outcome: "no notice") }
        #expect(notice.contains("needs 3 MB") && notice.hasSuffix("waits 30 seconds for room."))
        #expect(try outcomes.durable().steps == 1)

        // Not for ever.
        let full = try self.keeper(space: disk(Free(0), patience: .milliseconds(300)))
        defer { full.close() }
        begin(2, full, reason: .end)
        guard case .notice = try outcomes.next() else { throw NotSaved(outcome: "no notice") }
        #expect(try outcomes.failure().contains("needs 3 MB"))
    }

    @Test func aShareOfOtherBytesThanItSaysIsRefused() throws {
        let keeper = try keeper()
        defer { keeper.close() }
        let raw = try ZeroMQClient(connect: keeper.endpoints[0], identity: .random(role: "bulk")) { _ in }
        defer { raw.close() }
        begin(1, keeper)
        let bytes = [UInt8](repeating: 1, count: 12)
        try raw.send(BulkMessage.shareBegin(part: part(1), share: 1).encoded)
        try raw.send(
            BulkMessage.piece(part: part(1), name: "model/a", shape: [3], offset: 0, bytes: bytes).encoded
        )
        try raw.send(BulkMessage.shareDone(part: part(1), byteCount: 28).encoded)
        #expect(try outcomes.failure().contains("12 bytes have come and 28 were sent"))
    }

    /// Pieces of an attempt that was given up are not mixed into the next one at the same step.
    @Test func anEarlierAttemptIsToldApart() throws {
        let keeper = try keeper()
        defer { keeper.close() }
        let raw = try ZeroMQClient(connect: keeper.endpoints[0], identity: .random(role: "bulk")) { _ in }
        defer { raw.close() }
        begin(1, keeper)
        let bytes = [UInt8](repeating: 1, count: 12)
        let piece = BulkMessage.piece(part: part(1), name: "model/a", shape: [3], offset: 0, bytes: bytes)
        try raw.send(BulkMessage.shareBegin(part: part(1), share: 1).encoded)
        try raw.send(piece.encoded)
        try raw.send(BulkMessage.shareDone(part: part(1), byteCount: 0).encoded)
        _ = try outcomes.failure()
        begin(1, keeper)
        // Late: their beginning was before this attempt's.
        try raw.send(piece.encoded)
        let client = try BulkClient(endpoint: keeper.endpoints[0], identity: .random(role: "bulk"))
        defer { client.close() }
        _ = try handOver(1, client)
        _ = try outcomes.durable()
    }

    @Test func aConnectionThatBreaksCostsOneShareAtMost() throws {
        var keeper = try keeper()
        let endpoint = keeper.endpoints[0]
        let client = try BulkClient(endpoint: endpoint, identity: .random(role: "bulk"))
        defer { client.close() }
        begin(1, keeper)
        _ = try handOver(1, client)
        _ = try outcomes.next()
        keeper.close()
        keeper = try self.keeper(bind: endpoint)
        defer { keeper.close() }
        // The share that is under way when the loss is noticed fails; a later one goes over the connection made anew.
        let deadline = ContinuousClock.now + .seconds(60)
        var step: UInt64 = 2
        while true {
            begin(step, keeper)
            do {
                _ = try handOver(step, client)
                break
            } catch {
                keeper.abandon(completedSteps: step)
                step += 1
                try #require(ContinuousClock.now < deadline, "\(error)")
            }
        }
        _ = try outcomes.durable()
    }

    /// What a joiner, a resumed worker and one that fetches its data ask for is asked for again.
    @Test func aFileIsFetchedOverConnectionsThatBreak() throws {
        let keeper = try keeper()
        defer { keeper.close() }
        let client = try BulkClient(endpoint: keeper.endpoints[0], identity: .random(role: "bulk"))
        defer { client.close() }
        try FileSystem.createDirectory(folder.file("shards"))
        let bytes = (0..<3 * BulkMessage.largestPayload / 2).map { UInt8(truncatingIfNeeded: $0 / 251) }
        let file = try OpenFile(folder.file("shards/shard-0.h5"), .create)
        try bytes.withUnsafeBytes { try file.write($0, at: 0) }
        var fetched = [UInt8](repeating: 0, count: bytes.count)
        var parts = 0
        try client.fetch(BulkFile(isCheckpoint: false, name: "shard-0.h5")) { offset, size, part in
            #expect(size == bytes.count)
            fetched.replaceSubrange(offset..<offset + part.count, with: part)
            parts += 1
            client.breakConnection()
        }
        #expect(parts == 2 && fetched == bytes)
        // Where nobody is at the other end any more, it ends.
        client.breakConnection()
        client.close()
        #expect(throws: (any Error).self) {
            _ = try client.fetch(BulkFile(isCheckpoint: false, name: "shard-0.h5"), from: 0, length: 10)
        }
    }

    /// A share of more pieces than connections ever carry in one go.
    @Test func aShareGoesOnOverConnectionsThatBreak() throws {
        let rows = 40
        let keeper = try keeper(tensors: [TensorSignature("model/a", [rows, 1000])])
        defer { keeper.close() }
        let client = try BulkClient(endpoint: keeper.endpoints[0], identity: .random(role: "bulk"))
        defer { client.close() }
        for step: UInt64 in 1...2 {
            begin(step, keeper)
            var calls = 0
            let count = try client.handOver(part(step)) { send in
                calls += 1
                for row in 0..<rows {
                    try send("model/a", [rows, 1000], 4000 * row, [UInt8](repeating: UInt8(row), count: 4000))
                    // Behind the window's pieces some were taken; those that were and are not known to be come again.
                    if row % 12 == 11 && row / 12 == calls - 1 { client.breakConnection() }
                }
            }
            #expect(count == 4000 * UInt64(rows) && calls > 1, "\(calls)")
            let (_, path, warnings) = try outcomes.durable()
            #expect(warnings.isEmpty && CheckpointStore.verify(path).isEmpty)
            let saved = try CheckpointStore.load(path).values(of: "model/a")
            #expect((0..<rows).allSatisfy { saved[1000 * $0 + 7].bitPattern == 0x0101_0101 &* UInt32($0) })
        }
    }

    @Test func aShareWhoseConnectionsCarryNothingFailsAndTheNextIsWhole() throws {
        let keeper = try keeper()
        defer { keeper.close() }
        let client = try BulkClient(endpoint: keeper.endpoints[0], identity: .random(role: "bulk"))
        defer { client.close() }
        begin(1, keeper)
        _ = try handOver(1, client)
        _ = try outcomes.durable()
        begin(2, keeper)
        #expect(throws: (any Error).self) {
            try client.handOver(part(2)) { send in
                let bytes = [UInt8](repeating: 2, count: 12)
                client.breakConnection()
                // Whoever is told of the loss later than this piece is sent is told by the next one.
                for _ in 0..<100 { try send("model/a", [3], 0, bytes) }
                // None of these were waited for: what was taken is lost with the share's end.
                throw CancellationError()
            }
        }
        // Pieces of the share that broke may come over the new connection, before or after the next attempt begins.
        var attempts: UInt64 = 1
        while true {
            keeper.abandon(completedSteps: 2)
            attempts += 1
            begin(2, keeper, token: attempts)
            do {
                #expect(try handOver(2, client, token: attempts) == 28)
                break
            } catch { try #require(attempts < 4, "\(error)") }
        }
        // What was told of the attempts before is behind it: that a piece came twice, as this test has sent it.
        while true {
            switch try outcomes.next() {
            case .durable(let steps, _, _):
                #expect(steps == 2)
                return
            case .failed(_, let reason): #expect(reason.contains("came twice") || reason.contains("have come"))
            case .refused, .notice: break
            }
        }
    }

    /// A member's share cannot be given by another one that has a key, nor by who reaches an open port.
    @Test func whatNobodyWasAskedForIsNoPartOfACheckpoint() throws {
        let keeper = try keeper()
        defer { keeper.close() }
        let intruder = try BulkClient(endpoint: keeper.endpoints[0], identity: .random(role: "bulk"))
        defer { intruder.close() }
        let client = try BulkClient(endpoint: keeper.endpoints[0], identity: .random(role: "bulk"))
        defer { client.close() }
        begin(1, keeper, token: 0x1234_5678_9ABC_DEF0)
        for token: UInt64 in [0, 1, .max] {
            _ = try intruder.handOver(part(1, token: token)) { send in
                for tensor in Self.tensors {
                    let bytes = 4 * tensor.shape.reduce(1, *)
                    try send(tensor.name, tensor.shape, 0, [UInt8](repeating: 66, count: bytes))
                }
                try send("model/none", [1 << 20, 1 << 9], 0, [1, 2, 3, 4])
            }
        }
        _ = try handOver(1, client, token: 0x1234_5678_9ABC_DEF0)
        let (_, path, _) = try outcomes.durable()
        let saved = try CheckpointStore.load(path)
        #expect(try saved.values(of: "model/a") == [Float](repeating: Float(bitPattern: 0x0101_0101), count: 3))
    }

    /// Answers are sent to a name, so that those to a share that failed can come over the connection of the next one.
    @Test func answersToAnEarlierAttemptAreNotTakenForThisOne() throws {
        let heard = Heard()
        let server = try ZeroMQServer(bind: ["tcp://127.0.0.1:*"]) { event in
            guard case .received(let peer, let bytes) = event, let message = BulkMessage(bytes) else { return }
            heard.add(peer, message)
        }
        defer { server.close() }
        let client = try BulkClient(endpoint: server.endpoints[0], identity: .random(role: "bulk"))
        defer { client.close() }
        struct GivenUp: Error {}
        #expect(throws: GivenUp.self) { try client.handOver(part(1)) { _ in throw GivenUp() } }
        let first = try heard.begun()
        let second = try client.handOver(part(1)) { send in
            try send("model/a", [3], 0, [UInt8](repeating: 1, count: 12))
            let now = try heard.begun()
            #expect(now.share != first.share)
            try server.send(BulkMessage.taken(share: first.share, count: 2).encoded, to: now.peer)
            // In order behind it: by then the client has read the other.
            try server.send(BulkMessage.taken(share: now.share, count: 1).encoded, to: now.peer)
            heard.whenDone { try? server.send(BulkMessage.taken(share: now.share, count: 2).encoded, to: now.peer) }
        }
        #expect(second == 12)
        #expect(heard.isDone, "it was taken for whole before its end had come")
    }

    @Test func messagesComeBackAsTheyWere() {
        let part = BulkPart(step: 7, part: 1, parts: 3, token: .max)
        let messages: [BulkMessage] = [
            .shareBegin(part: part, share: 5), .taken(share: 5, count: 9), .shareDone(part: part, byteCount: 5),
            .piece(part: part, name: "model/a", shape: [1, 2], offset: 4, bytes: [1, 2, 3]),
        ]
        for message in messages {
            #expect(BulkMessage(message.encoded) == message)
            for length in 0..<min(17, message.encoded.count) {
                #expect(BulkMessage(Array(message.encoded.prefix(length))) == nil)
            }
        }
    }
}

/// What a server hears of shares.
final class Heard: Sendable {
    private struct State: Sendable {
        var begun: [(peer: PeerIdentity, share: UInt64)] = []
        var isDone = false
        var whenDone: (@Sendable () -> Void)?
    }

    private let state = Mutex(State())
    private let arrived = DispatchSemaphore(value: 0)

    /// Whether a share's end has come.
    var isDone: Bool { state.withLock { $0.isDone } }

    func whenDone(_ body: @escaping @Sendable () -> Void) {
        let isDone = state.withLock { state in
            state.whenDone = body
            return state.isDone
        }
        if isDone { body() }
    }

    func add(_ peer: PeerIdentity, _ message: BulkMessage) {
        switch message {
        case .shareBegin(_, let share):
            state.withLock { $0.begun.append((peer, share)) }
            arrived.signal()
        case .shareDone:
            let body = state.withLock { state in
                state.isDone = true
                return state.whenDone
            }
            body?()
        default: break
        }
    }

    /// The next share that was begun.
    func begun() throws -> (peer: PeerIdentity, share: UInt64) {
        try #require(arrived.wait(timeout: .now() + 60) == .success, "no share was begun")
        return state.withLock { $0.begun.removeFirst() }
    }
}

/// Free bytes of a disk: other ones after the fourth look.
final class Free: Sendable {
    private let state: Mutex<(bytes: Int, later: Int?, looks: Int)>

    init(_ bytes: Int, afterFour later: Int? = nil) { state = Mutex((bytes, later, 0)) }

    var bytes: Int {
        get { state.withLock { $0.bytes } }
        set { state.withLock { $0.bytes = newValue } }
    }

    func take() -> Int {
        state.withLock { state in
            state.looks += 1
            if let later = state.later, state.looks > 4 { return later }
            return state.bytes
        }
    }
}

/// A number that threads add to.
final class Counter: Sendable {
    private let number = Atomic(0)

    var value: Int { number.load(ordering: .sequentiallyConsistent) }

    func add() { number.add(1, ordering: .sequentiallyConsistent) }
}
