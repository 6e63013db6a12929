package import Configuration
package import Foundation
package import Graph
package import KernelSelection
import Kernels
import ModelSetup
import Networks
import Optimization
import Platform
import Reduction
import RunFolder
import Storage

/// One training step of a configuration on one thread of this process, instruction by instruction: what `bench train
/// --profile` and `--trace` and `bench kernels` show.
///
/// The images are noise and the masks a square: the time of a kernel does not depend on them. Reading, augmentation and
/// the sum between workers are no part of it.
package struct StepProfile: Sendable {
    /// One instruction with its times.
    package struct Entry: Sendable {
        package var description: InstructionDescription
        /// The median over the counted steps.
        package var seconds: Double
        /// When it began in the last step, from the step's beginning.
        package var start: Double
        /// How long it took in the last step.
        package var lastSeconds: Double
    }

    /// Instructions of equal operation and shape together.
    package struct Row: Codable, Sendable {
        package var operation: String
        package var phase: String
        package var shape: String
        package var calls: Int
        /// Of one call, the mean of the calls' medians.
        package var seconds: Double
        package var shareOfStep: Double
        /// Of the direct algorithm: Winograd may go above the limit.
        package var gflops: Double
        package var gigabytesPerSecond: Double
        /// The larger of the shares of both limits: that of the one that binds.
        package var fractionOfLimit: Double
        /// Under 70 % of the limit that binds, and over 2 % of the step.
        package var isSlow: Bool

        enum CodingKeys: String, CodingKey {
            case operation, phase, shape, calls, gflops
            case seconds = "median_s"
            case shareOfStep = "share_of_step"
            case gigabytesPerSecond = "gb_s"
            case fractionOfLimit = "fraction_of_limit"
            case isSlow = "is_slow"
        }
    }

    package let network: String
    package let precision: String
    package let images: Int
    package let size: Int
    package let limits: CoreLimits
    package let entries: [Entry]
    /// The median step: all instructions and the optimizer.
    package let stepSeconds: Double
    package let optimizerSeconds: Double
    /// Trained values.
    package let trainedCount: Int
    /// What the optimizer touches: the gradients for their norm and once more, weights and slots read and written.
    package let optimizerBytes: Int
    /// The whole last step, by a clock of its own around it.
    package let lastStepSeconds: Double

    /// Runs `warmUps` + `steps` steps.
    package init(_ configuration: RunConfiguration, variant: KernelVariant, steps: Int, warmUps: Int) throws {
        guard configuration.data.size > 0 else {
            throw RunError.data("The configuration leaves data.size to the shards; give --set data.size=512.")
        }
        let model = try ModelPlan(configuration, imageSize: configuration.data.size)
        let precision = model.precision
        let network = model.network
        let layout = model.layout
        let program = try model.trainingProgram(images: configuration.training.microbatchSize)
        limits = CoreLimits.measure(variant.tables, precision: precision)
        self.network = network.name
        self.precision = configuration.precision.rawValue
        images = program.images
        size = network.height

        let optimizer = configuration.optimizer.rule
        let kernels = variant.tables
        let arena = try PageMemory(bytes: program.arenaBytes)
        let weights = try PageMemory(bytes: 4 * layout.weightCount)
        let buffers = try PageMemory(bytes: 4 * layout.bufferCount)
        let slots = try optimizer.slots.map { _ in try PageMemory(bytes: 4 * layout.weightCount) }
        let sums = try PageMemory(bytes: 4 * layout.sumCount)
        let pixels = images * size * size
        let input = try PageMemory(bytes: 4 * pixels * network.inputChannels)
        let targets = try PageMemory(bytes: 4 * pixels)
        layout.initialize(seed: 1, weights: weights.floats, buffers: buffers.floats)
        for index in 0..<pixels * network.inputChannels {
            input.floats[index] = Float((index &* 2_654_435_761) >> 8 & 0xFFFF) * 0x1p-15 - 1
        }
        for index in 0..<pixels { targets.floats[index] = index % size < size / 3 ? 1 : 0 }

        let executor = Executor(program, kernels: kernels[precision], arena: arena.base)
        let count = program.instructions.count
        let clock = ContinuousClock()
        let origin = clock.now
        func now() -> Double { seconds(clock.now - origin) }
        var samples = [[Double]](repeating: [], count: count)
        var starts = [Double](repeating: 0, count: count)
        var optimizerSamples: [Double] = []
        var stepSamples: [Double] = []
        var last = 0.0
        var isCounted = false
        executor.observer = { index in
            let instant = now()
            if index >= 0 && isCounted {
                samples[index].append(instant - last)
                starts[index] = last
            }
            last = now()
        }
        var begin = 0.0
        for step in 0..<warmUps + steps {
            isCounted = step >= warmUps
            begin = now()
            executor.runTraining(
                input: input.floats,
                targets: targets.floats,
                model: ModelMemory(weights: weights.floats, buffers: buffers.floats),
                sampleWeight: 1,
                sums: sums.floats,
                dropout: DropoutKey(seed: 1, step: UInt32(truncatingIfNeeded: step), position: 0, firstWord: 0)
            )
            let middle = now()
            let norm = GradientNorm.norm(sums.floats, count: layout.trainedCount, kernels: kernels.float32)
            optimizer.update(
                words: optimizer.words(step: step + 1, rate: 1e-4),
                scale: GradientNorm.clipScale(norm: norm, maximum: 1)
            )?.apply(
                to: weights.floats,
                gradients: sums.floats,
                slots: slots.map(\.floats),
                range: 0..<layout.trainedCount,
                kernels: kernels.float32
            )
            layout.applyStatistics(sums.floats, to: buffers.floats)
            if isCounted {
                optimizerSamples.append(now() - middle)
                stepSamples.append(now() - begin)
            }
        }
        entries = (0..<count).map { index in
            Entry(
                description: program.description(of: index),
                seconds: median(samples[index]),
                start: starts[index] - begin,
                lastSeconds: samples[index].last ?? 0
            )
        }
        optimizerSeconds = median(optimizerSamples)
        trainedCount = layout.trainedCount
        optimizerBytes = 4 * layout.trainedCount * (4 + 2 * optimizer.slots.count)
        stepSeconds = median(stepSamples)
        lastStepSeconds = stepSamples.last ?? 0
    }

    /// The instructions by operation and shape, and the optimizer, the longest first.
    package var rows: [Row] {
        let groups = Dictionary(grouping: entries) { entry in
            [entry.description.operation, entry.description.phase.rawValue, entry.description.shape]
        }
        let update = row(
            ["Optimizer", "update", "\(trainedCount) weights and their norm"],
            calls: 1,
            total: optimizerSeconds,
            flops: 0,
            bytes: optimizerBytes
        )
        let instructions = groups.map { key, group in
            row(
                key,
                calls: group.count,
                total: group.reduce(0) { $0 + $1.seconds },
                flops: group.reduce(0) { $0 + $1.description.flops },
                bytes: group.reduce(0) { $0 + $1.description.bytes }
            )
        }
        return ([update] + instructions).sorted {
            ($1.seconds * Double($1.calls), $0.shape) < ($0.seconds * Double($0.calls), $1.shape)
        }
    }

    private func row(_ names: [String], calls: Int, total: Double, flops: Int, bytes: Int) -> Row {
        let gflops = Double(flops) / total / 1e9
        let gigabytesPerSecond = Double(bytes) / total / 1e9
        let fraction = max(gflops / limits.fmaGflops, gigabytesPerSecond / limits.copyGigabytesPerSecond)
        let share = total / stepSeconds
        return Row(
            operation: names[0],
            phase: names[1],
            shape: names[2],
            calls: calls,
            seconds: total / Double(calls),
            shareOfStep: share,
            gflops: gflops,
            gigabytesPerSecond: gigabytesPerSecond,
            fractionOfLimit: fraction,
            isSlow: fraction < 0.7 && share > 0.02
        )
    }

    /// The table for people.
    package var text: String {
        var lines = [
            "\(network) at \(size), \(precision), microbatch of \(images), one thread; multiply-adds "
                + String(format: "%.0f GFLOP/s, copy %.1f GB/s", limits.fmaGflops, limits.copyGigabytesPerSecond),
            "  share  calls  ms a call  GFLOP/s    GB/s  of limit  operation",
        ]
        for row in rows {
            lines.append(
                String(
                    format: "%6.2f%% %6d %10.3f %8.1f %7.1f %7.1f %%%@ ",
                    row.shareOfStep * 100,
                    row.calls,
                    row.seconds * 1e3,
                    row.gflops,
                    row.gigabytesPerSecond,
                    row.fractionOfLimit * 100,
                    row.isSlow ? "*" : " "
                ) + "\(row.operation)  \(row.shape)"
            )
        }
        let kernels = entries.reduce(0) { $0 + $1.seconds }
        lines.append(
            String(
                format:
                    "step %.1f ms: instructions %.1f, optimizer %.1f; * under 70 %% of its limit and over 2 %% of the step",
                stepSeconds * 1e3,
                kernels * 1e3,
                optimizerSeconds * 1e3
            )
        )
        return lines.joined(separator: "\n")
    }

    /// The last step as Chrome's trace events, which Perfetto reads: one complete event an instruction.
    package func trace() throws -> Data {
        struct Event: Encodable {
            var name: String
            var cat: String
            var ph = "X"
            var ts: Double
            var dur: Double
            var pid = 1
            var tid = 1
            var args: [String: String]
        }
        struct Trace: Encodable {
            var traceEvents: [Event]
            var displayTimeUnit = "ms"
            // Proves the file ours when it is to be replaced; viewers pass over it.
            var writtenBy = OutputOwnership.signature + ProgramVersion.current

            enum CodingKeys: String, CodingKey {
                case traceEvents, displayTimeUnit
                case writtenBy = "written_by"
            }
        }
        var events = entries.map { entry in
            let seconds = max(entry.lastSeconds, 1e-9)
            return Event(
                name: "\(entry.description.operation) \(entry.description.layer)",
                cat: entry.description.isRecomputation ? "recomputation" : entry.description.phase.rawValue,
                ts: entry.start * 1e6,
                dur: entry.lastSeconds * 1e6,
                args: [
                    "shape": entry.description.shape, "bytes": "\(entry.description.bytes)",
                    "gflops": String(format: "%.1f", Double(entry.description.flops) / seconds / 1e9),
                    "gb_s": String(format: "%.1f", Double(entry.description.bytes) / seconds / 1e9),
                ]
            )
        }
        let end = entries.last.map { $0.start + $0.lastSeconds } ?? 0
        events.append(
            Event(
                name: "optimizer",
                cat: "update",
                ts: end * 1e6,
                dur: max(0, lastStepSeconds - end) * 1e6,
                args: [:]
            )
        )
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return try encoder.encode(Trace(traceEvents: events))
    }
}

private func seconds(_ duration: Duration) -> Double {
    Double(duration.components.seconds) + Double(duration.components.attoseconds) * 1e-18
}

private func median(_ values: [Double]) -> Double {
    let sorted = values.sorted()
    return sorted.isEmpty ? 0 : sorted[sorted.count / 2]
}
