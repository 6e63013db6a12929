package import Configuration
package import Graph
package import Kernels
package import Losses
package import Networks
package import Optimization
import Platform
package import Radiography
package import Reduction
import Storage

/// What a configuration says of the model, whatever it is trained on: the network and its loss as a graph, the order of its
/// parameters, the formats of numbers, the optimizer.
///
/// Training, prediction, `inspect` and the benchmarks all begin here.
package struct ModelPlan: Sendable {
    /// With the size of the images, whoever gave it: a checkpoint is used where the shards are not, to predict.
    package let configuration: RunConfiguration
    /// Side of a network input in pixels.
    package let size: Int
    package let network: Networks.Network
    package let loss: SegmentationLoss
    package let graph: Graph
    package let layout: ParameterLayout
    package let buckets: BucketLayout
    package let optimizer: ParameterGroups
    package let average: WeightAverage?
    /// How pixels become inputs.
    package let normalization: ChannelNormalization

    /// The plan of `configuration`, on images of `imageSize` pixels a side where it does not say another size.
    ///
    /// Throws what the network cannot take, as errors for users.
    package init(_ configuration: RunConfiguration, imageSize: Int) throws {
        // Rates and weights are computed here.
        Arithmetic.restore()
        var resolved = configuration
        if resolved.data.size == 0 { resolved.data.size = imageSize }
        size = resolved.data.size
        self.configuration = resolved
        network = Networks.Network(
            try configuration.network.family(),
            height: size,
            width: size,
            inputChannels: configuration.data.channels
        )
        loss = configuration.loss.rule
        do {
            graph = try network.graph(loss: loss)
        } catch {
            // That the input does not fit is said in the words of the configuration.
            guard error.layer == "input" else { throw error }
            throw SetupError.inputSize(
                width: size,
                height: size,
                origin: configuration.data.size == 0 ? "the shards' own size" : "data.size",
                problem: "\(error.problem)"
            )
        }
        layout = ParameterLayout(graph)
        buckets = layout.bucketLayout(targetBytes: configuration.collectives.bucketBytes)
        optimizer = try ParameterGroups(configuration.optimizer, layout: layout)
        average = configuration.averaging.ema.map { WeightAverage(decay: $0) }
        try average?.validate()
        normalization = Self.normalization(configuration)
    }

    /// The format of feature maps between the images and the logits.
    package var precision: ElementFormat { configuration.precision == .fp32 ? .float32 : .bfloat16 }

    package var memoryPolicy: MemoryPolicy { configuration.memory }

    /// How many of the first elements of a step's sums are rounded to bfloat16: the gradients, or none.
    package var roundedCount: Int { configuration.collectives.dtype == .bf16 ? layout.trainedCount : 0 }

    /// How many weights and biases there are.
    package var parameterCount: Int { layout.parameters.reduce(0) { $0 + $1.elementCount } }

    /// The program of a microbatch of `images` images, under the memory policy of the configuration or another one.
    package func trainingProgram(images: Int, memory: MemoryPolicy? = nil) throws(GraphError) -> Program {
        try Program(
            graph,
            layout: layout,
            images: images,
            mode: .training,
            precision: precision,
            options: Program.Options(memory: memory ?? memoryPolicy)
        )
    }

    /// The program that computes the logits of one image.
    package func inferenceProgram() throws(GraphError) -> Program {
        try Program(
            graph,
            layout: layout,
            images: 1,
            mode: .inference(probabilities: false),
            precision: precision
        )
    }

    /// A digest of the parameters' names and shapes and of the buffers': equal for equal networks.
    package var networkDigest: String {
        var hash = SHA256()
        for parameter in layout.parameters {
            hash.update("\(parameter.name) \(parameter.shape) \(parameter.offset)\n")
        }
        for buffer in layout.buffers { hash.update("\(buffer.name) \(buffer.count)\n") }
        hash.update("\(layout.sumCount) \(buckets.buckets)\n")
        return hash.finish().description
    }

    private static func normalization(_ configuration: RunConfiguration) -> ChannelNormalization {
        let channels = configuration.data.channels
        let (mean, deviation) = configuration.data.normalisation.statistics(channels: channels)
        func spread(_ values: [Double]) -> SIMD3<Float> {
            let floats = values.map(Float.init)
            return floats.count == 3
                ? SIMD3(floats[0], floats[1], floats[2]) : SIMD3(repeating: floats.first ?? 0)
        }
        return ChannelNormalization(mean: spread(mean), deviation: spread(deviation))
    }
}

// MARK: Numerics

extension ModelPlan {
    /// The name of the numbers' contract that all workers must honour.
    package var numericsProfile: String {
        Self.numericsProfile(precision, roundsSums: configuration.collectives.dtype == .bf16)
    }

    /// All that this program honours.
    package static var numericsProfiles: [String] {
        [ElementFormat.float32, .bfloat16].flatMap { precision in
            [false, true].map { numericsProfile(precision, roundsSums: $0) }
        }
    }

    private static func numericsProfile(_ precision: ElementFormat, roundsSums: Bool) -> String {
        (precision == .float32 ? "fp32" : "bf16-dot") + (roundsSums ? "+bf16-sums" : "")
    }
}
