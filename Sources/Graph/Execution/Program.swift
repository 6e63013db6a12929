package import Kernels

/// A graph compiled for one image count and mode: a flat list of instructions over one planned arena.
///
/// Pure data, shared by all compute threads; `Executor` runs it.
package struct Program: Sendable {
    package let layout: ParameterLayout
    package let images: Int
    package let mode: ProgramMode
    /// The format of the feature maps between the images and the logits.
    package let precision: ElementFormat
    package let inputShape: FeatureShape
    package let outputShape: FeatureShape
    package let instructions: [ScheduledInstruction]
    /// The pieces of the arena, with the instructions between which each is in use.
    package let blocks: [ArenaBlock]
    /// Bytes of the arena that each compute thread provides, slack for the kernels' wide reads included.
    package let arenaBytes: Int
    /// The most bytes in use at once: the least that any plan of this order needs.
    package let peakBytes: Int
    let tensors: [ProgramTensor]
    /// What nothing reads.
    let scratchTensors: Set<Int>
    let places: [SharingPass.Place]
    /// Arena offsets of root tensors, in elements; -1 for the rest.
    let rootOffsets: [Int]
    let input: Int
    let targets: Int
    let output: Int

    /// What compilation may leave out, so that tests can compare.
    package struct Options: Sendable {
        package var fuses = true
        package var sharesMemory = true
        package var memory = MemoryPolicy.lean
        /// Whether dropout and drop-connect drop.
        package var drops = true

        package init(fuses: Bool = true, sharesMemory: Bool = true, memory: MemoryPolicy = .lean, drops: Bool = true) {
            self.fuses = fuses
            self.sharesMemory = sharesMemory
            self.memory = memory
            self.drops = drops
        }
    }

    /// Compiles `graph`, whose layout is `layout`, for microbatches of `images` images, with feature maps of `precision`.
    package init(
        _ graph: Graph,
        layout: ParameterLayout,
        images: Int,
        mode: ProgramMode,
        precision: ElementFormat = .float32,
        options: Options = Options()
    ) throws(GraphError) {
        guard images >= 1 && images <= 4096 else {
            throw GraphError(layer: "input", problem: "a microbatch has 1 to 4096 images, not \(images).")
        }
        var graph = graph
        if case .inference(let probabilities) = mode {
            graph = graph.keeping(upTo: graph.output)
            if probabilities { graph = graph.appendingSigmoid() }
        } else {
            try graph.checkBatchStatistics(images: images)
        }
        if !options.drops { graph = graph.withoutDropping() }
        if precision != .float32 { graph = casting(graph, to: precision) }
        if options.fuses { graph = fused(graph) }
        let lowering = Lowering(graph, images: images, mode: mode)
        lowering.run()
        let external: Set<Int> = [graph.input.index, lowering.targets]
        let sharing = SharingPass(
            lowering.instructions,
            tensors: lowering.tensors,
            external: external,
            enabled: options.sharesMemory
        )
        let tensors = lowering.tensors
        let places = tensors.indices.map(sharing.place)

        let recomputation = RecomputationPass(
            sharing.instructions,
            roots: places.map(\.root),
            words: tensors.map(\.words),
            external: external,
            policy: mode == .training ? options.memory : .keep
        )
        var uses = recomputation.uses(roots: places.map(\.root))
        if mode != .training, let use = uses[places[graph.output.index].root]?.last {
            uses[places[graph.output.index].root] = [use.lowerBound...recomputation.instructions.count]
        }
        let roots = uses.keys.filter { !external.contains($0) }.sorted()
        var blocks = roots.map { root in
            ArenaBlock(
                offset: 0,
                count: padded(tensors[root].words),
                uses: uses[root] ?? [0...0]
            )
        }
        let (arena, peak) = plannedOffsets(&blocks)
        var offsets = [Int](repeating: -1, count: tensors.count)
        for (root, block) in zip(roots, blocks) { offsets[root] = block.offset }

        self.layout = layout
        self.images = images
        self.mode = mode
        self.precision = precision
        inputShape = graph.shape(of: graph.input)
        outputShape = graph.shape(of: graph.output)
        instructions = recomputation.instructions
        self.blocks = blocks
        arenaBytes = arena * 4 + 64
        peakBytes = peak * 4
        self.tensors = tensors
        let read = Set(recomputation.instructions.flatMap { $0.instruction.reads.map { places[$0].root } })
        scratchTensors = Set(tensors.indices.filter { !read.contains(places[$0].root) })
        self.places = places
        rootOffsets = offsets
        input = graph.input.index
        targets = lowering.targets
        output = graph.output.index
    }

    /// Floating-point operations of one run: those of the convolutions, each once.
    package var flops: Int { instructions.reduce(0) { $0 + ($1.isRecomputation ? 0 : $1.flops) } }

    /// Bytes of feature maps that the backward pass makes once more by instructions that move memory.
    package var recomputedBytes: Int {
        instructions.reduce(0) { total, scheduled in
            guard scheduled.isRecomputation, scheduled.flops == 0 else { return total }
            return total + scheduled.instruction.writes.reduce(0) { $0 + 4 * tensors[$1].words }
        }
    }

    /// Those of what the backward pass computes once more.
    package var recomputedFlops: Int { instructions.reduce(0) { $0 + ($1.isRecomputation ? $1.flops : 0) } }
}

extension Graph {
    /// The graph without what `tensor` does not depend on.
    func keeping(upTo tensor: Tensor) -> Graph {
        var needed: Set<Tensor> = [tensor]
        var kept: [Node] = []
        for node in nodes.reversed() where needed.contains(node.output) {
            needed.formUnion(node.inputs)
            kept.append(node)
        }
        var copy = self
        copy.nodes = kept.reversed()
        return copy
    }

    /// The graph without dropout and drop-connect.
    func withoutDropping() -> Graph {
        var copy = self
        var replaced: [Tensor: Tensor] = [:]
        copy.nodes = nodes.compactMap { node in
            var node = node
            node.inputs = node.inputs.map { replaced[$0] ?? $0 }
            guard type(of: node.operation).drops else { return node }
            replaced[node.output] = node.inputs[0]
            return nil
        }
        copy.output = replaced[output] ?? output
        return copy
    }

    /// The graph with the sigmoid of its output as output.
    func appendingSigmoid() -> Graph {
        var copy = self
        let probabilities = Tensor(index: shapes.count)
        copy.shapes.append(shape(of: output))
        copy.nodes.append(
            Node(name: "probabilities", inputs: [output], output: probabilities, operation: Sigmoid())
        )
        copy.output = probabilities
        return copy
    }

    /// Batch normalisation over one value has variance 0 and no gradient: refused, as PyTorch does.
    func checkBatchStatistics(images: Int) throws(GraphError) {
        for node in nodes {
            let shape = shape(of: node.output)
            if let normalization = node.operation as? GroupNormalization,
                images * shape.pixels * shape.channels / normalization.groups < 2
            {
                throw GraphError(
                    layer: node.name,
                    problem: "group statistics need more than one value for each group, found one image of \(shape) in "
                        + "\(normalization.groups) groups; use larger images or fewer groups."
                )
            }
            guard let normalization = node.operation as? BatchNormalization, normalization.statistics == .batch else {
                continue
            }
            if images * shape.pixels < 2 {
                throw GraphError(
                    layer: node.name,
                    problem: "batch statistics need more than one value for each channel, found \(images) image of "
                        + "\(shape); use larger images, more images in a microbatch, or frozen normalisation."
                )
            }
        }
    }
}
