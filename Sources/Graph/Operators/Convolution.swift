import Kernels

/// Convolution with any kernel size, stride, padding, dilation and groups; `linear` is a 1×1 convolution on one pixel.
struct Convolution: Operator {
    static let kind = "convolution"

    var geometry: ConvolutionGeometry
    var bias: Bool
    var relu = false
    /// Whether PyTorch knows the weights as `[out, in]`, a linear layer.
    var isLinear = false
    var initialBias: Float = 0

    func outputShape(_ inputs: [FeatureShape]) throws(ShapeDefect) -> FeatureShape {
        let x = inputs[0]
        if geometry.outputChannels < 1 || geometry.kernelHeight < 1 || geometry.kernelWidth < 1 || geometry.stride < 1
            || geometry.padding < 0 || geometry.paddingAfter < 0 || geometry.dilation < 1
        {
            throw ShapeDefect(
                "a convolution needs positive channels, kernel, stride and dilation, found \(geometry.outputChannels) "
                    + "channels, \(geometry.kernelHeight)×\(geometry.kernelWidth), stride \(geometry.stride), "
                    + "dilation \(geometry.dilation), padding \(geometry.padding)."
            )
        }
        if geometry.groups < 1 || x.channels % geometry.groups != 0 || geometry.outputChannels % geometry.groups != 0 {
            throw ShapeDefect(
                "a convolution's groups divide its input and output channels, found \(geometry.groups) groups of "
                    + "\(x.channels) and \(geometry.outputChannels) channels."
            )
        }
        if isLinear && x.pixels != 1 {
            throw ShapeDefect("a linear layer needs one pixel, found \(x); pool globally before it.")
        }
        let height = geometry.outputHeight(x.height)
        let width = geometry.outputWidth(x.width)
        let reach = geometry.dilation * (max(geometry.kernelHeight, geometry.kernelWidth) - 1) + 1
        if min(x.height, x.width) + geometry.padding + geometry.paddingAfter < reach || height < 1 || width < 1 {
            throw ShapeDefect(
                "a \(geometry.kernelHeight)×\(geometry.kernelWidth) kernel with dilation \(geometry.dilation) and "
                    + "padding \(geometry.padding) does not fit into \(x); use a larger image."
            )
        }
        return FeatureShape(height: height, width: width, channels: geometry.outputChannels)
    }

    func state(_ inputs: [FeatureShape]) -> OperatorState {
        let fanIn = geometry.inputsPerGroup * geometry.taps
        let shape = [geometry.outputChannels, geometry.inputsPerGroup]
        var parameters = [
            ParameterDeclaration(
                name: "weight",
                shape: isLinear ? shape : shape + [geometry.kernelHeight, geometry.kernelWidth],
                storage: .convolution(geometry),
                initialization: .kaiming(fanIn: fanIn)
            )
        ]
        if bias {
            parameters.append(
                ParameterDeclaration(
                    name: "bias",
                    shape: [geometry.outputChannels],
                    storage: .vector(count: geometry.outputChannels),
                    initialization: .constant(initialBias)
                )
            )
        }
        return OperatorState(parameters: parameters)
    }

    func multiplyAdds(_ inputs: [FeatureShape], _ output: FeatureShape) -> Int {
        output.elements * geometry.inputsPerGroup * geometry.taps
    }

    func forward(_ node: Node, in lowering: Lowering) {
        let x = node.inputs[0].index
        lowering.emit(
            ConvolutionForward(
                x: x,
                y: node.output.index,
                weight: lowering.parameter(node, "weight").index,
                bias: bias ? lowering.parameter(node, "bias").index : nil,
                geometry: geometry,
                relu: relu,
                scratch: lowering.scratch(.forward, geometry, x: x)
            ),
            multiplyAdds: work(node, lowering)
        )
    }

    func backward(_ node: Node, in lowering: Lowering) {
        guard let dy = lowering.gradient(of: node.output) else { return }
        let x = node.inputs[0]
        if relu { lowering.emit(ReLUBackward(y: node.output.index, dy: dy, dx: dy, accumulate: false)) }
        if bias { emitBiasGradient(node, dy: dy, in: lowering) }
        let weight = lowering.parameter(node, "weight")
        if weight.isTrainable {
            lowering.emit(
                ConvolutionWeightGradient(
                    x: x.index,
                    dy: dy,
                    weight: weight.index,
                    geometry: geometry,
                    scratch: lowering.scratch(.backwardWeights, geometry, x: x.index)
                ),
                multiplyAdds: work(node, lowering),
                completes: [weight.index]
            )
        }
        guard let (dx, accumulate) = lowering.contribution(to: x) else { return }
        if geometry.groups > 1 {
            lowering.emit(
                GroupedConvolutionInputGradient(
                    dy: dy,
                    dx: dx,
                    weight: weight.index,
                    geometry: geometry,
                    accumulate: accumulate,
                    scratch: lowering.scratch(.backwardInput, geometry, x: dx)
                ),
                multiplyAdds: work(node, lowering)
            )
        } else {
            lowering.emit(
                ConvolutionInputGradient(
                    dy: dy,
                    dx: dx,
                    weight: weight.index,
                    bias: nil,
                    geometry: geometry,
                    relu: false,
                    accumulate: accumulate,
                    scratch: lowering.scratch(.backwardInput, geometry, x: dx)
                ),
                multiplyAdds: work(node, lowering)
            )
        }
    }

    func fusing(_ activation: Activation) -> (any Operator)? {
        if relu || activation != .relu { return nil }
        var copy = self
        copy.relu = true
        return copy
    }

    private func work(_ node: Node, _ lowering: Lowering) -> Int {
        lowering.images * lowering.graph.multiplyAdds(of: node)
    }
}

/// The gradient of a bias: the sums of dy over all pixels.
func emitBiasGradient(_ node: Node, dy: Int, in lowering: Lowering) {
    let bias = lowering.parameter(node, "bias")
    if bias.isTrainable {
        lowering.emit(BiasGradient(dy: dy, bias: bias.index), completes: [bias.index])
    }
}

extension GraphBuilder {
    /// y ← x ⋆ weights (+ bias), as PyTorch's `Conv2d`: parameters `<name>.weight` `[out, in, k, k]`, `<name>.bias`.
    ///
    /// `padding` nil means half of the kernel, which keeps the size at stride 1 for an odd kernel; `paddingAfter` is that
    /// after the last row and column where it differs. With `groups` the weights are `[out, in / groups, k, k]`. The bias
    /// begins at `initialBias`.
    package mutating func convolution(
        _ x: Tensor,
        name: String,
        outputChannels: Int,
        kernel: Int,
        stride: Int = 1,
        padding: Int? = nil,
        paddingAfter: Int? = nil,
        dilation: Int = 1,
        groups: Int = 1,
        bias: Bool = false,
        initialBias: Float = 0
    ) throws(GraphError) -> Tensor {
        let geometry = ConvolutionGeometry(
            inputChannels: shape(of: x).channels,
            outputChannels: outputChannels,
            kernelHeight: kernel,
            kernelWidth: kernel,
            stride: stride,
            padding: padding ?? dilation * (kernel / 2),
            paddingAfter: paddingAfter,
            dilation: dilation,
            groups: groups
        )
        return try apply(
            Convolution(geometry: geometry, bias: bias, initialBias: initialBias),
            to: [x],
            name: name
        )
    }

    /// y ← x · weights + bias on feature maps of one pixel, as PyTorch's `Linear`: `<name>.weight` `[out, in]`.
    package mutating func linear(
        _ x: Tensor,
        name: String,
        outputChannels: Int,
        bias: Bool = true
    ) throws(GraphError) -> Tensor {
        let geometry = ConvolutionGeometry(
            inputChannels: shape(of: x).channels,
            outputChannels: outputChannels,
            kernelHeight: 1,
            kernelWidth: 1
        )
        return try apply(
            Convolution(geometry: geometry, bias: bias, isLinear: true),
            to: [x],
            name: name
        )
    }
}

struct ConvolutionForward: Instruction {
    var x: Int
    var y: Int
    var weight: Int
    var bias: Int?
    var geometry: ConvolutionGeometry
    var relu: Bool
    var scratch: Int?

    var convolution: ConvolutionGeometry? { geometry }
    var extras: [String] { (bias == nil ? [] : ["bias"]) + (relu ? ["ReLU"] : []) }
    var reads: [Int] { [x] }
    var writes: [Int] { [y] + (scratch.map { [$0] } ?? []) }
    var recomputation: (any Instruction)? { self }

    func run(_ context: ExecutionContext) {
        if geometry.groups > 1 {
            context.kernels.groupedConvolution(
                context.view(x),
                context.weight(weight),
                bias.map(context.weight),
                context.view(y),
                geometry,
                relu
            )
            return
        }
        context.kernels.convolution(
            context.view(x),
            context.weight(weight),
            bias.map(context.weight),
            context.view(y),
            geometry,
            relu,
            context.scratch(scratch)
        )
    }
}

struct GroupedConvolutionInputGradient: Instruction {
    var dy: Int
    var dx: Int
    var weight: Int
    var geometry: ConvolutionGeometry
    var accumulate: Bool
    var scratch: Int?

    var convolution: ConvolutionGeometry? { geometry }
    var extras: [String] { accumulate ? ["added"] : [] }
    var reads: [Int] { accumulate ? [dy, dx] : [dy] }
    var writes: [Int] { [dx] + (scratch.map { [$0] } ?? []) }

    func run(_ context: ExecutionContext) {
        context.kernels.groupedConvolutionBackwardInput(
            context.view(dy),
            context.weight(weight),
            context.view(dx),
            geometry,
            accumulate,
            context.scratch(scratch)
        )
    }
}

/// Also the forward pass of a transposed convolution, with a bias and ReLU.
struct ConvolutionInputGradient: Instruction {
    var dy: Int
    var dx: Int
    var weight: Int
    var bias: Int?
    var geometry: ConvolutionGeometry
    var relu: Bool
    var accumulate: Bool
    var scratch: Int?

    var convolution: ConvolutionGeometry? { geometry }
    var extras: [String] { (bias == nil ? [] : ["bias"]) + (relu ? ["ReLU"] : []) + (accumulate ? ["added"] : []) }
    var reads: [Int] { accumulate ? [dy, dx] : [dy] }
    var writes: [Int] { [dx] + (scratch.map { [$0] } ?? []) }
    var recomputation: (any Instruction)? { self }

    func run(_ context: ExecutionContext) {
        context.kernels.convolutionBackwardInput(
            context.view(dy),
            context.weight(weight),
            bias.map(context.weight),
            context.view(dx),
            geometry,
            relu,
            accumulate,
            context.scratch(scratch)
        )
    }
}

struct ConvolutionWeightGradient: Instruction {
    var x: Int
    var dy: Int
    var weight: Int
    var geometry: ConvolutionGeometry
    var scratch: Int?

    var convolution: ConvolutionGeometry? { geometry }
    var reads: [Int] { [x, dy] }
    var writes: [Int] { scratch.map { [$0] } ?? [] }

    func run(_ context: ExecutionContext) {
        if geometry.groups > 1 {
            context.kernels.groupedConvolutionBackwardWeights(
                context.view(x),
                context.view(dy),
                context.gradient(weight),
                geometry
            )
            return
        }
        context.kernels.convolutionBackwardWeights(
            context.view(x),
            context.view(dy),
            context.gradient(weight),
            geometry,
            context.scratch(scratch)
        )
    }
}

struct BiasGradient: Instruction {
    var dy: Int
    var bias: Int

    var reads: [Int] { [dy] }
    var writes: [Int] { [] }

    func run(_ context: ExecutionContext) {
        context.kernels.channelSums(context.view(dy), context.gradient(bias))
    }
}
