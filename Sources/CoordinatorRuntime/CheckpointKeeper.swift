package import Coordination
import Glibc
import HDF5IO
package import Messaging
import Platform
import RunFolder
import RunLinks
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
        /// Connections or messages of strangers were refused: so many so far, and why the last one.
        case refused(count: Int, reason: String)
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
            availableBytes: @escaping @Sendable (String) throws -> Int = {
                try FileSystem.availableFileBytes(at: $0)
            },
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
        /// The peer's number for it.
        var number: UInt64
        var pieces: UInt64 = 0
        var bytes: UInt64 = 0
    }

    private struct State: Sendable {
        var open: Open?
        var shares: [PeerIdentity: Share] = [:]
        /// Which requests for files are answered.
        var fetches = FetchWindow()
        /// Bytes of each peer's messages that wait for the disk.
        var queuedBytes: [PeerIdentity: Int] = [:]
        var server: (any ServerTransport)?
        /// Why no worker can be heard any more.
        var failure: String?
        /// Whether the disk was too full for the last checkpoint.
        var isFull = false
        var isClosing = false

        /// The open checkpoint, where `share` is a part of it that is still missing. Parts carry their attempt's token.
        func open(for share: Share) -> Open? {
            guard let open, open.missing.contains(share.part) else { return nil }
            return open
        }
    }

    /// What a peer's messages may have that wait for the disk: twice what a worker's window lets it send.
    private static let mostQueuedBytes = 16 * BulkMessage.largestMessage

    private let directory: String
    private let shards: String
    private let tensors: [TensorSignature]
    private let retention: RetentionPolicy
    private let disk: SerialThread
    private let space: Disk
    private let state = Mutex(State())
    private let report: @Sendable (Outcome) -> Void
    /// Throws where the run's folder is not there any more: a new one must not be made in its place.
    private let requireFolder: @Sendable () throws -> Void

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
        requireFolder: @escaping @Sendable () throws -> Void = {},
        report: @escaping @Sendable (Outcome) -> Void
    ) throws {
        self.directory = directory
        self.shards = shards
        self.tensors = tensors
        self.retention = retention
        self.space = space
        self.report = report
        self.requireFolder = requireFolder
        // Where workers compute on all cores of this host, a checkpoint takes what they leave, and a tenth of a core
        // otherwise: enough for workers that fetch their data from here.
        let disk = try SerialThread(name: "pleura-disk", niceness: 10)
        self.disk = disk
        let relay = Relay()
        let server = try ZeroMQServer(bind: bind, limits: Self.limits, curve: curve) { event in relay.handle(event) }
        endpoints = server.endpoints
        state.withLock { $0.server = server }
        relay.set { [unowned self] event in
            guard admit(event) else { return }
            // In order, one after the other, off the transport's thread.
            disk.submit { self.handle(event) }
        }
    }

    /// A few messages of each connection wait in libzmq, which counts messages and not bytes.
    private static var limits: TransportLimits {
        var limits = TransportLimits(
            sends: BulkMessage.largestMessage,
            receives: BulkMessage.largestMessage,
            first: BulkMessage.largestFirstMessage
        )
        limits.receivedMessages = 4
        return limits
    }

    /// Whether an event may wait for the disk, on the transport's thread; a peer that sends more than its window is cut off.
    private func admit(_ event: TransportEvent) -> Bool {
        guard case .received(let peer, let bytes) = event else { return true }
        let queued = state.withLock { state in
            let queued = state.queuedBytes[peer, default: 0] + bytes.count
            if queued <= Self.mostQueuedBytes { state.queuedBytes[peer] = queued }
            return queued
        }
        if queued <= Self.mostQueuedBytes { return true }
        refuse(peer, "\(queued) bytes of \(peer) wait for the disk already, of \(Self.mostQueuedBytes) allowed")
        return false
    }

    private func refuse(_ peer: PeerIdentity, _ reason: String) {
        state.withLock { $0.server }?.refuse(peer, reason: reason)
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
                try requireFolder()
                try FileSystem.createDirectory(directory)
                // What an earlier one could not remove would be missed as room; nothing else writes here.
                _ = try? CheckpointStore(directory).removeTemporaries()
                try findRoom(isLast: order.reason == .end)
                let writer = try CheckpointWriter.create(
                    directory: directory,
                    step: Int(order.completedSteps),
                    expectedBytes: expectedBytes
                )
                let missing = Set(order.pieces.map { BulkPart(step: order.completedSteps, $0.share) })
                state.withLock {
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
            // No system call waits until a disk has room.
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
            shortage = InsufficientSpace(
                directory: directory,
                neededBytes: needed,
                availableBytes: available,
                isOutOfFiles: FileSystem.isOutOfFiles(at: directory)
            )
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
            state.withLock { state in
                let left = state.queuedBytes[peer, default: 0] - bytes.count
                state.queuedBytes[peer] = left > 0 ? left : nil
            }
            guard let message = BulkMessage(bytes) else {
                refuse(peer, "\(bytes.count) bytes from \(peer) that are no message of the bulk connection, or damaged")
                return
            }
            switch message {
            case .shareBegin(let part, let number):
                state.withLock { $0.shares[peer] = Share(part: part, number: number) }
            case .piece(let part, let name, let shape, let offset, let bytes):
                // Without its beginning, lost with a connection, the share cannot be told to be whole.
                guard var share = state.withLock({ $0.shares[peer] }), share.part == part else { return }
                take(share, name: name, shape: shape, offset: offset, bytes: bytes)
                share.pieces += 1
                share.bytes += UInt64(bytes.count)
                let counted = share
                state.withLock { $0.shares[peer] = counted }
                answer(.taken(share: counted.number, count: counted.pieces), to: peer)
            case .shareDone(let part, let byteCount):
                guard let share = state.withLock({ $0.shares.removeValue(forKey: peer) }), share.part == part
                else { return }
                // Before the file is published, which takes long.
                answer(.taken(share: share.number, count: share.pieces + 1), to: peer)
                shareDone(share, byteCount: byteCount)
            case .fetch(let request, let file, let offset, let length):
                let asked = FetchWindow.Request(
                    peer: peer,
                    number: request,
                    file: file,
                    offset: offset,
                    length: length
                )
                serve { $0.ask(asked, at: .now) }
            case .received(let request): serve { $0.received(request, by: peer, at: .now) }
            case .taken, .chunk, .refused:
                refuse(peer, "a message from \(peer) that only a coordinator sends")
            }
        case .lost(let peer, _):
            state.withLock { $0.shares[peer] = nil }
            serve { $0.lost(peer, at: .now) }
        case .failed(let reason):
            let open = state.withLock { state in
                state.failure = reason
                return state.open
            }
            if let open { fail(open, MessagingError.failed(reason: reason)) }
        case .dropped(let count, let reason): report(.refused(count: count, reason: reason))
        case .connected: break
        }
    }

    /// Answers what the window lets through, and cuts off who does not take its answers.
    private func serve(_ change: (inout FetchWindow) -> FetchWindow.Actions) {
        let actions = state.withLock { change(&$0.fetches) }
        for (peer, reason) in actions.refusals { refuse(peer, "\(peer): \(reason)") }
        for request in actions.answers {
            answer(chunk(request.number, request.file, request.offset, request.length), to: request.peer)
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
            let part = share.part
            fail(open, CoordinatorError.cutPart(part.part + 1, of: part.parts, bytes: share.bytes, sent: byteCount))
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
            try requireFolder()
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
