import Graph

extension GraphBuilder {
    /// The head of networks whose decoder ends at a part of the images' size: logits by a convolution of 1 × 1, enlarged to
    /// `height` × `width`, corners aligned. Names are those of segmentation_models_pytorch.
    mutating func enlargingHead(
        _ x: Tensor,
        dropout probability: Double,
        height: Int,
        width: Int
    ) throws(GraphError) -> Tensor {
        let dropped = try dropout(x, name: "segmentation_head.dropout", probability: probability)
        let logits = try convolution(
            dropped,
            name: "segmentation_head.0",
            outputChannels: 1,
            kernel: 1,
            bias: true,
            initialBias: UNet.headBias
        )
        return try upsampleBilinear(
            logits,
            name: "segmentation_head.1",
            height: height,
            width: width,
            alignCorners: true
        )
    }
}
