import Graph

/// The EfficientNet encoders (Tan and Le, "EfficientNet", 2019), named as efficientnet_pytorch names them, which
/// segmentation_models takes over.
struct EfficientNetEncoder {
    /// Factors of the channels and of the blocks of B0.
    var width: Double
    var depth: Double
    /// The image size that the network was made for: it fixes the padding of its strided convolutions.
    var resolution: Int
    var statistics: NormalizationStatistics

    /// Stages of B0: blocks, kernel, stride, expansion, channels.
    private static let stages: [(blocks: Int, kernel: Int, stride: Int, expansion: Int, channels: Int)] = [
        (1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192),
        (1, 3, 1, 6, 320),
    ]
    /// The stages after which the feature maps of stride 4, 8, 16 and 32 are taken.
    private static let outputs: Set<Int> = [1, 2, 4, 6]
    /// The probability to drop the last block's branch; it grows with the blocks from 0.
    private static let dropConnect = 0.2

    /// Appends the encoder; returns its feature maps at strides 2, 4, 8, 16 and 32.
    func features(_ images: Tensor, name: String, in builder: inout GraphBuilder) throws(GraphError) -> [Tensor] {
        var size = resolution
        var x = try convolution(
            images,
            "\(name)._conv_stem",
            channels: Self.scaled(32, by: width),
            kernel: 3,
            stride: 2,
            size: &size,
            &builder
        )
        x = try normalization(x, "\(name)._bn0", &builder)
        x = try builder.silu(x, name: "\(name)._swish")
        var features = [x]
        let counts = Self.stages.map { Int((depth * Double($0.blocks)).rounded(.up)) }
        let total = counts.reduce(0, +)
        var index = 0
        for (number, stage) in Self.stages.enumerated() {
            for block in 0..<counts[number] {
                // segmentation_models takes B0's map of stride 16 after the first block of its stage, not the last.
                if total == 16 && number == 4 && block == 1 { features.append(x) }
                x = try invertedBottleneck(
                    x,
                    name: "\(name)._blocks.\(index)",
                    kernel: stage.kernel,
                    stride: block == 0 ? stage.stride : 1,
                    expansion: stage.expansion,
                    channels: Self.scaled(stage.channels, by: width),
                    dropConnect: Self.dropConnect * Double(index) / Double(total),
                    size: &size,
                    &builder
                )
                index += 1
            }
            if Self.outputs.contains(number) && !(total == 16 && number == 4) { features.append(x) }
        }
        return features
    }

    /// `channels` scaled and rounded to a multiple of 8, not below nine tenths.
    static func scaled(_ channels: Int, by factor: Double) -> Int {
        let wanted = Double(channels) * factor
        let rounded = max(8, Int(wanted + 4) / 8 * 8)
        return Double(rounded) < 0.9 * wanted ? rounded + 8 : rounded
    }

    private func invertedBottleneck(
        _ x: Tensor,
        name: String,
        kernel: Int,
        stride: Int,
        expansion: Int,
        channels: Int,
        dropConnect: Double,
        size: inout Int,
        _ builder: inout GraphBuilder
    ) throws(GraphError) -> Tensor {
        let inputs = builder.shape(of: x).channels
        var y = x
        if expansion != 1 {
            y = try builder.convolution(y, name: "\(name)._expand_conv", outputChannels: inputs * expansion, kernel: 1)
            y = try normalization(y, "\(name)._bn0", &builder)
            y = try builder.silu(y, name: "\(name)._swish0")
        }
        let width = inputs * expansion
        y = try convolution(
            y,
            "\(name)._depthwise_conv",
            channels: width,
            kernel: kernel,
            stride: stride,
            groups: width,
            size: &size,
            &builder
        )
        y = try normalization(y, "\(name)._bn1", &builder)
        y = try builder.silu(y, name: "\(name)._swish1")
        var gate = try builder.globalAveragePool(y, name: "\(name)._se_pool")
        gate = try builder.convolution(
            gate,
            name: "\(name)._se_reduce",
            outputChannels: max(1, inputs / 4),
            kernel: 1,
            bias: true
        )
        gate = try builder.silu(gate, name: "\(name)._se_swish")
        gate = try builder.convolution(gate, name: "\(name)._se_expand", outputChannels: width, kernel: 1, bias: true)
        gate = try builder.sigmoid(gate, name: "\(name)._se_sigmoid")
        y = try builder.scaleChannels(y, by: gate, name: "\(name)._se_scale")
        y = try builder.convolution(y, name: "\(name)._project_conv", outputChannels: channels, kernel: 1)
        y = try normalization(y, "\(name)._bn2", &builder)
        guard stride == 1 && inputs == channels else { return y }
        if dropConnect > 0 {
            y = try builder.dropConnect(y, name: "\(name)._drop_connect", probability: dropConnect)
        }
        return try builder.add(y, x, name: "\(name)._add")
    }

    private func normalization(
        _ x: Tensor,
        _ name: String,
        _ builder: inout GraphBuilder
    ) throws(GraphError) -> Tensor {
        try builder.batchNormalization(x, name: name, statistics: statistics, epsilon: 1e-3, momentum: 0.01)
    }

    /// TensorFlow's "same" padding for an image of `size` pixels, which becomes that of the output.
    private func convolution(
        _ x: Tensor,
        _ name: String,
        channels: Int,
        kernel: Int,
        stride: Int,
        groups: Int = 1,
        size: inout Int,
        _ builder: inout GraphBuilder
    ) throws(GraphError) -> Tensor {
        let output = (size + stride - 1) / stride
        let padding = max(0, (output - 1) * stride + kernel - size)
        size = output
        return try builder.convolution(
            x,
            name: name,
            outputChannels: channels,
            kernel: kernel,
            stride: stride,
            padding: padding / 2,
            paddingAfter: padding - padding / 2,
            groups: groups
        )
    }
}
