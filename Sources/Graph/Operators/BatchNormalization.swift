import Kernels

/// Which statistics a batch normalisation uses in training; in inference all use the running ones.
package enum NormalizationStatistics: String, Hashable, Sendable, Codable {
    /// The microbatch's own, which also move the running ones.
    case batch
    /// The running ones, which stay as they are ("frozen" batch normalisation).
    case running
}

/// Batch normalisation, with the activation and the addition that follow it once they are fused.
///
/// Inputs: x, and the residual where `hasResidual`.
struct BatchNormalization: Operator {
    static let kind = "batch normalisation"

    var statistics: NormalizationStatistics
    var epsilon: Double
    var momentum: Double
    var activationAfter = Activation.none
    var hasResidual = false

    var tail: TailNeed { statistics == .batch ? .statistics : .nothing }

    func outputShape(_ inputs: [FeatureShape]) throws(ShapeDefect) -> FeatureShape {
        if !(epsilon > 0) || !(momentum > 0 && momentum <= 1) {
            throw ShapeDefect(
                "batch normalisation needs a positive epsilon and a momentum in (0, 1], found \(epsilon) and "
                    + "\(momentum)."
            )
        }
        return inputs[0]
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
        return OperatorState(
            parameters: [vector("weight", 1), vector("bias", 0)],
            buffers: [
                BufferDeclaration(name: "running_mean", count: count, initial: 0),
                BufferDeclaration(name: "running_var", count: count, initial: 1),
            ]
        )
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
        let channels = lowering.graph.shape(of: node.output).channels
        let layer = BatchNormalizationLayer(node, self, in: lowering)
        let usesBatch = statistics == .batch && lowering.mode == .training
        let mean = lowering.vector(channels)
        let inverseDeviation = lowering.vector(channels)
        let scale = lowering.vector(channels)
        let shift = lowering.vector(channels)
        lowering.save([mean, inverseDeviation, scale, shift], for: node)
        lowering.emit(
            BatchNormalizationForward(
                layer: layer,
                x: node.inputs[0].index,
                residual: hasResidual ? node.inputs[1].index : nil,
                y: node.output.index,
                mean: mean,
                inverseDeviation: inverseDeviation,
                scale: scale,
                shift: shift,
                activation: activationAfter,
                tail: usesBatch ? lowering.tail.statistics[node.name] : nil,
                usesBatch: usesBatch
            )
        )
    }

    func backward(_ node: Node, in lowering: Lowering) {
        guard let dy = lowering.gradient(of: node.output) else { return }
        let channels = lowering.graph.shape(of: node.output).channels
        let layer = BatchNormalizationLayer(node, self, in: lowering)
        let x = node.inputs[0]
        let saved = lowering.saved(for: node)
        let activation = FusedActivation(
            activationAfter,
            y: node.output.index,
            scale: saved[2],
            shift: saved[3]
        )
        // The kernel writes the residual's gradient with x's. Alone where x takes none, or where both are one tensor.
        let residual = hasResidual ? node.inputs[1] : nil
        var residualWithX: Tensor?
        if let residual {
            if lowering.requiresGradient(x) && residual != x {
                residualWithX = residual
            } else if let (gradient, accumulate) = lowering.contribution(to: residual) {
                emitActivationGradient(
                    activationAfter,
                    y: node.output.index,
                    dy: dy,
                    dx: gradient,
                    accumulate: accumulate,
                    in: lowering
                )
            }
        }
        let sumsNeeded = layer.gamma.isTrainable || layer.beta.isTrainable || statistics == .batch
        let sums = sumsNeeded ? (gamma: lowering.vector(channels), beta: lowering.vector(channels)) : nil
        if let sums {
            lowering.emit(
                BatchNormalizationSums(
                    layer: layer,
                    x: x.index,
                    dy: dy,
                    activation: activation,
                    mean: saved[0],
                    inverseDeviation: saved[1],
                    dGamma: sums.gamma,
                    dBeta: sums.beta
                ),
                completes: [layer.gamma.index, layer.beta.index]
            )
        }
        guard let (dx, accumulate) = lowering.contribution(to: x) else { return }
        let other = residualWithX.flatMap { lowering.contribution(to: $0) }
        lowering.emit(
            BatchNormalizationBackward(
                layer: layer,
                x: statistics == .batch || activationAfter == .silu ? x.index : dy,
                dy: dy,
                activation: activation,
                mean: saved[0],
                inverseDeviation: saved[1],
                sums: statistics == .batch ? sums : nil,
                a: lowering.vector(channels),
                b: lowering.vector(channels),
                c: lowering.vector(channels),
                dx: dx,
                accumulate: accumulate,
                residualGradient: other?.gradient,
                accumulateResidual: other?.accumulate ?? false
            )
        )
    }
}

extension GraphBuilder {
    /// PyTorch's `BatchNorm2d`: `<name>.weight`, `.bias`, and the buffers `.running_mean`, `.running_var`.
    ///
    /// With `statistics` `.running` it stays frozen; its weight and bias are trained unless the graph freezes them.
    package mutating func batchNormalization(
        _ x: Tensor,
        name: String,
        statistics: NormalizationStatistics = .batch,
        epsilon: Double = 1e-5,
        momentum: Double = 0.1
    ) throws(GraphError) -> Tensor {
        try apply(
            BatchNormalization(statistics: statistics, epsilon: epsilon, momentum: momentum),
            to: [x],
            name: name
        )
    }
}

/// What the instructions of one batch normalisation share.
struct BatchNormalizationLayer: Sendable {
    var channels: Int
    var epsilon: Double
    var gamma: ParameterReference
    var beta: ParameterReference
    var runningMean: Int
    var runningVariance: Int

    init(_ node: Node, _ operation: BatchNormalization, in lowering: Lowering) {
        channels = lowering.graph.shape(of: node.output).channels
        epsilon = operation.epsilon
        gamma = lowering.parameter(node, "weight")
        beta = lowering.parameter(node, "bias")
        runningMean = lowering.buffer(node, "running_mean")
        runningVariance = lowering.buffer(node, "running_var")
    }
}

/// Statistics, their share of the step's sums, and y ← normalised x, in one.
struct BatchNormalizationForward: Instruction {
    var layer: BatchNormalizationLayer
    var x: Int
    var residual: Int?
    var y: Int
    var mean: Int
    var inverseDeviation: Int
    var scale: Int
    var shift: Int
    var activation: Activation
    /// Offsets in the tail of the step's sums.
    var tail: TailLayout.Statistics?
    var usesBatch: Bool

    var extras: [String] { (residual == nil ? [] : ["residual"]) + activation.words }
    var reads: [Int] { residual.map { [x, $0] } ?? [x] }
    var writes: [Int] { [y, mean, inverseDeviation, scale, shift] }
    var sharing: SharingRequest? { .inPlace(output: y, input: x) }
    var recomputation: (any Instruction)? {
        BatchNormalizationApplication(
            x: x,
            residual: residual,
            y: y,
            scale: scale,
            shift: shift,
            activation: activation
        )
    }

    func run(_ context: ExecutionContext) {
        let x = context.view(x)
        let mean = context.pointer(mean)
        let inverse = context.pointer(inverseDeviation)
        let scale = context.pointer(scale)
        let shift = context.pointer(shift)
        let gamma = context.weight(layer.gamma.index)
        let beta = context.weight(layer.beta.index)
        if usesBatch {
            // The biased variance stands in `inverse` until it is inverted.
            context.kernels.batchStatistics(x, mean, inverse)
            if let tail { contribute(x.pixels, mean: mean, variance: inverse, tail, context) }
        } else {
            let runningMean = context.buffer(layer.runningMean)
            let runningVariance = context.buffer(layer.runningVariance)
            for c in 0..<layer.channels {
                mean[c] = runningMean[c]
                inverse[c] = runningVariance[c]
            }
        }
        for c in 0..<layer.channels {
            let inverted = 1 / (Double(inverse[c]) + layer.epsilon).squareRoot()
            inverse[c] = Float(inverted)
            scale[c] = Float(Double(gamma[c]) * inverted)
            shift[c] = Float(Double(beta[c]) - Double(mean[c]) * Double(scale[c]))
        }
        context.kernels.scaleShift(x, scale, shift, residual.map(context.view), context.view(y), activation)
    }

    /// The microbatch's share of the running statistics: mean and unbiased variance, weighted by n/N.
    private func contribute(
        _ pixels: Int,
        mean: UnsafeMutablePointer<Float>,
        variance: UnsafeMutablePointer<Float>,
        _ tail: TailLayout.Statistics,
        _ context: ExecutionContext
    ) {
        let unbiased = context.sampleWeight * (Double(pixels) / Double(max(1, pixels - 1)))
        let meanShare = context.tail + tail.mean
        let varianceShare = context.tail + tail.variance
        for c in 0..<layer.channels {
            meanShare[c] = Float(Double(mean[c]) * context.sampleWeight)
            varianceShare[c] = Float(Double(variance[c]) * unbiased)
        }
    }
}

/// y ← normalised x once more, with the scale and the shift of the first time.
struct BatchNormalizationApplication: Instruction {
    var x: Int
    var residual: Int?
    var y: Int
    var scale: Int
    var shift: Int
    var activation: Activation

    var extras: [String] { (residual == nil ? [] : ["residual"]) + activation.words }
    var reads: [Int] { [x, scale, shift] + (residual.map { [$0] } ?? []) }
    var writes: [Int] { [y] }

    func run(_ context: ExecutionContext) {
        context.kernels.scaleShift(
            context.view(x),
            context.pointer(scale),
            context.pointer(shift),
            residual.map(context.view),
            context.view(y),
            activation
        )
    }
}

/// The gradients of weight and bias.
struct BatchNormalizationSums: Instruction {
    var layer: BatchNormalizationLayer
    var x: Int
    var dy: Int
    var activation: FusedActivation
    var mean: Int
    var inverseDeviation: Int
    var dGamma: Int
    var dBeta: Int

    var extras: [String] { activation.activation.words }
    var reads: [Int] { [x, dy, mean, inverseDeviation] + activation.reads }
    var writes: [Int] { [dGamma, dBeta] }

    func run(_ context: ExecutionContext) {
        let dGamma = context.pointer(dGamma)
        let dBeta = context.pointer(dBeta)
        context.kernels.batchNormBackwardSums(
            context.view(x),
            context.view(dy),
            activation.gradient(context),
            context.pointer(mean),
            context.pointer(inverseDeviation),
            dGamma,
            dBeta
        )
        if layer.gamma.isTrainable {
            context.gradient(layer.gamma.index).update(from: dGamma, count: layer.channels)
        }
        if layer.beta.isTrainable {
            context.gradient(layer.beta.index).update(from: dBeta, count: layer.channels)
        }
    }
}

/// The gradients of x and of the residual.
///
/// dx = γσ⁻¹ (g - mean(g) - x̂ · mean(g · x̂)) with x̂ = (x - μ)σ⁻¹, written as a·g + b·x + c.
struct BatchNormalizationBackward: Instruction {
    var layer: BatchNormalizationLayer
    var x: Int
    var dy: Int
    var activation: FusedActivation
    var mean: Int
    var inverseDeviation: Int
    /// nil: the statistics are constants, so dx = a·g.
    var sums: (gamma: Int, beta: Int)?
    var a: Int
    var b: Int
    var c: Int
    var dx: Int
    var accumulate: Bool
    var residualGradient: Int?
    var accumulateResidual: Bool

    var extras: [String] {
        activation.activation.words + (accumulate ? ["added"] : [])
            + (residualGradient == nil ? [] : [accumulateResidual ? "residual added" : "residual"])
    }
    var reads: [Int] {
        var ids = [x, dy, mean, inverseDeviation]
        ids += activation.reads
        if let sums { ids += [sums.gamma, sums.beta] }
        if accumulate { ids.append(dx) }
        if let residualGradient, accumulateResidual { ids.append(residualGradient) }
        return ids
    }
    var writes: [Int] { [a, b, c, dx] + (residualGradient.map { [$0] } ?? []) }
    var sharing: SharingRequest? { accumulate ? nil : .inPlace(output: dx, input: dy) }

    func run(_ context: ExecutionContext) {
        let x = context.view(x)
        let a = context.pointer(a)
        let b = context.pointer(b)
        let c = context.pointer(c)
        let gamma = context.weight(layer.gamma.index)
        let inverse = context.pointer(inverseDeviation)
        if let sums {
            let mean = context.pointer(mean)
            let dGamma = context.pointer(sums.gamma)
            let dBeta = context.pointer(sums.beta)
            let count = Double(x.pixels)
            for k in 0..<layer.channels {
                let slope = Double(gamma[k]) * Double(inverse[k])
                a[k] = Float(slope)
                b[k] = Float(-(slope * Double(inverse[k]) * Double(dGamma[k])) / count)
                c[k] = Float(-(slope * Double(dBeta[k])) / count - Double(b[k]) * Double(mean[k]))
            }
        } else {
            for k in 0..<layer.channels {
                a[k] = Float(Double(gamma[k]) * Double(inverse[k]))
                b[k] = 0
                c[k] = 0
            }
        }
        context.kernels.batchNormBackward(
            x,
            context.view(dy),
            activation.gradient(context),
            a,
            b,
            c,
            context.view(dx),
            accumulate,
            residualGradient.map(context.view),
            accumulateResidual
        )
    }
}
