package import Coordination
import Graph
import ModelSetup
import Platform
import RunLinks
import Sampling
import Storage

extension WorkerEngine {
    /// Copies the share of the state that `request` names, now, and hands it to the coordinator in the background;
    /// ends in `.snapshotStreamed`.
    package func stream(_ request: CheckpointRequest, over bulk: BulkClient) {
        let all = state.tensors
        let share = request.share.tensors(byteCounts: all.map(\.byteCount))
        let copies: [TensorCopy]
        do {
            // Nothing changes the state any more after the last step.
            let isFinal = request.completedSteps >= setup.schedule.totalSteps
            copies =
                try isFinal
                ? all[share].map { TensorCopy($0, in: state, at: $0.stored(in: state)) }
                : TensorCopy.copies(of: Array(all[share]), in: state)
        } catch {
            report(.snapshotStreamed(piece(request, 0, "\(error)")))
            return
        }
        streams.submit { [self] in
            let part = BulkPart(step: request.completedSteps, request.share)
            do {
                let sent = try bulk.handOver(part) { send in
                    for copy in copies {
                        let values = copy.values(layout: setup.layout)
                        try values.withUnsafeBytes { bytes in
                            var offset = 0
                            repeat {
                                let end = min(offset + BulkMessage.largestPayload - 4096, bytes.count)
                                try send(copy.signature.name, copy.signature.shape, offset, Array(bytes[offset..<end]))
                                offset = end
                                pool.notePiece()
                                let step = request.completedSteps
                                if plannedFaults?.reach(.streaming, step: step, worker: worker) == .reset {
                                    bulk.breakConnection()
                                }
                            } while offset < bytes.count
                        }
                    }
                }
                report(.snapshotStreamed(piece(request, sent, nil)))
            } catch {
                report(.snapshotStreamed(piece(request, 0, "\(error)")))
            }
        }
    }

    private func piece(_ request: CheckpointRequest, _ sent: UInt64, _ failure: String?) -> CheckpointPiece {
        CheckpointPiece(
            completedSteps: request.completedSteps,
            share: request.share,
            byteCount: sent,
            failure: failure
        )
    }
}

extension ModelState.StateEntry {
    /// Its values in the storage layout.
    fileprivate func stored(in state: ModelState) -> UnsafeBufferPointer<Float> {
        switch place {
        case .parameter(let parameter, let vector):
            UnsafeBufferPointer(start: vector + parameter.offset, count: parameter.count)
        case .buffer(let buffer):
            UnsafeBufferPointer(start: state.buffers + buffer.offset, count: buffer.count)
        }
    }
}

/// A tensor as it was when the snapshot was taken, in the storage layout.
private struct TensorCopy: @unchecked Sendable {
    // Nobody writes what `stored` points to while its owner is held here.
    let signature: TensorSignature
    private let parameter: ParameterSpec?
    private let stored: UnsafeBufferPointer<Float>
    private let owner: AnyObject

    /// `stored` are the entry's values; `owner` keeps them.
    init(_ entry: ModelState.StateEntry, in owner: AnyObject, at stored: UnsafeBufferPointer<Float>) {
        signature = entry.signature
        if case .parameter(let parameter, _) = entry.place { self.parameter = parameter } else { parameter = nil }
        self.stored = stored
        self.owner = owner
    }

    /// Copies of `entries`, in memory that goes back to the system with the last of them.
    ///
    /// The storage layout is copied at the speed of memory; turning it into PyTorch's order can wait.
    static func copies(of entries: [ModelState.StateEntry], in state: ModelState) throws -> [TensorCopy] {
        let sources = entries.map { $0.stored(in: state) }
        let memory = try PageMemory(bytes: 4 * sources.reduce(0) { $0 + $1.count })
        var next = memory.floats
        return zip(entries, sources).map { entry, source in
            if let base = source.baseAddress { next.update(from: base, count: source.count) }
            defer { next += source.count }
            return TensorCopy(entry, in: memory, at: UnsafeBufferPointer(start: next, count: source.count))
        }
    }

    /// The values in PyTorch's shape.
    func values(layout: ParameterLayout) -> [Float] {
        guard var parameter, let base = stored.baseAddress else { return Array(stored) }
        parameter.offset = 0
        return layout.export(parameter, from: base)
    }
}
