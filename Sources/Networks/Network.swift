package import Graph

/// A network and the size of its images: all that a graph is built from, as configurations and checkpoints keep it.
package struct Network: Hashable, Sendable, Codable {
    /// The families of networks, by the names that configurations use.
    package enum Architecture: Hashable, Sendable, Codable {
        case unetSmall(SmallUNet)
        case unet(UNet)
        case deepLabV3Plus(DeepLabV3Plus)
    }

    package var architecture: Architecture
    /// Height and width of the images.
    package var height: Int
    package var width: Int
    /// 1, or 3 where encoders expect colours.
    package var inputChannels: Int

    package init(_ architecture: Architecture, height: Int, width: Int, inputChannels: Int = 1) {
        self.architecture = architecture
        self.height = height
        self.width = width
        self.inputChannels = inputChannels
    }

    /// The name that configurations use.
    package var name: String {
        switch architecture {
        case .unetSmall: "unet-small"
        case .unet: "unet"
        case .deepLabV3Plus: "deeplabv3plus"
        }
    }

    /// Builds the graph: the network, then `loss` on its logits where given.
    package func graph(loss: SegmentationLoss?) throws(GraphError) -> Graph {
        if inputChannels != 1 && inputChannels != 3 {
            throw GraphError(layer: "input", problem: "images have 1 or 3 channels, not \(inputChannels).")
        }
        var builder = try GraphBuilder(
            input: FeatureShape(height: height, width: width, channels: inputChannels)
        )
        let logits: Tensor
        switch architecture {
        case .unetSmall(let network): logits = try network.logits(builder.input, in: &builder)
        case .unet(let network): logits = try network.logits(builder.input, in: &builder)
        case .deepLabV3Plus(let network): logits = try network.logits(builder.input, in: &builder)
        }
        if let loss { try builder.segmentationLoss(logits, loss) }
        return try builder.finish(output: logits)
    }
}
