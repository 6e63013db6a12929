package import Reduction

/// A parameter and its place in the flat vector.
package struct ParameterSpec: Hashable, Sendable {
    /// As in checkpoints, and as PyTorch names it.
    package var name: String
    /// PyTorch's shape.
    package var shape: [Int]
    package var storage: ParameterStorage
    package var initialization: InitializationRule
    /// Offset in the vectors of weights, of optimizer slots and, where it is trained, of gradients.
    package var offset: Int
    /// Whether the step's sums hold its gradient.
    package var isTrained: Bool
    /// Its rank among all parameters in the order of their names: the number by which it is initialised.
    package var rank: Int

    /// Elements in the flat vector; the next parameter starts at the next multiple of 16.
    package var count: Int { storage.count }
    package var range: Range<Int> { offset..<offset + count }
    /// Elements in PyTorch's shape.
    package var elementCount: Int { shape.reduce(1, *) }
}

/// A vector of running statistics and its place in the flat vector of buffers.
package struct BufferSpec: Hashable, Sendable {
    package var name: String
    package var count: Int
    package var offset: Int
    /// The value of every element at the start of a run.
    package var initial: Float

    package var shape: [Int] { [count] }
}

/// The batch statistics of one layer in the step's sums, and the running ones they move.
package struct StatisticsSpec: Hashable, Sendable {
    package var layer: String
    package var channels: Int
    package var momentum: Double
    /// Offsets in the step's sums.
    package var mean: Int
    package var variance: Int
    /// Offsets in the buffers.
    package var runningMean: Int
    package var runningVariance: Int
}

/// Where everything that training keeps has its place: weights, gradients, statistics, buffers.
///
/// One layout serves all programs of a graph, whatever their image count and mode. The flat vector holds the trained
/// parameters in the order in which the backward pass completes their gradients, then the others; optimizer slots
/// have the same offsets. The vector of a step's **sums** holds the gradients, at the same offsets, and from
/// `trainedCount` on a tail: batch statistics and losses.
package struct ParameterLayout: Sendable {
    /// In the order of the flat vector.
    package let parameters: [ParameterSpec]
    package let buffers: [BufferSpec]
    package let statistics: [StatisticsSpec]
    /// Elements of the trained parameters with their padding: what optimizers update, and where the tail begins.
    package let trainedCount: Int
    /// Elements of all parameters with their padding.
    package let weightCount: Int
    package let bufferCount: Int
    /// Elements of the step's sums: gradients and tail.
    package let sumCount: Int
    /// Elements of the step's sums that nothing computes; programs set them to 0.
    package let sumPadding: [Range<Int>]
    /// Names and offsets in the step's sums of the loss ("loss") and its parts ("loss.dice", …).
    package let losses: [(name: String, offset: Int)]
    /// Offsets by the index of the declaration, for instructions.
    let weightOffsets: [Int]
    let bufferOffsets: [Int]
    /// Positions in `parameters` by the index of the declaration.
    let positions: [Int]

    /// The layout of a graph, in which the parameters are trained that a loss depends on and that are not frozen.
    package init(_ graph: Graph) {
        let graph = fused(graph)
        let lowering = Lowering(graph, images: 1, mode: .training)
        lowering.run()
        let trained = lowering.completed
        let isTrained = Set(trained)
        let order = trained + graph.parameters.indices.filter { !isTrained.contains($0) }
        let ranks = graph.parameters.indices.sorted { graph.parameters[$0].name < graph.parameters[$1].name }
        var rank = [Int](repeating: 0, count: ranks.count)
        for (position, index) in ranks.enumerated() { rank[index] = position }

        var specs: [ParameterSpec] = []
        var weightOffsets = [Int](repeating: 0, count: order.count)
        var positions = weightOffsets
        var sumPadding: [Range<Int>] = []
        var offset = 0
        var trainedCount = 0
        for index in order {
            let declaration = graph.parameters[index]
            weightOffsets[index] = offset
            positions[index] = specs.count
            specs.append(
                ParameterSpec(
                    name: declaration.name,
                    shape: declaration.shape,
                    storage: declaration.storage,
                    initialization: declaration.initialization,
                    offset: offset,
                    isTrained: isTrained.contains(index),
                    rank: rank[index]
                )
            )
            let end = offset + declaration.storage.count
            offset = padded(end)
            if isTrained.contains(index) {
                trainedCount = offset
                if end < offset { sumPadding.append(end..<offset) }
            }
        }
        parameters = specs
        self.weightOffsets = weightOffsets
        self.positions = positions
        self.trainedCount = trainedCount
        weightCount = offset

        var bufferOffset = 0
        var buffers: [BufferSpec] = []
        var byName: [String: Int] = [:]
        for declaration in graph.buffers {
            byName[declaration.name] = bufferOffset
            buffers.append(
                BufferSpec(
                    name: declaration.name,
                    count: declaration.count,
                    offset: bufferOffset,
                    initial: declaration.initial
                )
            )
            bufferOffset += padded(declaration.count)
        }
        self.buffers = buffers
        bufferOffsets = buffers.map(\.offset)
        bufferCount = bufferOffset

        let tail = lowering.tail
        sumCount = trainedCount + tail.count
        self.sumPadding =
            sumPadding
            + tail.padding.map { $0.lowerBound + trainedCount..<$0.upperBound + trainedCount }
        var momenta: [String: BatchNormalization] = [:]
        var channels: [String: Int] = [:]
        for node in graph.nodes {
            guard let normalization = node.operation as? BatchNormalization else { continue }
            momenta[node.name] = normalization
            channels[node.name] = graph.shape(of: node.output).channels
        }
        statistics = tail.statisticsLayers.compactMap { layer in
            guard let place = tail.statistics[layer], let normalization = momenta[layer],
                let mean = byName["\(layer).running_mean"], let variance = byName["\(layer).running_var"]
            else { return nil }
            return StatisticsSpec(
                layer: layer,
                channels: channels[layer] ?? 0,
                momentum: normalization.momentum,
                mean: trainedCount + place.mean,
                variance: trainedCount + place.variance,
                runningMean: mean,
                runningVariance: variance
            )
        }
        let first = trainedCount
        losses = [("loss", first + tail.total)] + tail.lossTerms.map { ($0.name, first + $0.offset) }
    }

    /// The parameter whose elements include `offset` of the flat vector, or the statistics or loss of the tail.
    package func name(at offset: Int) -> String {
        if offset < trainedCount {
            return parameters.last { $0.offset <= offset }?.name ?? "nothing"
        }
        let statistics = self.statistics.last { min($0.mean, $0.variance) <= offset }
        if let first = losses.first, offset >= first.offset { return "loss" }
        return statistics.map { "\($0.layer) (batch statistics)" } ?? "tail"
    }

    /// The step's sums cut into buckets of at least `targetBytes`, each ending with a parameter; the last one
    /// includes what is left and the tail.
    package func bucketLayout(targetBytes: Int) -> BucketLayout {
        var buckets: [Range<Int>] = []
        var start = 0
        for (position, parameter) in parameters.enumerated() where parameter.isTrained {
            let next = parameters.indices.contains(position + 1) ? parameters[position + 1].offset : trainedCount
            let end = min(next, trainedCount)
            // A rest smaller than half a bucket joins the last one.
            if (end - start) * 4 >= targetBytes, (trainedCount - end) * 8 >= targetBytes {
                buckets.append(start..<end)
                start = end
            }
        }
        buckets.append(start..<sumCount)
        return BucketLayout(buckets: buckets)
    }
}
