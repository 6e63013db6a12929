package import Graph
package import Settings

/// DeepLabV3+ of segmentation_models_pytorch (Chen et al., "Encoder-Decoder with Atrous Separable Convolution", 2018): the
/// same layers, names and order of channels, with an output stride of 16.
package struct DeepLabV3Plus: NetworkFamily {
    package static let word = "deeplabv3plus"
    package static let summary = "dilated, over a resnet."

    package var encoder: Encoder
    /// Channels of the pyramid and of the decoder.
    package var channels: Int
    package var statistics: NormalizationStatistics
    /// Probability that a feature before the head is dropped.
    package var dropout: Double

    package init() { self.init(encoder: .resnet50) }

    package init(
        encoder: Encoder = .resnet50,
        channels: Int = 256,
        statistics: NormalizationStatistics = .batch,
        dropout: Double = 0
    ) {
        self.encoder = encoder
        self.channels = channels
        self.statistics = statistics
        self.dropout = dropout
    }

    private static let rates = [12, 24, 36]
    private static let skipChannels = 48
    /// Probability that a feature behind the pyramid is dropped, as there.
    private static let pyramidDropout = 0.5

    package static let settings: [Setting<DeepLabV3Plus>] = [
        encoderSetting(\.encoder), dropoutSetting(\.dropout),
        Setting("decoder_channels", \.channels, .within(1...2048), "Channels of the pyramid and of the decoder."),
    ]

    package var variant: String { encoder.rawValue }
    package var sizeDivisor: Int { 16 }

    package func problems(microbatchSize: Int) -> [NetworkProblem] {
        var problems: [NetworkProblem] = []
        if !encoder.canDilate {
            problems.append(
                NetworkProblem(
                    .encoder,
                    "takes a resnet, whose last stage can be dilated, found \(encoder.rawValue)"
                )
            )
        }
        if statistics == .batch && microbatchSize < 2 {
            problems.append(
                NetworkProblem(
                    .microbatchSize,
                    "normalises the mean of each image over the microbatch, which takes 2 or more"
                )
            )
        }
        return problems
    }

    package func outputs(_ images: Tensor, in builder: inout GraphBuilder) throws(GraphError) -> NetworkOutputs {
        let shape = builder.shape(of: images)
        let features = try encoder.features(
            images,
            name: "encoder",
            statistics: statistics,
            outputStride: 16,
            in: &builder
        )
        var x = try pyramid(features[4], name: "decoder.aspp.0", in: &builder)
        x = try separable(x, name: "decoder.aspp.1", in: &builder)
        x = try activated(x, normalization: "decoder.aspp.2", name: "decoder.aspp.3", in: &builder)
        let size = builder.shape(of: features[1])
        x = try builder.upsampleBilinear(
            x,
            name: "decoder.up",
            height: size.height,
            width: size.width,
            alignCorners: true
        )
        var skip = try builder.convolution(
            features[1],
            name: "decoder.block1.0",
            outputChannels: Self.skipChannels,
            kernel: 1
        )
        skip = try activated(skip, normalization: "decoder.block1.1", name: "decoder.block1.2", in: &builder)
        x = try builder.concatenate([x, skip], name: "decoder.concatenate")
        x = try separable(x, name: "decoder.block2.0", in: &builder)
        x = try activated(x, normalization: "decoder.block2.1", name: "decoder.block2.2", in: &builder)
        return NetworkOutputs(
            mask: try builder.enlargingHead(x, dropout: dropout, height: shape.height, width: shape.width)
        )
    }

    /// Atrous spatial pyramid pooling: a 1×1 convolution, three dilated separable ones and the image's mean, side by side.
    private func pyramid(
        _ x: Tensor,
        name: String,
        in builder: inout GraphBuilder
    ) throws(GraphError) -> Tensor {
        var branch = try builder.convolution(x, name: "\(name).convs.0.0", outputChannels: channels, kernel: 1)
        branch = try activated(
            branch,
            normalization: "\(name).convs.0.1",
            name: "\(name).convs.0.2",
            in: &builder
        )
        var branches = [branch]
        for (index, rate) in Self.rates.enumerated() {
            let part = "\(name).convs.\(index + 1)"
            branch = try separable(x, name: "\(part).0", dilation: rate, in: &builder)
            branches.append(try activated(branch, normalization: "\(part).1", name: "\(part).2", in: &builder))
        }
        let part = "\(name).convs.4"
        branch = try builder.globalAveragePool(x, name: "\(part).0")
        branch = try builder.convolution(branch, name: "\(part).1", outputChannels: channels, kernel: 1)
        branch = try activated(branch, normalization: "\(part).2", name: "\(part).3", in: &builder)
        let size = builder.shape(of: x)
        branches.append(
            try builder.upsampleBilinear(branch, name: "\(part).4", height: size.height, width: size.width)
        )
        var y = try builder.concatenate(branches, name: "\(name).concatenate")
        y = try builder.convolution(y, name: "\(name).project.0", outputChannels: channels, kernel: 1)
        y = try activated(y, normalization: "\(name).project.1", name: "\(name).project.2", in: &builder)
        return try builder.dropout(y, name: "\(name).project.3", probability: Self.pyramidDropout)
    }

    /// A 3×3 convolution within channels, then a 1×1 convolution across them.
    private func separable(
        _ x: Tensor,
        name: String,
        dilation: Int = 1,
        in builder: inout GraphBuilder
    ) throws(GraphError) -> Tensor {
        let inputs = builder.shape(of: x).channels
        let y = try builder.convolution(
            x,
            name: "\(name).0",
            outputChannels: inputs,
            kernel: 3,
            dilation: dilation,
            groups: inputs
        )
        return try builder.convolution(y, name: "\(name).1", outputChannels: channels, kernel: 1)
    }

    private func activated(
        _ x: Tensor,
        normalization: String,
        name: String,
        in builder: inout GraphBuilder
    ) throws(GraphError) -> Tensor {
        try builder.relu(
            try builder.batchNormalization(x, name: normalization, statistics: statistics),
            name: name
        )
    }
}

extension NetworkArchitecture {
    package static let deepLabV3Plus = NetworkArchitecture(DeepLabV3Plus.self)
}
