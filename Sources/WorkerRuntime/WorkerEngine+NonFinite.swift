import Collectives
import Coordination
import Graph
import ModelSetup
import Platform
import Reduction
import Sampling
import Storage
import Synchronization

extension WorkerEngine {
    /// Finds out why sums are not finite: computes this worker's microbatches of the step once more, from the same weights,
    /// and looks at every element on the way.
    ///
    /// - Returns: what was found, in words, and the first microbatch whose numbers are not finite; nil where each of this
    ///   worker's is finite by itself, and another worker's is not, or only their sum is not.
    func explainNonFinite(_ sums: ReducedSums, of execution: StepExecution) -> (what: String, microbatch: UInt32?) {
        let step = execution.work.assignment.step
        let microbatches = execution.work.microbatches.sorted()
        let findings = Mutex<[Int: NonFiniteFinding]>([:])
        let left = CountDown(microbatches.count)
        for microbatch in microbatches {
            pool.submit { [self] thread in
                defer { left.signal() }
                if execution.isCancelled { return }
                _ = recompute(SampleLoader.Key(step: step, index: microbatch), thread) { executor, loaded, sums in
                    let finding = executor.firstNonFinite(sums: sums) {
                        run(executor, loaded, step: step, leaf: microbatch, into: sums) { _ in pool.notePiece() }
                    }
                    if let finding { findings.withLock { $0[microbatch] = finding } }
                }
            }
        }
        if !microbatches.isEmpty { left.wait() }
        let found = findings.withLock { $0 }
        guard let first = found.keys.min(), let finding = found[first] else {
            return ("\(firstNonFinite(sums)), though each of its own microbatches is finite", nil)
        }
        let others = found.count - 1
        let more = others > 0 ? "; \(others) more of its microbatches are not finite" : ""
        let samples = names(ofSamplesIn: first, step: step)
        return ("\(finding.words) of microbatch \(first) (samples \(samples))\(more)", UInt32(first))
    }

    /// The element of the sums that is not finite, by its name.
    private func firstNonFinite(_ sums: ReducedSums) -> String {
        var found: Int?
        sums.forEachPiece(in: 0..<setup.layout.sumCount) { piece, pointer in
            if found != nil { return }
            found = (0..<piece.count).first { !pointer[$0].isFinite }.map { piece.lowerBound + $0 }
        }
        return found.map { "the sum of \(setup.layout.name(at: $0))" } ?? "the norm of the gradient"
    }

    private func names(ofSamplesIn microbatch: Int, step: UInt64) -> String {
        let key = SampleLoader.Key(step: step, index: microbatch)
        let ids = loader.microbatch(key).microbatch.samples.map { dataset.id(of: $0) }
        return ids.prefix(16).joined(separator: ", ") + (ids.count > 16 ? ", …" : "")
    }
}

extension NonFiniteFinding {
    /// As in "the activation after encoder.layer1.0.bn1", "the gradient of head.weight".
    fileprivate var words: String {
        switch what {
        case "gradient": "the gradient of \(parameter ?? layer)"
        case "activation": "the activation after \(layer)"
        default: "the \(what)"
        }
    }
}
