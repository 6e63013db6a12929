import Graph

/// The residual encoders: ResNets with the names of torchvision, and SE-ResNeXts with those of Cadene's collection, which
/// segmentation_models takes over.
struct ResNetEncoder {
    enum Block {
        /// Two 3×3 convolutions (He et al., "Deep Residual Learning", 2016).
        case basic
        /// 1×1, 3×3, 1×1 to four times the channels; the stride is that of the 3×3 convolution, as in torchvision.
        case bottleneck
        /// A bottleneck of twice the width in 32 groups, whose output is gated by squeeze and excitation (Hu et al.,
        /// "Squeeze-and-Excitation Networks", 2018).
        case squeezing
    }

    /// Blocks of layer1 … layer4.
    var blocks: [Int]
    var block: Block
    var statistics: NormalizationStatistics

    /// Appends the encoder; returns its feature maps at strides 2, 4, 8, 16 and 32, the last at 16 and dilated where
    /// `outputStride` is 16.
    func features(
        _ images: Tensor,
        name: String,
        outputStride: Int,
        in builder: inout GraphBuilder
    ) throws(GraphError) -> [Tensor] {
        let stem = block == .squeezing ? "\(name).layer0" : name
        var x = try convolution(images, "\(stem).conv1", "\(stem).bn1", channels: 64, kernel: 7, stride: 2, &builder)
        x = try builder.relu(x, name: "\(stem).relu1")
        var features = [x]
        if block == .squeezing {
            x = try builder.maxPool(x, name: "\(stem).pool", size: 3, stride: 2, ceilMode: true)
        } else {
            x = try builder.maxPool(x, name: "\(stem).maxpool", size: 3, stride: 2, padding: 1)
        }
        for (layer, count) in blocks.enumerated() {
            let isDilated = layer == 3 && outputStride == 16
            for index in 0..<count {
                x = try residualBlock(
                    x,
                    name: "\(name).layer\(layer + 1).\(index)",
                    channels: 64 << layer,
                    stride: index == 0 && layer > 0 && !isDilated ? 2 : 1,
                    dilation: isDilated ? 2 : 1,
                    &builder
                )
            }
            features.append(x)
        }
        return features
    }

    /// `channels` are those of a basic block; bottlenecks put out four times as many.
    private func residualBlock(
        _ x: Tensor,
        name: String,
        channels: Int,
        stride: Int,
        dilation: Int,
        _ builder: inout GraphBuilder
    ) throws(GraphError) -> Tensor {
        let outputs = block == .basic ? channels : 4 * channels
        var y = x
        if block == .basic {
            y = try convolution(
                y,
                "\(name).conv1",
                "\(name).bn1",
                channels: channels,
                kernel: 3,
                stride: stride,
                dilation: dilation,
                &builder
            )
            y = try builder.relu(y, name: "\(name).relu1")
            y = try convolution(
                y,
                "\(name).conv2",
                "\(name).bn2",
                channels: channels,
                kernel: 3,
                dilation: dilation,
                &builder
            )
        } else {
            let width = block == .squeezing ? 2 * channels : channels
            y = try convolution(y, "\(name).conv1", "\(name).bn1", channels: width, kernel: 1, &builder)
            y = try builder.relu(y, name: "\(name).relu1")
            y = try convolution(
                y,
                "\(name).conv2",
                "\(name).bn2",
                channels: width,
                kernel: 3,
                stride: stride,
                dilation: dilation,
                groups: block == .squeezing ? 32 : 1,
                &builder
            )
            y = try builder.relu(y, name: "\(name).relu2")
            y = try convolution(y, "\(name).conv3", "\(name).bn3", channels: outputs, kernel: 1, &builder)
        }
        var identity = x
        if stride != 1 || builder.shape(of: x).channels != outputs {
            identity = try convolution(
                x,
                "\(name).downsample.0",
                "\(name).downsample.1",
                channels: outputs,
                kernel: 1,
                stride: stride,
                &builder
            )
        }
        if block == .squeezing {
            var gate = try builder.globalAveragePool(y, name: "\(name).se_module.avg_pool")
            gate = try builder.convolution(
                gate,
                name: "\(name).se_module.fc1",
                outputChannels: outputs / 16,
                kernel: 1,
                bias: true
            )
            gate = try builder.relu(gate, name: "\(name).se_module.relu")
            gate = try builder.convolution(
                gate,
                name: "\(name).se_module.fc2",
                outputChannels: outputs,
                kernel: 1,
                bias: true
            )
            gate = try builder.sigmoid(gate, name: "\(name).se_module.sigmoid")
            y = try builder.scaleChannels(y, by: gate, name: "\(name).se_module.scale")
        }
        y = try builder.add(y, identity, name: "\(name).add")
        return try builder.relu(y, name: "\(name).relu")
    }

    private func convolution(
        _ x: Tensor,
        _ name: String,
        _ normalization: String,
        channels: Int,
        kernel: Int,
        stride: Int = 1,
        dilation: Int = 1,
        groups: Int = 1,
        _ builder: inout GraphBuilder
    ) throws(GraphError) -> Tensor {
        let y = try builder.convolution(
            x,
            name: name,
            outputChannels: channels,
            kernel: kernel,
            stride: stride,
            dilation: dilation,
            groups: groups
        )
        return try builder.batchNormalization(y, name: normalization, statistics: statistics)
    }
}
