import Graph

/// The encoders, by the names that segmentation_models gives them.
package enum Encoder: String, Hashable, Sendable, Codable, CaseIterable {
    case resnet18
    case resnet34
    case resnet50
    case resnet101
    case resnet152
    case seResNeXt50 = "se_resnext50_32x4d"
    case seResNeXt101 = "se_resnext101_32x4d"
    case efficientNetB0 = "efficientnet-b0"
    case efficientNetB1 = "efficientnet-b1"
    case efficientNetB2 = "efficientnet-b2"
    case efficientNetB3 = "efficientnet-b3"
    case efficientNetB4 = "efficientnet-b4"
    case efficientNetB5 = "efficientnet-b5"
    case efficientNetB6 = "efficientnet-b6"
    case efficientNetB7 = "efficientnet-b7"

    /// Appends the encoder; returns its feature maps at strides 2, 4, 8, 16 and 32.
    ///
    /// With `outputStride` 16 the last map stays at stride 16: the last stage is dilated instead.
    func features(
        _ images: Tensor,
        name: String,
        statistics: NormalizationStatistics,
        outputStride: Int = 32,
        in builder: inout GraphBuilder
    ) throws(GraphError) -> [Tensor] {
        if outputStride != 32 && !(outputStride == 16 && canDilate) {
            throw GraphError(
                layer: name,
                problem: "\(rawValue) has no variant with an output stride of \(outputStride); take a resnet."
            )
        }
        switch self {
        case .resnet18: return try resNet([2, 2, 2, 2], .basic)
        case .resnet34: return try resNet([3, 4, 6, 3], .basic)
        case .resnet50: return try resNet([3, 4, 6, 3], .bottleneck)
        case .resnet101: return try resNet([3, 4, 23, 3], .bottleneck)
        case .resnet152: return try resNet([3, 8, 36, 3], .bottleneck)
        case .seResNeXt50: return try resNet([3, 4, 6, 3], .squeezing)
        case .seResNeXt101: return try resNet([3, 4, 23, 3], .squeezing)
        case .efficientNetB0: return try efficientNet(width: 1.0, depth: 1.0, resolution: 224)
        case .efficientNetB1: return try efficientNet(width: 1.0, depth: 1.1, resolution: 240)
        case .efficientNetB2: return try efficientNet(width: 1.1, depth: 1.2, resolution: 260)
        case .efficientNetB3: return try efficientNet(width: 1.2, depth: 1.4, resolution: 300)
        case .efficientNetB4: return try efficientNet(width: 1.4, depth: 1.8, resolution: 380)
        case .efficientNetB5: return try efficientNet(width: 1.6, depth: 2.2, resolution: 456)
        case .efficientNetB6: return try efficientNet(width: 1.8, depth: 2.6, resolution: 528)
        case .efficientNetB7: return try efficientNet(width: 2.0, depth: 3.1, resolution: 600)
        }

        func resNet(_ blocks: [Int], _ block: ResNetEncoder.Block) throws(GraphError) -> [Tensor] {
            let encoder = ResNetEncoder(blocks: blocks, block: block, statistics: statistics)
            return try encoder.features(images, name: name, outputStride: outputStride, in: &builder)
        }
        func efficientNet(width: Double, depth: Double, resolution: Int) throws(GraphError) -> [Tensor] {
            let encoder = EfficientNetEncoder(
                width: width,
                depth: depth,
                resolution: resolution,
                statistics: statistics
            )
            return try encoder.features(images, name: name, in: &builder)
        }
    }

    /// Whether the last stage can be dilated.
    package var canDilate: Bool { rawValue.hasPrefix("resnet") }
}
