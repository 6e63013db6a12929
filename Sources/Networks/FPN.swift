package import Graph
package import Settings

/// The feature pyramid network of segmentation_models_pytorch (Kirillov et al., "Panoptic Feature Pyramid Networks", 2019): the same
/// layers, names and order of channels.
///
/// The encoder's maps at strides 32, 16, 8 and 4 become a pyramid of equal channels, each level added to the one above, enlarged.
/// Every level goes through 3×3 convolutions up to stride 4, and the sum of all makes the mask.
package struct FPN: NetworkFamily {
    package static let word = "fpn"
    package static let summary = "a feature pyramid over an encoder."

    package var encoder: Encoder
    package var pyramidChannels: Int
    /// Channels behind the pyramid: a multiple of the 32 groups of their normalisation.
    package var segmentationChannels: Int
    /// Probability that a channel of an image is dropped behind the pyramid.
    package var decoderDropout: Double
    package var statistics: NormalizationStatistics
    /// Probability that a feature before the head is dropped.
    package var dropout: Double

    private static let groups = 32

    package init() { self.init(encoder: .resnet34) }

    package init(
        encoder: Encoder = .resnet34,
        pyramidChannels: Int = 256,
        segmentationChannels: Int = 128,
        decoderDropout: Double = 0.2,
        statistics: NormalizationStatistics = .batch,
        dropout: Double = 0
    ) {
        self.encoder = encoder
        self.pyramidChannels = pyramidChannels
        self.segmentationChannels = segmentationChannels
        self.decoderDropout = decoderDropout
        self.statistics = statistics
        self.dropout = dropout
    }

    package static let settings: [Setting<FPN>] = [
        encoderSetting(\.encoder), dropoutSetting(\.dropout),
        Setting("decoder_pyramid_channels", \.pyramidChannels, .within(1...2048), "Channels of the pyramid."),
        Setting(
            "decoder_segmentation_channels",
            \.segmentationChannels,
            SettingRange(text: "a multiple of \(groups), \(groups) to 2048", saysType: true) {
                (groups...2048).contains($0) && $0 % groups == 0
            },
            "Channels of the convolutions behind the pyramid."
        ),
        Setting(
            "decoder_dropout",
            \.decoderDropout,
            .within(0...0.99),
            "The probability to drop a channel of an image behind the pyramid."
        ),
    ]

    package var variant: String { encoder.rawValue }
    package var sizeDivisor: Int { 32 }

    package func outputs(_ images: Tensor, in builder: inout GraphBuilder) throws(GraphError) -> NetworkOutputs {
        let shape = builder.shape(of: images)
        let features = try encoder.features(images, name: "encoder", statistics: statistics, in: &builder)
        var level = try builder.convolution(
            features[4],
            name: "decoder.p5",
            outputChannels: pyramidChannels,
            kernel: 1,
            bias: true
        )
        var x = try segmented(level, block: 0, in: &builder)
        for block in 1...3 {
            let name = "decoder.p\(5 - block)"
            let skip = try builder.convolution(
                features[4 - block],
                name: "\(name).skip_conv",
                outputChannels: pyramidChannels,
                kernel: 1,
                bias: true
            )
            let enlarged = try builder.upsampleNearest(level, name: "\(name).upsample")
            level = try builder.add(enlarged, skip, name: "\(name).add")
            let part = try segmented(level, block: block, in: &builder)
            x = try builder.add(x, part, name: "decoder.merge.\(block)")
        }
        x = try builder.dropoutChannels(x, name: "decoder.dropout", probability: decoderDropout)
        return NetworkOutputs(
            mask: try builder.enlargingHead(x, dropout: dropout, height: shape.height, width: shape.width)
        )
    }

    /// A level of the pyramid at stride 4: block 0 is doubled three times, block 3 not at all.
    private func segmented(
        _ level: Tensor,
        block: Int,
        in builder: inout GraphBuilder
    ) throws(GraphError) -> Tensor {
        let doublings = 3 - block
        var x = level
        for index in 0..<max(1, doublings) {
            let name = "decoder.seg_blocks.\(block).block.\(index)"
            x = try builder.convolution(
                x,
                name: "\(name).block.0",
                outputChannels: segmentationChannels,
                kernel: 3
            )
            x = try builder.groupNormalization(x, name: "\(name).block.1", groups: Self.groups)
            x = try builder.relu(x, name: "\(name).block.2")
            if index < doublings {
                let size = builder.shape(of: x)
                x = try builder.upsampleBilinear(
                    x,
                    name: "\(name).upsample",
                    height: 2 * size.height,
                    width: 2 * size.width,
                    alignCorners: true
                )
            }
        }
        return x
    }
}
