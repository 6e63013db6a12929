package import Graph
package import Kernels
import Networks
import Platform
import Sampling

/// The programs of a run, one for each number of images that its microbatches have, and one for inference; with the
/// executors of each compute thread over one arena.
package final class ProgramSet: Sendable {
    package let training: [Int: Program]
    package let inference: Program
    /// Bytes of the arena that each compute thread needs.
    package let arenaBytes: Int

    package init(_ setup: RunSetup) throws {
        var sizes: Set<Int> = []
        for epoch in setup.schedule.epochs {
            let last = epoch.batch(epoch.stepCount - 1)
            for batch in [epoch.batch(0), last] {
                sizes.insert(batch.positions(ofMicrobatch: 0).count)
                sizes.insert(batch.positions(ofMicrobatch: batch.microbatchCount - 1).count)
            }
        }
        var programs: [Int: Program] = [:]
        for size in sizes.sorted() {
            do throws(GraphError) {
                programs[size] = try setup.plan.trainingProgram(images: size)
            } catch {
                throw Self.explained(error, size: size, of: sizes.max() ?? size)
            }
        }
        training = programs
        inference = try setup.plan.inferenceProgram()
        arenaBytes = max(programs.values.map(\.arenaBytes).max() ?? 0, inference.arenaBytes)
    }
}

extension ProgramSet {
    /// An error of a program, with where its number of images comes from: no line of the configuration has it.
    private static func explained(_ error: GraphError, size: Int, of full: Int) -> GraphError {
        guard size < full else { return error }
        var error = error
        error.problem +=
            " The last microbatch of an epoch is that small: \(size) of \(full) is left over of the samples. Another "
            + "training.microbatch_size, or a sample more or less, leaves another rest."
        return error
    }
}

/// One compute thread's memory and executors; used on that thread only.
package final class ThreadEngine: @unchecked Sendable {
    // Owned by one compute thread at a time: the pool hands a thread only its own engine.
    package let training: [Int: Executor]
    package let inference: Executor
    package let input: UnsafeMutablePointer<Float>
    package let targets: UnsafeMutablePointer<Float>
    package let probabilities: UnsafeMutablePointer<Float>
    private let memory: [PageMemory]

    package init(_ programs: ProgramSet, setup: RunSetup, kernels: KernelTables) throws {
        let kernels = kernels[setup.precision]
        let arena = try PageMemory(bytes: programs.arenaBytes)
        let pixels = setup.size * setup.size
        let samples = try PageMemory(bytes: 4 * pixels * setup.network.inputChannels)
        let masks = try PageMemory(bytes: 4 * pixels)
        let maps = try PageMemory(bytes: 4 * pixels)
        memory = [arena, samples, masks, maps]
        input = samples.floats
        targets = masks.floats
        probabilities = maps.floats
        training = programs.training.mapValues {
            Executor($0, kernels: kernels, arena: arena.base, buckets: setup.buckets)
        }
        inference = Executor(programs.inference, kernels: kernels, arena: arena.base)
    }
}
