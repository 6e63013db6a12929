import Coordination
import Graph
import ModelSetup
import Platform
import Reduction

extension WorkerEngine {
    /// Computes the microbatches of the attempt that this worker audits, and those of its own whose digests were not taken
    /// when they were computed, in an attempt that did not ask for it.
    func audit(_ assignment: Assignment, of audits: StepAudits, computed: Set<Int>) {
        let own = Set(assignment.microbatches(of: worker))
        for microbatch in assignment.auditedMicrobatches(of: worker)
        where !own.contains(microbatch) || computed.contains(microbatch) {
            auditIfMissing(microbatch, audits)
        }
    }

    /// Has a microbatch computed beside the sum, where its digest is wanted and nobody has or does.
    func auditIfMissing(_ microbatch: Int, _ audits: StepAudits) {
        guard audits.lacks(microbatch), audits.claim(microbatch) else { return }
        pool.submit { [self] thread in
            guard audits.enter() else { return }
            defer { audits.leave() }
            let key = SampleLoader.Key(step: audits.step, index: microbatch)
            let failure = recompute(key, thread) { executor, loaded, sums in
                var digest = GradientDigest()
                run(executor, loaded, step: key.step, leaf: key.index, into: sums) { bucket in
                    pool.notePiece()
                    digest.add(sums, setup.buckets.buckets[bucket])
                }
                audits.note(microbatch, digest.value)
            }
            if let failure { report(.failed(message: failure, suspect: nil)) }
        }
    }

    /// Loads a microbatch and calls `body` with what computes it and memory for its sums, on a compute thread; returns why
    /// that cannot be done.
    func recompute(
        _ key: SampleLoader.Key,
        _ thread: Int,
        _ body: (Executor, LoadedMicrobatch, UnsafeMutablePointer<Float>) -> Void
    ) -> String? {
        let loaded = loader.take(key)
        defer { loader.recycle(loaded) }
        if let failure = loaded.failure { return failure }
        guard let executor = engines[thread].training[loaded.sampleCount] else {
            return "No program was made for \(loaded.sampleCount) images."
        }
        do {
            let sums = try scratch.take()
            defer { scratch.give(sums) }
            body(executor, loaded, sums)
            return nil
        } catch { return "\(error)" }
    }
}
