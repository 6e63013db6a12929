package import Graph
package import Settings

/// A plain U-Net for demonstrations and tests: `depth` halvings, two convolutions at each scale, no encoder to borrow.
package struct SmallUNet: NetworkFamily {
    package static let word = "unet-small"
    package static let summary = "a plain U-Net for small images."

    /// How the decoder doubles the size.
    package enum Upsampling: String, Hashable, SettingWord {
        case nearest
        case bilinear
        case transposed
    }

    /// Channels at full size; they double with each halving.
    package var baseWidth: Int
    package var depth: Int
    package var upsampling: Upsampling
    package var statistics: NormalizationStatistics
    /// Probability that a feature before the head is dropped.
    package var dropout: Double

    package init() { self.init(baseWidth: 16) }

    package init(
        baseWidth: Int = 16,
        depth: Int = 4,
        upsampling: Upsampling = .nearest,
        statistics: NormalizationStatistics = .batch,
        dropout: Double = 0
    ) {
        self.baseWidth = baseWidth
        self.depth = depth
        self.upsampling = upsampling
        self.statistics = statistics
        self.dropout = dropout
    }

    package static let settings: [Setting<SmallUNet>] = [
        Setting(
            "base_width",
            \.baseWidth,
            .within(1...512),
            "Channels of the first level; each level has twice those of the one above."
        ),
        dropoutSetting(\.dropout),
        Setting("depth", \.depth, .within(1...7), "How often the size is halved."),
        Setting("upsampling", \.upsampling, .any, "How the decoder doubles the size."),
    ]

    package var variant: String { "\(baseWidth)" }
    package var details: String { "base width \(baseWidth)" }
    package var sizeDivisor: Int { 1 << depth }

    package func outputs(_ images: Tensor, in builder: inout GraphBuilder) throws(GraphError) -> NetworkOutputs {
        var skips: [Tensor] = []
        var x = images
        for level in 0...depth {
            x = try pair(x, name: "encoder.\(level)", channels: baseWidth << level, in: &builder)
            if level < depth {
                skips.append(x)
                x = try builder.maxPool(x, name: "encoder.\(level).pool", size: 2)
            }
        }
        for level in (0..<depth).reversed() {
            let name = "decoder.\(level)"
            let skip = skips[level]
            let size = builder.shape(of: skip)
            switch upsampling {
            case .nearest:
                x = try builder.upsampleNearest(x, name: "\(name).upsample")
            case .bilinear:
                x = try builder.upsampleBilinear(
                    x,
                    name: "\(name).upsample",
                    height: size.height,
                    width: size.width
                )
            case .transposed:
                x = try builder.transposedConvolution(
                    x,
                    name: "\(name).upsample",
                    outputChannels: baseWidth << level
                )
            }
            x = try builder.concatenate([x, skip], name: "\(name).concatenate")
            x = try pair(x, name: name, channels: baseWidth << level, in: &builder)
        }
        x = try builder.dropout(x, name: "head.dropout", probability: dropout)
        let logits = try builder.convolution(
            x,
            name: "head",
            outputChannels: 1,
            kernel: 1,
            bias: true,
            initialBias: UNet.headBias
        )
        return NetworkOutputs(mask: logits)
    }

    private func pair(
        _ x: Tensor,
        name: String,
        channels: Int,
        in builder: inout GraphBuilder
    ) throws(GraphError) -> Tensor {
        var x = x
        for half in 1...2 {
            x = try builder.convolutionBlock(
                x,
                convolution: "\(name).conv\(half)",
                normalization: "\(name).bn\(half)",
                activation: "\(name).relu\(half)",
                channels: channels,
                statistics: statistics
            )
        }
        return x
    }
}

extension NetworkArchitecture {
    package static let unetSmall = NetworkArchitecture(SmallUNet.self)
}
