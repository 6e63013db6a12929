import Graph

/// The ResNet encoders with basic blocks, named as torchvision names them.
package enum ResNetEncoder: String, Hashable, Sendable, Codable, CaseIterable {
    case resnet18
    case resnet34

    /// Blocks of layer1 … layer4.
    var blocks: [Int] {
        switch self {
        case .resnet18: [2, 2, 2, 2]
        case .resnet34: [3, 4, 6, 3]
        }
    }

    /// Appends the encoder; returns its feature maps at strides 2, 4, 8, 16 and 32.
    func features(
        _ images: Tensor,
        name: String,
        statistics: NormalizationStatistics,
        in builder: inout GraphBuilder
    ) throws(GraphError) -> [Tensor] {
        var x = try builder.convolution(images, name: "\(name).conv1", outputChannels: 64, kernel: 7, stride: 2)
        x = try builder.batchNormalization(x, name: "\(name).bn1", statistics: statistics)
        x = try builder.relu(x, name: "\(name).relu")
        var features = [x]
        x = try builder.maxPool(x, name: "\(name).maxpool", size: 3, stride: 2, padding: 1)
        for (layer, count) in blocks.enumerated() {
            for block in 0..<count {
                x = try basicBlock(
                    x,
                    name: "\(name).layer\(layer + 1).\(block)",
                    channels: 64 << layer,
                    stride: block == 0 && layer > 0 ? 2 : 1,
                    statistics: statistics,
                    in: &builder
                )
            }
            features.append(x)
        }
        return features
    }

    private func basicBlock(
        _ x: Tensor,
        name: String,
        channels: Int,
        stride: Int,
        statistics: NormalizationStatistics,
        in builder: inout GraphBuilder
    ) throws(GraphError) -> Tensor {
        var y = try builder.convolution(
            x,
            name: "\(name).conv1",
            outputChannels: channels,
            kernel: 3,
            stride: stride
        )
        y = try builder.batchNormalization(y, name: "\(name).bn1", statistics: statistics)
        y = try builder.relu(y, name: "\(name).relu1")
        y = try builder.convolution(y, name: "\(name).conv2", outputChannels: channels, kernel: 3)
        y = try builder.batchNormalization(y, name: "\(name).bn2", statistics: statistics)
        var identity = x
        if stride != 1 || builder.shape(of: x).channels != channels {
            identity = try builder.convolution(
                x,
                name: "\(name).downsample.0",
                outputChannels: channels,
                kernel: 1,
                stride: stride
            )
            identity = try builder.batchNormalization(
                identity,
                name: "\(name).downsample.1",
                statistics: statistics
            )
        }
        y = try builder.add(y, identity, name: "\(name).add")
        return try builder.relu(y, name: "\(name).relu2")
    }
}
