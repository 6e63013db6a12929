package import Graph

/// What `pleura inspect CONFIG` prints: layers, shapes, parameters, floating-point operations, planned memory.
package struct ModelSummary: Hashable, Sendable, Codable {
    package struct Layer: Hashable, Sendable, Codable {
        package var name: String
        package var kind: String
        package var output: FeatureShape
        package var parameters: Int
        /// Multiply-adds of the forward pass for one image.
        package var multiplyAdds: Int
    }

    package var network: String
    package var layers: [Layer]
    package var parameters: Int
    /// Multiply-adds of one image's forward pass.
    package var multiplyAdds: Int
    package var imagesPerMicrobatch: Int
    /// Floating-point operations of the convolutions in the forward and backward pass of one microbatch.
    package var trainingFlops: Int
    /// The arena of a compute thread in training, and the least any plan could need.
    package var trainingArenaBytes: Int
    package var trainingPeakBytes: Int
    package var inferenceArenaBytes: Int
    /// Weights, transposed weights and buffers, shared by the threads of a worker.
    package var sharedBytes: Int

    /// Summarises `network` trained with `loss` on microbatches of `images` images.
    package init(_ network: Network, loss: SegmentationLoss, images: Int) throws(GraphError) {
        let graph = try network.graph(loss: loss)
        let layout = ParameterLayout(graph)
        let training = try Program(graph, layout: layout, images: images, mode: .training)
        let inference = try Program(
            graph,
            layout: layout,
            images: images,
            mode: .inference(probabilities: true)
        )
        self.network = network.name
        layers = graph.nodes.map { node in
            Layer(
                name: node.name,
                kind: node.kind,
                output: graph.shape(of: node.output),
                parameters: graph.parameters(of: node).reduce(0) { $0 + $1.shape.reduce(1, *) },
                multiplyAdds: graph.multiplyAdds(of: node)
            )
        }
        parameters = layout.parameters.reduce(0) { $0 + $1.elementCount }
        multiplyAdds = layers.reduce(0) { $0 + $1.multiplyAdds }
        imagesPerMicrobatch = images
        trainingFlops = training.flops
        trainingArenaBytes = training.arenaBytes
        trainingPeakBytes = training.peakBytes
        inferenceArenaBytes = inference.arenaBytes
        sharedBytes = 4 * (layout.weightCount + layout.transposedCount + layout.bufferCount)
    }

    /// A table of the layers and a block of totals, for people.
    package var text: String {
        let rows = layers.map { layer in
            [
                layer.name, layer.kind, layer.output.description, layer.parameters == 0 ? "" : "\(layer.parameters)",
                layer.multiplyAdds == 0 ? "" : "\(Self.decimals(layer.multiplyAdds, per: 1_000_000)) M",
            ]
        }
        let header = ["layer", "kind", "output", "parameters", "multiply-adds"]
        let widths = header.indices.map { column in
            ([header] + rows).map { $0[column].count }.max() ?? 0
        }
        var lines = ([header] + rows).map { row in
            row.indices.map { column in
                let space = String(repeating: " ", count: widths[column] - row[column].count)
                return column < 3 ? row[column] + space : space + row[column]
            }.joined(separator: "  ")
        }
        lines += [
            "",
            "network            \(network)",
            "parameters         \(parameters)",
            "forward pass       \(Self.decimals(multiplyAdds, per: 1_000_000)) M multiply-adds an image",
            "microbatch         \(imagesPerMicrobatch) images, "
                + "\(Self.decimals(trainingFlops, per: 1_000_000_000)) GFLOP forward and backward",
            "training arena     \(Self.decimals(trainingArenaBytes, per: 1 << 20)) MiB a compute thread "
                + "(at once in use: \(Self.decimals(trainingPeakBytes, per: 1 << 20)) MiB)",
            "inference arena    \(Self.decimals(inferenceArenaBytes, per: 1 << 20)) MiB a compute thread",
            "shared by threads  \(Self.decimals(sharedBytes, per: 1 << 20)) MiB",
        ]
        return lines.joined(separator: "\n") + "\n"
    }

    /// `value` / `unit` with two decimals.
    private static func decimals(_ value: Int, per unit: Int) -> String {
        let hundredths = (value * 100 + unit / 2) / unit
        let rest = hundredths % 100
        return "\(hundredths / 100).\(rest < 10 ? "0" : "")\(rest)"
    }
}
