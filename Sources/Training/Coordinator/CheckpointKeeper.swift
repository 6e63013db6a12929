package import Coordination
import Diagnostics
import Glibc
import HDF5IO
package import Messaging
package import Storage
import Synchronization

/// Takes the workers' tensors and writes them as one checkpoint, on a thread of its own; serves files to workers.
///
/// One checkpoint is open at a time. Pieces for another one are taken and dropped, so that a worker's window empties.
///
/// A disk that is too full for the next checkpoint is noticed before anything is written. Each one that comes due then
/// fails with what is needed and what is there, and the first one that finds room is saved; the run goes on all the
/// while. One after which nothing else would come waits a while for room.
package final class CheckpointKeeper: Sendable {
    /// What becomes of a checkpoint.
    package enum Outcome: Sendable {
        /// The warnings tell what went wrong beside it.
        case durable(completedSteps: UInt64, path: String, warnings: [String])
        case failed(completedSteps: UInt64, reason: String)
        /// Saving waits for room, or has found it again.
        case notice(String)
    }

    /// How a keeper looks at its disk.
    package struct Disk: Sendable {
        /// The bytes that can still be written below a folder.
        package var availableBytes: @Sendable (String) throws -> Int
        /// How long the last checkpoint of a run waits for room; less than the coordinator waits for its pieces.
        package var patience: Duration

        package init(
            availableBytes: @escaping @Sendable (String) throws -> Int = { try FileSystem.availableBytes(at: $0) },
            patience: Duration = .seconds(30)
        ) {
            self.availableBytes = availableBytes
            self.patience = patience
        }
    }

    private struct Open: Sendable {
        var order: CheckpointOrder
        var trainer: TrainerState
        var beforePublishing: @Sendable () throws -> Void
        var writer: CheckpointWriter
        var missing: Set<BulkPart>
    }

    /// What a peer has handed over of its share since it began it.
    private struct Share: Sendable {
        var part: BulkPart
        /// The checkpoint that was open when the share began, so that an earlier attempt at the same step is told apart.
        var attempt: Int
        var pieces: UInt64 = 0
        var bytes: UInt64 = 0
    }

    private struct State: Sendable {
        var open: Open?
        /// The number of checkpoints that have been opened.
        var attempt = 0
        var shares: [PeerIdentity: Share] = [:]
        var server: (any ServerTransport)?
        /// Why no worker can be heard any more.
        var failure: String?
        /// Whether the disk was too full for the last checkpoint.
        var isFull = false
        var isClosing = false

        /// The open checkpoint, where `share` is a part of it that is still missing.
        func open(for share: Share) -> Open? {
            guard let open, share.attempt == attempt, open.missing.contains(share.part) else { return nil }
            return open
        }
    }

    private let directory: String
    private let shards: String
    private let tensors: [TensorSignature]
    private let retention: RetentionPolicy
    private let disk: SerialThread
    private let space: Disk
    private let state = Mutex(State())
    private let report: @Sendable (Outcome) -> Void

    /// Where workers connect.
    package let endpoints: [String]

    /// `tensors` are those of every checkpoint; one that lacks any is not published. `report` is called on the keeper's
    /// thread.
    package init(
        bind: [String],
        directory: String,
        shards: String,
        tensors: [TensorSignature],
        retention: RetentionPolicy,
        space: Disk = Disk(),
        curve: CurveKeys? = nil,
        report: @escaping @Sendable (Outcome) -> Void
    ) throws {
        self.directory = directory
        self.shards = shards
        self.tensors = tensors
        self.retention = retention
        self.space = space
        self.report = report
        // Where workers compute on all cores of this host, a checkpoint takes what they leave, and a tenth of a core
        // otherwise: enough for workers that fetch their data from here.
        let disk = try SerialThread(name: "pleura-disk", niceness: 10)
        self.disk = disk
        let relay = Relay()
        let server = try ZeroMQServer(bind: bind, curve: curve) { event in relay.handle(event) }
        endpoints = server.endpoints
        relay.set { [unowned self] event in
            // In order, one after the other, off the transport's thread.
            disk.submit { self.handle(event) }
        }
        state.withLock { $0.server = server }
    }

    package func close() {
        state.withLock { state in
            state.isClosing = true
            return state.server
        }?.close()
        disk.close()
        state.withLock { state in
            state.open?.writer.cancel()
            state.open = nil
            state.server = nil
        }
    }

    /// Opens the checkpoint of `order`; `beforePublishing` is called on the keeper's thread when it is whole.
    package func begin(
        _ order: CheckpointOrder,
        trainer: TrainerState,
        beforePublishing: @escaping @Sendable () throws -> Void = {}
    ) {
        disk.submit { [self] in
            state.withLock { state in
                state.open?.writer.cancel()
                state.open = nil
            }
            do {
                if let failure = state.withLock({ $0.failure }) { throw MessagingError.failed(reason: failure) }
                try FileSystem.createDirectory(directory)
                // What an earlier one could not remove would be missed as room; nothing else writes here.
                _ = try? CheckpointStore(directory).removeTemporaries()
                try findRoom(isLast: order.reason == .end)
                let writer = try CheckpointWriter.create(
                    directory: directory,
                    step: Int(order.completedSteps),
                    expectedBytes: expectedBytes
                )
                let missing = Set(
                    order.pieces.map {
                        BulkPart(step: order.completedSteps, part: $0.share.part, parts: $0.share.parts)
                    }
                )
                state.withLock {
                    $0.attempt += 1
                    $0.open = Open(
                        order: order,
                        trainer: trainer,
                        beforePublishing: beforePublishing,
                        writer: writer,
                        missing: missing
                    )
                }
            } catch {
                report(.failed(completedSteps: order.completedSteps, reason: sentence(error)))
            }
        }
    }

    /// The bytes of a checkpoint's tensors.
    private var expectedBytes: Int { tensors.reduce(0) { $0 + 4 * $1.shape.reduce(1, *) } }

    /// Throws if the disk has no room for a checkpoint; the last one waits until there is some, or patience is at its
    /// end.
    private func findRoom(isLast: Bool) throws {
        let needed = CheckpointWriter.neededBytes(expectedBytes)
        let deadline = ContinuousClock.now + space.patience
        var isWaiting = false
        while true {
            let available = try space.availableBytes(directory)
            if available >= needed { return }
            let shortage = InsufficientSpace(directory: directory, neededBytes: needed, availableBytes: available)
            guard isLast, ContinuousClock.now < deadline, !state.withLock({ $0.isClosing }) else { throw shortage }
            if !isWaiting {
                isWaiting = true
                let seconds = max(1, space.patience.components.seconds)
                report(.notice("\(shortage.sentence) The last checkpoint waits \(seconds) seconds for room."))
            }
            // Nothing tells of room that comes free.
            usleep(100_000)
        }
    }

    /// Why a checkpoint has failed, in words; remembers that the disk is full.
    private func sentence(_ error: any Error) -> String {
        let shortage: InsufficientSpace
        if let found = error as? InsufficientSpace {
            shortage = found
        } else if (error as? FileError)?.isNoSpace == true || (error as? HDF5Error)?.code == .noSpace,
            let available = try? space.availableBytes(directory)
        {
            // Somebody else has taken the room, or a quota or the file system's own needs are in the way.
            let needed = CheckpointWriter.neededBytes(expectedBytes)
            shortage = InsufficientSpace(directory: directory, neededBytes: needed, availableBytes: available)
        } else {
            return "\(error)"
        }
        state.withLock { $0.isFull = true }
        return "\(shortage.sentence) Saving is paused and goes on by itself once there is room."
    }

    /// Throws away the checkpoint of `completedSteps`.
    package func abandon(completedSteps: UInt64) {
        disk.submit { [self] in
            state.withLock { state in
                guard let open = state.open, open.order.completedSteps == completedSteps else { return }
                open.writer.cancel()
                state.open = nil
            }
        }
    }

    /// Deletes the durable checkpoint of `completedSteps`.
    package func discard(completedSteps: UInt64) {
        disk.submit { [directory] in
            // What is left is found by the next `verify`; the run is ending.
            try? FileSystem.remove("\(directory)/\(CheckpointStore.fileName(step: Int(completedSteps)))")
            let store = CheckpointStore(directory)
            if let newest = try? store.list().last { try? store.markLatest(step: newest.step) }
        }
    }

    // MARK: On the disk's thread

    private func handle(_ event: TransportEvent) {
        switch event {
        case .received(let peer, let bytes):
            guard let message = BulkMessage(bytes) else { return }
            switch message {
            case .shareBegin(let part):
                state.withLock { $0.shares[peer] = Share(part: part, attempt: $0.attempt) }
            case .piece(let part, let name, let shape, let offset, let bytes):
                // Without its beginning, lost with a connection, the share cannot be told to be whole.
                guard var share = state.withLock({ $0.shares[peer] }), share.part == part else { return }
                take(share, name: name, shape: shape, offset: offset, bytes: bytes)
                share.pieces += 1
                share.bytes += UInt64(bytes.count)
                let counted = share
                state.withLock { $0.shares[peer] = counted }
                answer(.taken(part: part, count: counted.pieces), to: peer)
            case .shareDone(let part, let byteCount):
                guard let share = state.withLock({ $0.shares.removeValue(forKey: peer) }), share.part == part
                else { return }
                // Before the file is published, which takes long.
                answer(.taken(part: part, count: share.pieces + 1), to: peer)
                shareDone(share, byteCount: byteCount)
            case .fetch(let request, let file, let offset, let length):
                answer(chunk(request, file, offset, length), to: peer)
            case .taken, .chunk, .refused: break
            }
        case .lost(let peer, _): state.withLock { $0.shares[peer] = nil }
        case .failed(let reason):
            let open = state.withLock { state in
                state.failure = reason
                return state.open
            }
            if let open { fail(open, MessagingError.failed(reason: reason)) }
        case .connected, .dropped: break
        }
    }

    private func answer(_ message: BulkMessage, to peer: PeerIdentity) {
        // A peer that is gone hears nothing; its loss comes as an event.
        try? state.withLock { $0.server }?.send(message.encoded, to: peer)
    }

    private func take(_ share: Share, name: String, shape: [Int], offset: Int, bytes: [UInt8]) {
        guard let open = state.withLock({ $0.open(for: share) }) else { return }
        do {
            try bytes.withUnsafeBytes { try open.writer.write(name, shape: shape, bytes: $0, at: offset) }
        } catch { fail(open, error) }
    }

    private func shareDone(_ share: Share, byteCount: UInt64) {
        guard var open = state.withLock({ $0.open(for: share) }) else { return }
        guard share.bytes == byteCount else {
            let number = "part \(share.part.part + 1) of \(share.part.parts)"
            fail(open, RunError.data("Of \(number), \(share.bytes) bytes have come and \(byteCount) were sent."))
            return
        }
        open.missing.remove(share.part)
        let left = open
        state.withLock { $0.open = left.missing.isEmpty ? nil : left }
        if left.missing.isEmpty { publish(left) }
    }

    private func publish(_ open: Open) {
        var warnings: [String] = []
        do {
            try open.writer.require(tensors)
            do { try open.beforePublishing() } catch { warnings.append("\(error)") }
            let record = try open.writer.finish(trainer: open.trainer, retention: retention) { warnings.append($0) }
            let wasFull = state.withLock { state in
                defer { state.isFull = false }
                return state.isFull
            }
            if wasFull { report(.notice("There is room in \(directory) again: saving goes on.")) }
            report(.durable(completedSteps: open.order.completedSteps, path: record.path, warnings: warnings))
        } catch { fail(open, error) }
    }

    private func fail(_ open: Open, _ error: any Error) {
        open.writer.cancel()
        state.withLock { $0.open = nil }
        report(.failed(completedSteps: open.order.completedSteps, reason: sentence(error)))
    }

    private func chunk(_ request: UInt64, _ file: BulkFile, _ offset: Int, _ length: Int) -> BulkMessage {
        guard file.isSafe else { return .refused(request: request, reason: "its name leads out of the folder") }
        do {
            let open = try OpenFile("\(file.isCheckpoint ? directory : shards)/\(file.name)", .read)
            let size = try open.size()
            var bytes = [UInt8](repeating: 0, count: max(0, min(length, size - offset)))
            let count = try bytes.withUnsafeMutableBytes { try open.read(at: offset, into: $0) }
            return .chunk(request: request, fileSize: size, bytes: Array(bytes.prefix(count)))
        } catch {
            return .refused(request: request, reason: "\(error)")
        }
    }
}

/// Passes a transport's events to a handler that is known only after the transport exists.
final class Relay: Sendable {
    /// In a type of its own: a bare closure in a `Mutex` is wrapped anew by every `withLock`, and each call goes through
    /// all of the wraps.
    private struct Handler: Sendable {
        var call: @Sendable (TransportEvent) -> Void
    }

    private let handler = Mutex<Handler?>(nil)
    private let early = Mutex<[TransportEvent]>([])

    func set(_ handler: @escaping @Sendable (TransportEvent) -> Void) {
        self.handler.withLock { $0 = Handler(call: handler) }
        for event in early.withLock({ events in
            defer { events = [] }
            return events
        }) { handler(event) }
    }

    func handle(_ event: TransportEvent) {
        if let handler = handler.withLock({ $0 }) {
            handler.call(event)
        } else {
            early.withLock { $0.append(event) }
        }
    }
}
