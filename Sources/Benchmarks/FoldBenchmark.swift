package import Configuration
import Graph
package import KernelSelection
import Kernels
import ModelSetup
import Networks
import Platform
import Reduction
import WorkerRuntime

/// What the canonical order of sums costs one compute thread: gradients of a step's microbatches, as the backward pass
/// leaves them bucket by bucket, folded by `NodeFold`, beside the same gradients added to one buffer as they come.
///
/// Not a way to train: sums in order of arrival depend on who computes what.
package struct FoldBenchmark {
    package struct Report: Codable, Sendable {
        package var benchmark = "fold"
        package var kernels: String
        package var dtype: String
        package var microbatches: Int
        /// Bytes of a microbatch's gradients, statistics and losses.
        package var bytes: Int
        package var rounds: Int
        /// Medians over the rounds, for all microbatches of a step; writing the gradients, the same copy in both, is in
        /// each.
        package var canonicalSeconds: Double
        package var plainSeconds: Double
        /// The writing alone: what a backward pass that adds to its running sum for nothing would take.
        package var writingSeconds: Double

        enum CodingKeys: String, CodingKey {
            case benchmark, kernels, dtype, microbatches, bytes, rounds
            case canonicalSeconds = "canonical_s"
            case plainSeconds = "plain_s"
            case writingSeconds = "writing_s"
        }
    }

    private let configuration: RunConfiguration
    private let variant: KernelVariant

    /// `configuration` gives the network, the buckets and `collectives.dtype`.
    package init(_ configuration: RunConfiguration, variant: KernelVariant) {
        self.configuration = configuration
        self.variant = variant
    }

    /// Measures `rounds` rounds, alternating between the two; on the calling thread.
    package func run(microbatches: Int, rounds: Int) throws -> Report {
        precondition(microbatches > 0 && rounds > 0, "nothing to measure")
        let model = try ModelPlan(configuration, imageSize: 256)
        let layout = model.layout
        let buckets = model.buckets
        let count = layout.sumCount
        let kernels = variant.table
        let gradients = try PageMemory(bytes: 4 * count)
        for index in 0..<count { gradients.floats[index] = Float(index % 1021 - 510) * 0x1p-12 }
        let sums = try PageMemory(bytes: 4 * count)
        let other = try PageMemory(bytes: 4 * count)
        let scratch = ScratchVectors(count: count)
        let tree = SumTree(leafCount: microbatches)

        func write(_ bucket: Range<Int>, to target: UnsafeMutablePointer<Float>) {
            (target + bucket.lowerBound).update(from: gradients.floats + bucket.lowerBound, count: bucket.count)
        }
        func canonical() throws {
            let fold = NodeFold(
                node: tree.root,
                tree: tree,
                layout: buckets,
                buffer: sums.floats,
                scratch: scratch,
                kernels: kernels,
                roundedCount: model.roundedCount
            )
            for leaf in 0..<microbatches {
                let target = try fold.buffer(of: leaf)
                for (number, bucket) in buckets.buckets.enumerated() {
                    write(bucket, to: target)
                    _ = fold.finished(leaf: leaf, bucket: number)
                }
            }
        }
        func plain(adds: Bool) {
            for leaf in 0..<microbatches {
                let target = leaf == 0 ? sums.floats : other.floats
                for bucket in buckets.buckets {
                    write(bucket, to: target)
                    if adds && leaf > 0 {
                        kernels.addVectors(
                            sums.floats + bucket.lowerBound,
                            other.floats + bucket.lowerBound,
                            bucket.count
                        )
                    }
                }
            }
        }
        var times: [[Double]] = [[], [], []]
        func time(_ index: Int, _ isCounted: Bool, _ body: () throws -> Void) rethrows {
            let start = ContinuousClock.now
            try body()
            if isCounted { times[index].append((ContinuousClock.now - start) / .seconds(1)) }
        }
        // The first round touches the memory.
        for round in 0...rounds {
            try time(0, round > 0) { try canonical() }
            time(1, round > 0) { plain(adds: true) }
            time(2, round > 0) { plain(adds: false) }
        }
        let medians = times.map { $0.sorted()[$0.count / 2] }
        return Report(
            kernels: kernels.name,
            dtype: configuration.collectives.dtype.rawValue,
            microbatches: microbatches,
            bytes: 4 * count,
            rounds: rounds,
            canonicalSeconds: medians[0],
            plainSeconds: medians[1],
            writingSeconds: medians[2]
        )
    }
}
