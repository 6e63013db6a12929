package import Graph
package import Kernels
package import Losses

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
    /// A compute thread's arena in training under one policy, and what it computes once more for it.
    package struct Arena: Hashable, Sendable, Codable {
        package var policy: MemoryPolicy
        package var isChosen: Bool
        package var bytes: Int
        /// The least any plan could need.
        package var peakBytes: Int
        /// Floating-point operations that are done a second time.
        package var recomputedFlops: Int
        /// Bytes of feature maps that instructions without such operations write a second time.
        package var recomputedBytes: Int
    }

    package var precision: ElementFormat
    package var arenas: [Arena]
    package var inferenceArenaBytes: Int
    /// Weights and buffers, shared by the threads of a worker.
    package var sharedBytes: Int

    /// Summarises `network` trained with `loss` on microbatches of `images` images.
    package init(
        _ network: Network,
        loss: SegmentationLoss,
        images: Int,
        precision: ElementFormat = .float32,
        memory: MemoryPolicy = .lean
    ) throws(GraphError) {
        let graph = try network.graph(loss: loss)
        let layout = ParameterLayout(graph)
        var arenas: [Arena] = []
        var flops = 0
        for policy in MemoryPolicy.allCases {
            let training = try Program(
                graph,
                layout: layout,
                images: images,
                mode: .training,
                precision: precision,
                options: Program.Options(memory: policy)
            )
            flops = training.flops
            arenas.append(
                Arena(
                    policy: policy,
                    isChosen: policy == memory,
                    bytes: training.arenaBytes,
                    peakBytes: training.peakBytes,
                    recomputedFlops: training.recomputedFlops,
                    recomputedBytes: training.recomputedBytes
                )
            )
        }
        let inference = try Program(
            graph,
            layout: layout,
            images: images,
            mode: .inference(probabilities: true),
            precision: precision
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
        trainingFlops = flops
        self.precision = precision
        self.arenas = arenas
        inferenceArenaBytes = inference.arenaBytes
        sharedBytes = 4 * (layout.weightCount + layout.bufferCount)
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
            "network            \(network), \(precision.rawValue)",
            "parameters         \(parameters)",
            "forward pass       \(Self.decimals(multiplyAdds, per: 1_000_000)) M multiply-adds an image",
            "microbatch         \(imagesPerMicrobatch) images, "
                + "\(Self.decimals(trainingFlops, per: 1_000_000_000)) GFLOP forward and backward",
            "inference arena    \(Self.decimals(inferenceArenaBytes, per: 1 << 20)) MiB a compute thread",
            "shared by threads  \(Self.decimals(sharedBytes, per: 1 << 20)) MiB",
        ]
        for arena in arenas {
            let name = "memory: \(arena.policy.rawValue)"
            let again =
                arena.recomputedBytes + arena.recomputedFlops == 0
                ? ""
                : ", for \(Self.decimals(arena.recomputedFlops, per: 1_000_000_000)) GFLOP and "
                    + "\(Self.decimals(arena.recomputedBytes, per: 1 << 20)) MiB of feature maps computed twice"
            lines.append(
                name + String(repeating: " ", count: max(1, 19 - name.count))
                    + "\(Self.decimals(arena.bytes, per: 1 << 20)) MiB a compute thread in training\(again)"
                    + (arena.isChosen ? " (chosen)" : "")
            )
        }
        return lines.joined(separator: "\n") + "\n"
    }

    /// `value` / `unit` with two decimals.
    private static func decimals(_ value: Int, per unit: Int) -> String {
        let hundredths = (value * 100 + unit / 2) / unit
        let rest = hundredths % 100
        return "\(hundredths / 100).\(rest < 10 ? "0" : "")\(rest)"
    }
}
