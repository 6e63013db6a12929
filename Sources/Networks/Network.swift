package import Graph
package import Losses
import Settings

/// A network and the size of its images: all that a graph is built from.
package struct Network: Sendable {
    package var family: any NetworkFamily
    /// Height and width of the images.
    package var height: Int
    package var width: Int
    /// 1, or 3 where encoders expect colours.
    package var inputChannels: Int

    package init(_ family: any NetworkFamily, height: Int, width: Int, inputChannels: Int = 1) {
        self.family = family
        self.height = height
        self.width = width
        self.inputChannels = inputChannels
    }

    /// The name that configurations use.
    package var name: String { type(of: family).word }

    /// Builds the graph: the network, then `loss` on its logits where given.
    package func graph(loss: SegmentationLoss?) throws(GraphError) -> Graph {
        if inputChannels != 1 && inputChannels != 3 {
            throw GraphError(layer: "input", problem: "images have 1 or 3 channels, not \(inputChannels).")
        }
        if let problem = family.problems(microbatchSize: .max).first {
            throw GraphError(layer: "network", problem: "\(name) \(problem.message).")
        }
        let divisor = family.sizeDivisor
        if height % divisor != 0 || width % divisor != 0 {
            throw GraphError(
                layer: "input",
                problem: "\(family.words) needs height and width in multiples of \(divisor), found \(height)×\(width)."
            )
        }
        var builder = try GraphBuilder(
            input: FeatureShape(height: height, width: width, channels: inputChannels)
        )
        let outputs = try family.outputs(builder.input, in: &builder)
        if let loss {
            var inputs = [LossInput(SegmentationLoss.mask, outputs.mask, .mask)]
            for (name, head) in outputs.heads.sorted(by: { $0.key < $1.key }) {
                let shape = builder.shape(of: head)
                inputs.append(LossInput(name, head, shape.height == 1 && shape.width == 1 ? .presence : .mask))
            }
            try builder.segmentationLoss(on: inputs, loss)
        }
        return try builder.finish(output: outputs.mask)
    }
}
