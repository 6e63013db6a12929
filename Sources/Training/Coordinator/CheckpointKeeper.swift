package import Coordination
import Diagnostics
import Messaging
package import Storage
import Synchronization

/// Takes the workers' tensors and writes them as one checkpoint, on a thread of its own; serves files to workers.
///
/// One checkpoint is open at a time. Pieces for another one are taken and dropped, so that a worker's window empties.
package final class CheckpointKeeper: Sendable {
    /// What becomes of a checkpoint.
    package enum Outcome: Sendable {
        case durable(completedSteps: UInt64, path: String)
        case failed(completedSteps: UInt64, reason: String)
    }

    private struct Open: Sendable {
        var order: CheckpointOrder
        var trainer: TrainerState
        var writer: CheckpointWriter
        var missing: Set<BulkPart>
    }

    private struct State: Sendable {
        var open: Open?
        var taken: [PeerIdentity: UInt64] = [:]
        var server: (any ServerTransport)?
        /// Why no worker can be heard any more.
        var failure: String?
    }

    private let directory: String
    private let shards: String
    private let expectedBytes: Int
    private let retention: RetentionPolicy
    private let disk: SerialThread
    private let state = Mutex(State())
    private let report: @Sendable (Outcome) -> Void

    /// Where workers connect.
    package let endpoints: [String]

    /// `report` is called on the keeper's thread.
    package init(
        bind: [String],
        directory: String,
        shards: String,
        expectedBytes: Int,
        retention: RetentionPolicy,
        report: @escaping @Sendable (Outcome) -> Void
    ) throws {
        self.directory = directory
        self.shards = shards
        self.expectedBytes = expectedBytes
        self.retention = retention
        self.report = report
        let disk = try SerialThread(name: "pleura-disk")
        self.disk = disk
        let relay = Relay()
        let server = try ZeroMQServer(bind: bind) { event in relay.handle(event) }
        endpoints = server.endpoints
        relay.set { [unowned self] event in
            // In order, one after the other, off the transport's thread.
            disk.submit { self.handle(event) }
        }
        state.withLock { $0.server = server }
    }

    package func close() {
        state.withLock { $0.server }?.close()
        disk.close()
        state.withLock { state in
            state.open?.writer.cancel()
            state.open = nil
            state.server = nil
        }
    }

    /// Opens the checkpoint of `order`.
    package func begin(_ order: CheckpointOrder, trainer: TrainerState) {
        disk.submit { [self] in
            state.withLock { state in
                state.open?.writer.cancel()
                state.open = nil
            }
            do {
                if let failure = state.withLock({ $0.failure }) { throw MessagingError.failed(reason: failure) }
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
                    $0.open = Open(order: order, trainer: trainer, writer: writer, missing: missing)
                }
            } catch {
                report(.failed(completedSteps: order.completedSteps, reason: "\(error)"))
            }
        }
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
        }
    }

    // MARK: On the disk's thread

    private func handle(_ event: TransportEvent) {
        switch event {
        case .received(let peer, let bytes):
            guard let message = BulkMessage(bytes) else { return }
            switch message {
            case .piece(let part, let name, let shape, let offset, let bytes):
                take(part, name: name, shape: shape, offset: offset, bytes: bytes)
                let count = state.withLock { state in
                    state.taken[peer, default: 0] += 1
                    return state.taken[peer] ?? 0
                }
                answer(.taken(count: count), to: peer)
            case .shareDone(let part, _): shareDone(part)
            case .fetch(let request, let file, let offset, let length):
                answer(chunk(request, file, offset, length), to: peer)
            case .taken, .chunk, .refused: break
            }
        case .lost(let peer, _): state.withLock { $0.taken[peer] = nil }
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

    private func take(_ part: BulkPart, name: String, shape: [Int], offset: Int, bytes: [UInt8]) {
        guard let open = state.withLock({ $0.open }), open.missing.contains(part) else { return }
        do {
            try bytes.withUnsafeBytes { try open.writer.write(name, shape: shape, bytes: $0, at: offset) }
        } catch { fail(open, error) }
    }

    private func shareDone(_ part: BulkPart) {
        let complete = state.withLock { state -> Open? in
            guard var open = state.open, open.missing.remove(part) != nil else { return nil }
            state.open = open.missing.isEmpty ? nil : open
            return open.missing.isEmpty ? open : nil
        }
        guard let complete else { return }
        do {
            let record = try complete.writer.finish(trainer: complete.trainer, retention: retention)
            report(.durable(completedSteps: part.step, path: record.path))
        } catch { fail(complete, error) }
    }

    private func fail(_ open: Open, _ error: any Error) {
        open.writer.cancel()
        state.withLock { $0.open = nil }
        report(.failed(completedSteps: open.order.completedSteps, reason: "\(error)"))
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
    private let handler = Mutex<(@Sendable (TransportEvent) -> Void)?>(nil)
    private let early = Mutex<[TransportEvent]>([])

    func set(_ handler: @escaping @Sendable (TransportEvent) -> Void) {
        self.handler.withLock { $0 = handler }
        for event in early.withLock({ events in
            defer { events = [] }
            return events
        }) { handler(event) }
    }

    func handle(_ event: TransportEvent) {
        if let handler = handler.withLock({ $0 }) {
            handler(event)
        } else {
            early.withLock { $0.append(event) }
        }
    }
}
