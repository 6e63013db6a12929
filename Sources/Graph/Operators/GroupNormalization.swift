import Kernels

/// Normalisation of each image over groups of channels, with the activation and the addition that follow it once they
/// are fused.
///
/// Inputs: x, and the residual where `hasResidual`. Runs the kernels of batch normalisation image by image: the
/// statistics of a group are those of its channels, put together in `Double`.
struct GroupNormalization: Operator {
    static let kind = "group normalisation"

    var groups: Int
    var epsilon: Double
    var activationAfter = Activation.none
    var hasResidual = false

    func outputShape(_ inputs: [FeatureShape]) throws(ShapeDefect) -> FeatureShape {
        let x = inputs[0]
        if !(epsilon > 0) || groups < 1 || x.channels % groups != 0 {
            throw ShapeDefect(
                "group normalisation needs a positive epsilon and groups that divide the channels, found \(epsilon) and "
                    + "\(groups) groups of \(x.channels) channels."
            )
        }
        return x
    }

    func state(_ inputs: [FeatureShape]) -> OperatorState {
        let count = inputs[0].channels
        func vector(_ name: String, _ value: Float) -> ParameterDeclaration {
            ParameterDeclaration(
                name: name,
                shape: [count],
                storage: .vector(count: count),
                initialization: .constant(value)
            )
        }
        return OperatorState(parameters: [vector("weight", 1), vector("bias", 0)])
    }

    func fusing(_ activation: Activation) -> (any Operator)? {
        // The gradient of SiLU computes what the normalisation gave once more, without a residual.
        if activationAfter != .none || (hasResidual && activation == .silu) { return nil }
        var copy = self
        copy.activationAfter = activation
        return copy
    }

    func fusingResidual() -> (any Operator)? {
        if activationAfter != .none || hasResidual { return nil }
        var copy = self
        copy.hasResidual = true
        return copy
    }

    func forward(_ node: Node, in lowering: Lowering) {
        let layer = GroupNormalizationLayer(node, self, in: lowering)
        let vectors = (0..<4).map { _ in lowering.vector(lowering.images * layer.stride) }
        lowering.save(vectors, for: node)
        lowering.emit(
            GroupNormalizationForward(
                layer: layer,
                x: node.inputs[0].index,
                residual: hasResidual ? node.inputs[1].index : nil,
                y: node.output.index,
                mean: vectors[0],
                inverseDeviation: vectors[1],
                scale: vectors[2],
                shift: vectors[3],
                channelMean: lowering.vector(layer.channels),
                channelVariance: lowering.vector(layer.channels),
                activation: activationAfter
            )
        )
    }

    func backward(_ node: Node, in lowering: Lowering) {
        guard let dy = lowering.gradient(of: node.output) else { return }
        let layer = GroupNormalizationLayer(node, self, in: lowering)
        let x = node.inputs[0]
        let saved = lowering.saved(for: node)
        let activation = FusedActivation(activationAfter, y: node.output.index, scale: saved[2], shift: saved[3])
        if hasResidual, let (gradient, accumulate) = lowering.contribution(to: node.inputs[1]) {
            emitActivationGradient(
                activationAfter,
                y: node.output.index,
                dy: dy,
                dx: gradient,
                accumulate: accumulate,
                in: lowering
            )
        }
        let dGamma = lowering.vector(lowering.images * layer.stride)
        let dBeta = lowering.vector(lowering.images * layer.stride)
        lowering.emit(
            GroupNormalizationSums(
                layer: layer,
                x: x.index,
                dy: dy,
                activation: activation,
                mean: saved[0],
                inverseDeviation: saved[1],
                dGamma: dGamma,
                dBeta: dBeta
            ),
            completes: [layer.gamma.index, layer.beta.index]
        )
        guard let (dx, accumulate) = lowering.contribution(to: x) else { return }
        lowering.emit(
            GroupNormalizationBackward(
                layer: layer,
                x: x.index,
                dy: dy,
                activation: activation,
                mean: saved[0],
                inverseDeviation: saved[1],
                dGamma: dGamma,
                dBeta: dBeta,
                a: lowering.vector(layer.channels),
                b: lowering.vector(layer.channels),
                c: lowering.vector(layer.channels),
                dx: dx,
                accumulate: accumulate
            )
        )
    }
}

extension GraphBuilder {
    /// PyTorch's `GroupNorm`: `<name>.weight`, `<name>.bias`.
    package mutating func groupNormalization(
        _ x: Tensor,
        name: String,
        groups: Int = 32,
        epsilon: Double = 1e-5
    ) throws(GraphError) -> Tensor {
        try apply(GroupNormalization(groups: groups, epsilon: epsilon), to: [x], name: name)
    }
}

/// What the instructions of one group normalisation share.
struct GroupNormalizationLayer: Sendable {
    var channels: Int
    var groups: Int
    var epsilon: Double
    var gamma: ParameterReference
    var beta: ParameterReference

    init(_ node: Node, _ operation: GroupNormalization, in lowering: Lowering) {
        channels = lowering.graph.shape(of: node.output).channels
        groups = operation.groups
        epsilon = operation.epsilon
        gamma = lowering.parameter(node, "weight")
        beta = lowering.parameter(node, "bias")
    }

    /// Elements between the vectors of neighbouring images.
    var stride: Int { (channels + 15) / 16 * 16 }
    var channelsPerGroup: Int { channels / groups }
}

/// Statistics and y ← normalised x, image by image.
struct GroupNormalizationForward: Instruction {
    var layer: GroupNormalizationLayer
    var x: Int
    var residual: Int?
    var y: Int
    var mean: Int
    var inverseDeviation: Int
    var scale: Int
    var shift: Int
    var channelMean: Int
    var channelVariance: Int
    var activation: Activation

    var reads: [Int] { residual.map { [x, $0] } ?? [x] }
    var writes: [Int] { [y, mean, inverseDeviation, scale, shift, channelMean, channelVariance] }
    var sharing: SharingRequest? { .inPlace(output: y, input: x) }
    var recomputation: (any Instruction)? { self }

    func run(_ context: ExecutionContext) {
        let format = context.kernels.format
        let x = context.view(x)
        let means = context.pointer(channelMean)
        let variances = context.pointer(channelVariance)
        let gamma = context.weight(layer.gamma.index)
        let beta = context.weight(layer.beta.index)
        let count = layer.channelsPerGroup
        for image in 0..<x.images {
            let view = x.image(image, format)
            let mean = context.pointer(mean) + image * layer.stride
            let inverse = context.pointer(inverseDeviation) + image * layer.stride
            let scale = context.pointer(scale) + image * layer.stride
            let shift = context.pointer(shift) + image * layer.stride
            context.kernels.batchStatistics(view, means, variances)
            for group in 0..<layer.groups {
                let first = group * count
                var center = 0.0
                for c in first..<first + count { center += Double(means[c]) }
                center /= Double(count)
                var variance = 0.0
                for c in first..<first + count {
                    let distance = Double(means[c]) - center
                    variance += Double(variances[c]) + distance * distance
                }
                let inverted = 1 / (variance / Double(count) + layer.epsilon).squareRoot()
                for c in first..<first + count {
                    mean[c] = Float(center)
                    inverse[c] = Float(inverted)
                    scale[c] = Float(Double(gamma[c]) * inverted)
                    shift[c] = Float(Double(beta[c]) - center * Double(scale[c]))
                }
            }
            context.kernels.scaleShift(
                view,
                scale,
                shift,
                residual.map { context.view($0).image(image, format) },
                context.view(y).image(image, format),
                activation
            )
        }
    }
}

/// The gradients of weight and bias, and the sums that they are made of: for each image and channel.
struct GroupNormalizationSums: Instruction {
    var layer: GroupNormalizationLayer
    var x: Int
    var dy: Int
    var activation: FusedActivation
    var mean: Int
    var inverseDeviation: Int
    var dGamma: Int
    var dBeta: Int

    var reads: [Int] { [x, dy, mean, inverseDeviation] + activation.reads }
    var writes: [Int] { [dGamma, dBeta] }

    func run(_ context: ExecutionContext) {
        let format = context.kernels.format
        let x = context.view(x)
        let dGamma = context.pointer(dGamma)
        let dBeta = context.pointer(dBeta)
        for image in 0..<x.images {
            let offset = image * layer.stride
            context.kernels.batchNormBackwardSums(
                x.image(image, format),
                context.view(dy).image(image, format),
                activation.gradient(context, image: image, offset: offset),
                context.pointer(mean) + offset,
                context.pointer(inverseDeviation) + offset,
                dGamma + offset,
                dBeta + offset
            )
        }
        add(dGamma, of: x.images, to: layer.gamma, context)
        add(dBeta, of: x.images, to: layer.beta, context)
    }

    private func add(
        _ sums: UnsafeMutablePointer<Float>,
        of images: Int,
        to parameter: ParameterReference,
        _ context: ExecutionContext
    ) {
        guard parameter.isTrainable else { return }
        let gradient = context.gradient(parameter.index)
        for c in 0..<layer.channels {
            var total = 0.0
            for image in 0..<images { total += Double(sums[image * layer.stride + c]) }
            gradient[c] = Float(total)
        }
    }
}

/// The gradient of x, image by image.
///
/// dx = σ⁻¹ (γ g - S₁/m - x̂ · S₂/m), S₁ and S₂ the sums of γ g and γ g · x̂ over the group's m values, written as
/// a·g + b·x + c.
struct GroupNormalizationBackward: Instruction {
    var layer: GroupNormalizationLayer
    var x: Int
    var dy: Int
    var activation: FusedActivation
    var mean: Int
    var inverseDeviation: Int
    var dGamma: Int
    var dBeta: Int
    var a: Int
    var b: Int
    var c: Int
    var dx: Int
    var accumulate: Bool

    var reads: [Int] {
        [x, dy, mean, inverseDeviation, dGamma, dBeta] + activation.reads + (accumulate ? [dx] : [])
    }
    var writes: [Int] { [a, b, c, dx] }
    var sharing: SharingRequest? { accumulate ? nil : .inPlace(output: dx, input: dy) }

    func run(_ context: ExecutionContext) {
        let format = context.kernels.format
        let x = context.view(x)
        let a = context.pointer(a)
        let b = context.pointer(b)
        let c = context.pointer(c)
        let gamma = context.weight(layer.gamma.index)
        let count = layer.channelsPerGroup
        let values = Double(count * x.pixelsPerImage)
        for image in 0..<x.images {
            let offset = image * layer.stride
            let mean = context.pointer(mean) + offset
            let inverse = context.pointer(inverseDeviation) + offset
            let dGamma = context.pointer(dGamma) + offset
            let dBeta = context.pointer(dBeta) + offset
            for group in 0..<layer.groups {
                let channels = group * count..<(group + 1) * count
                var plain = 0.0
                var scaled = 0.0
                for k in channels {
                    plain += Double(gamma[k]) * Double(dBeta[k])
                    scaled += Double(gamma[k]) * Double(dGamma[k])
                }
                for k in channels {
                    let slope = Double(inverse[k])
                    a[k] = Float(Double(gamma[k]) * slope)
                    b[k] = Float(-(slope * slope * scaled) / values)
                    c[k] = Float(-(slope * plain) / values - Double(b[k]) * Double(mean[k]))
                }
            }
            context.kernels.batchNormBackward(
                x.image(image, format),
                context.view(dy).image(image, format),
                activation.gradient(context, image: image, offset: offset),
                a,
                b,
                c,
                context.view(dx).image(image, format),
                accumulate,
                nil,
                false
            )
        }
    }
}
