package import Coordination
import Graph
import Storage

extension WorkerEngine {
    /// Copies the share of the state that `request` names, now, and hands it to the coordinator in the background;
    /// ends in `.snapshotStreamed`.
    package func stream(_ request: CheckpointRequest, over bulk: BulkClient) {
        let all = state.tensors
        let share = request.share.tensors(byteCounts: all.map(\.byteCount))
        // The storage layout is copied at the speed of memory; turning it into PyTorch's order can wait.
        let copies = all[share].map { entry in TensorCopy(entry, state: state) }
        streams.submit { [self] in
            let part = BulkPart(
                step: request.completedSteps,
                part: request.share.part,
                parts: request.share.parts
            )
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

/// A tensor as it was when the snapshot was taken, in the storage layout.
private struct TensorCopy: Sendable {
    let signature: TensorSignature
    private let parameter: ParameterSpec?
    private let stored: [Float]

    init(_ entry: ModelState.StateEntry, state: ModelState) {
        signature = entry.signature
        switch entry.place {
        case .parameter(let parameter, let vector):
            self.parameter = parameter
            stored = Array(UnsafeBufferPointer(start: vector + parameter.offset, count: parameter.count))
        case .buffer(let buffer):
            parameter = nil
            stored = Array(UnsafeBufferPointer(start: state.buffers + buffer.offset, count: buffer.count))
        }
    }

    /// The values in PyTorch's shape.
    func values(layout: ParameterLayout) -> [Float] {
        guard var parameter else { return stored }
        parameter.offset = 0
        return stored.withUnsafeBufferPointer { stored in
            guard let base = stored.baseAddress else { return [] }
            return layout.export(parameter, from: base)
        }
    }
}
