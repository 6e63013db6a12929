package import Kernels
package import Reduction

/// Runs a program in an arena: one for each compute thread, used on one thread at a time.
///
/// Nothing is allocated during a run. The arena, the model's memory, the input and the targets belong to the caller
/// and outlive the executor's use of them; input and targets have 64 readable bytes past their end.
package final class Executor {
    package let program: Program
    private let context: ExecutionContext
    /// Called before the first instruction with -1 and after each with its index: for traces and tests.
    ///
    /// The executor itself reads no clock.
    package var observer: ((Int) -> Void)?
    /// How many buckets are complete after each instruction.
    private let completedBuckets: [Int]

    /// `kernels` are those of the program's precision; `arena` has `program.arenaBytes` bytes at a multiple of 64; `buckets` cuts the sums of the program's layout.
    package init(
        _ program: Program,
        kernels: KernelTable,
        arena: UnsafeMutableRawPointer,
        buckets: BucketLayout? = nil
    ) {
        precondition(UInt(bitPattern: arena) % 64 == 0, "the arena must start at a multiple of 64 bytes")
        let buckets = buckets ?? BucketLayout(buckets: [0..<program.layout.sumCount])
        precondition(kernels.format == program.precision, "kernels of another format")
        precondition(buckets.elementCount == program.layout.sumCount, "the buckets are those of another layout")
        self.program = program
        context = ExecutionContext(
            program,
            kernels: kernels,
            arena: arena.assumingMemoryBound(to: Float.self)
        )
        completedBuckets = Self.completedBuckets(program, buckets)
    }

    /// The forward and backward pass of one microbatch.
    ///
    /// - Parameters:
    ///   - input: `[images, height, width, channels]`.
    ///   - targets: masks in 0...1, `[images, height, width, 1]` of the program's output shape.
    ///   - sampleWeight: n/N, the microbatch's share of the global batch; gradients, statistics and losses are
    ///     multiplied by it, so that the microbatches' sums are those of the step.
    ///   - sums: `layout.sumCount` elements, overwritten: gradients and tail.
    ///   - dropout: the microbatch's key; its first word is set by each operator.
    ///   - onBucketReady: called in order with each bucket whose elements are final.
    package func runTraining(
        input: UnsafePointer<Float>,
        targets: UnsafePointer<Float>,
        model: ModelMemory,
        sampleWeight: Double,
        sums: UnsafeMutablePointer<Float>,
        dropout: DropoutKey,
        onBucketReady: (Int) -> Void = { _ in }
    ) {
        precondition(program.mode == .training, "this program was compiled for inference")
        begin(input, model)
        context.setBase(of: program.targets, to: targets)
        context.sums = sums
        context.sampleWeight = sampleWeight
        context.dropout = dropout
        context.totalLoss = 0
        for range in program.layout.sumPadding {
            (sums + range.lowerBound).update(repeating: 0, count: range.count)
        }
        observer?(-1)
        var ready = 0
        for index in program.instructions.indices {
            program.instructions[index].instruction.run(context)
            observer?(index)
            while ready < completedBuckets[index] {
                onBucketReady(ready)
                ready += 1
            }
        }
    }

    /// The forward pass; returns `[images, height, width, channels]` of the output, dense, in the arena: valid until
    /// the next run.
    package func runInference(input: UnsafePointer<Float>, model: ModelMemory) -> UnsafePointer<Float> {
        precondition(program.mode != .training, "this program was compiled for training")
        begin(input, model)
        observer?(-1)
        for index in program.instructions.indices {
            program.instructions[index].instruction.run(context)
            observer?(index)
        }
        return UnsafePointer(context.pointer(program.output))
    }

    /// Where a tensor lies in the arena, or outside of it.
    func view(of tensor: Int) -> TensorView { context.view(tensor) }

    private func begin(_ input: UnsafePointer<Float>, _ model: ModelMemory) {
        context.memory = model
        context.setBase(of: program.input, to: input)
    }

    private static func completedBuckets(_ program: Program, _ buckets: BucketLayout) -> [Int] {
        let layout = program.layout
        // The instruction after which each trained parameter is final; what has none waits for the last one.
        var final: [Int: Int] = [:]
        for (index, scheduled) in program.instructions.enumerated() {
            for declaration in scheduled.completes { final[layout.positions[declaration]] = index }
        }
        let last = program.instructions.count - 1
        var readyAfter: [Int] = []
        var latest = 0
        for range in buckets.buckets {
            for (position, parameter) in layout.parameters.enumerated()
            where parameter.isTrained && range.overlaps(parameter.range) {
                latest = max(latest, final[position] ?? last)
            }
            if range.upperBound > layout.trainedCount {
                // The tail is complete with the last statistics and loss, which the forward pass computes.
                latest = max(latest, program.instructions.lastIndex { $0.phase == .forward } ?? last)
            }
            readyAfter.append(latest)
        }
        return program.instructions.indices.map { index in readyAfter.prefix { $0 <= index }.count }
    }
}

extension ExecutionContext {
    /// The context of a program in an arena.
    convenience init(_ program: Program, kernels: KernelTable, arena: UnsafeMutablePointer<Float>) {
        let views = program.tensors.enumerated().map { id, tensor in
            let place = program.places[id]
            let root = program.tensors[place.root]
            let offset =
                4 * max(0, program.rootOffsets[place.root]) + place.channel * root.format.byteCount
            return TensorView(
                UnsafeMutableRawPointer(arena) + offset,
                images: tensor.images,
                height: tensor.shape.height,
                width: tensor.shape.width,
                channels: tensor.shape.channels,
                pixelStride: root.shape.channels
            )
        }
        self.init(
            kernels: kernels,
            views: views,
            weightOffsets: program.layout.weightOffsets,
            bufferOffsets: program.layout.bufferOffsets,
            tailOffset: program.layout.trainedCount,
            arena: arena
        )
    }
}
