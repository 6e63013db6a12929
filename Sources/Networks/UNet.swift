package import Graph
package import Settings

/// The U-Net of segmentation_models_pytorch: the same layers, names and order of channels.
package struct UNet: NetworkFamily {
    package static let word = "unet"
    package static let summary = "a U-Net over an encoder."

    package var encoder: Encoder
    /// Channels of the decoder's blocks, coarse to fine.
    package var decoderChannels: [Int]
    package var statistics: NormalizationStatistics
    /// Probability that a feature before the head is dropped.
    package var dropout: Double

    package init() { self.init(encoder: .resnet34) }

    package init(
        encoder: Encoder = .resnet34,
        decoderChannels: [Int] = [256, 128, 64, 32, 16],
        statistics: NormalizationStatistics = .batch,
        dropout: Double = 0
    ) {
        self.encoder = encoder
        self.decoderChannels = decoderChannels
        self.statistics = statistics
        self.dropout = dropout
    }

    package static let settings: [Setting<UNet>] = [
        encoderSetting(\.encoder), dropoutSetting(\.dropout),
        Setting(
            "decoder_channels",
            \.decoderChannels,
            .list(of: 5, .within(1...2048)),
            "Channels of the decoder's blocks, coarse to fine."
        ),
    ]

    package var variant: String { encoder.rawValue }
    package var sizeDivisor: Int { 32 }

    package func outputs(_ images: Tensor, in builder: inout GraphBuilder) throws(GraphError) -> NetworkOutputs {
        if decoderChannels.count != 5 || decoderChannels.contains(where: { $0 < 1 }) {
            throw GraphError(
                layer: "decoder",
                problem: "the decoder has 5 blocks, found channels \(decoderChannels)."
            )
        }
        let features = try encoder.features(images, name: "encoder", statistics: statistics, in: &builder)
        var x = features[4]
        for (block, channels) in decoderChannels.enumerated() {
            let name = "decoder.blocks.\(block)"
            x = try builder.upsampleNearest(x, name: "\(name).upsample")
            if block < 4 { x = try builder.concatenate([x, features[3 - block]], name: "\(name).concatenate") }
            for half in ["conv1", "conv2"] {
                x = try builder.convolutionBlock(
                    x,
                    convolution: "\(name).\(half).0",
                    normalization: "\(name).\(half).1",
                    activation: "\(name).\(half).2",
                    channels: channels,
                    statistics: statistics
                )
            }
        }
        x = try builder.dropout(x, name: "segmentation_head.dropout", probability: dropout)
        let logits = try builder.convolution(
            x,
            name: "segmentation_head.0",
            outputChannels: 1,
            kernel: 3,
            bias: true,
            initialBias: Self.headBias
        )
        return NetworkOutputs(mask: logits)
    }

    /// The probability that every pixel begins with, about 0.12, as its logit.
    ///
    /// Most pixels are background. From 0.5, the first steps push all weights of a head below 0, and behind a ReLU a
    /// head whose weights are all negative predicts the empty mask and may never leave it (a prior: Lin et al., "Focal
    /// Loss for Dense Object Detection", 2017, section 3.3).
    static let headBias: Float = -2
}

extension NetworkArchitecture {
    package static let unet = NetworkArchitecture(UNet.self)
}

extension GraphBuilder {
    /// 3×3 convolution without bias, batch normalisation, ReLU.
    mutating func convolutionBlock(
        _ x: Tensor,
        convolution: String,
        normalization: String,
        activation: String,
        channels: Int,
        statistics: NormalizationStatistics
    ) throws(GraphError) -> Tensor {
        let y = try self.convolution(x, name: convolution, outputChannels: channels, kernel: 3)
        return try relu(
            try batchNormalization(y, name: normalization, statistics: statistics),
            name: activation
        )
    }
}
