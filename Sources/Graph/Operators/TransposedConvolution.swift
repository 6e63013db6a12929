import Kernels

/// Transposed convolution: the adjoint of the convolution with `geometry`, whose input is this one's output.
struct TransposedConvolution: Operator {
    static let kind = "transposed convolution"

    var geometry: ConvolutionGeometry
    var outputPadding: Int
    var bias: Bool
    var relu = false

    func outputShape(_ inputs: [FeatureShape]) throws(ShapeDefect) -> FeatureShape {
        let x = inputs[0]
        if geometry.inputChannels < 1 || geometry.kernelHeight < 1 || geometry.stride < 1 || geometry.padding < 0
            || geometry.dilation < 1 || outputPadding < 0 || outputPadding >= max(geometry.stride, geometry.dilation)
        {
            throw ShapeDefect(
                "a transposed convolution needs positive channels, kernel and stride and an output padding below the "
                    + "stride, found \(geometry.inputChannels) channels, kernel \(geometry.kernelHeight), stride "
                    + "\(geometry.stride), padding \(geometry.padding), output padding \(outputPadding)."
            )
        }
        func extent(_ size: Int, _ kernel: Int) -> Int {
            (size - 1) * geometry.stride - 2 * geometry.padding + geometry.dilation * (kernel - 1) + outputPadding + 1
        }
        let height = extent(x.height, geometry.kernelHeight)
        let width = extent(x.width, geometry.kernelWidth)
        if height < 1 || width < 1 {
            throw ShapeDefect("the padding \(geometry.padding) leaves nothing of the output of \(x).")
        }
        return FeatureShape(height: height, width: width, channels: geometry.inputChannels)
    }

    func state(_ inputs: [FeatureShape]) -> OperatorState {
        // An output element gets inputs · taps / stride² products.
        let fanIn = max(1, geometry.outputChannels * geometry.taps / (geometry.stride * geometry.stride))
        var parameters = [
            ParameterDeclaration(
                name: "weight",
                shape: [
                    geometry.outputChannels, geometry.inputChannels, geometry.kernelHeight, geometry.kernelWidth,
                ],
                storage: .convolution(geometry),
                initialization: .kaiming(fanIn: fanIn)
            )
        ]
        if bias {
            parameters.append(
                ParameterDeclaration(
                    name: "bias",
                    shape: [geometry.inputChannels],
                    storage: .vector(count: geometry.inputChannels),
                    initialization: .constant(0)
                )
            )
        }
        return OperatorState(parameters: parameters)
    }

    func multiplyAdds(_ inputs: [FeatureShape], _ output: FeatureShape) -> Int {
        inputs[0].elements * geometry.inputChannels * geometry.taps
    }

    func forward(_ node: Node, in lowering: Lowering) {
        lowering.emit(
            ConvolutionInputGradient(
                dy: node.inputs[0].index,
                dx: node.output.index,
                weight: lowering.parameter(node, "weight").index,
                bias: bias ? lowering.parameter(node, "bias").index : nil,
                geometry: geometry,
                relu: relu,
                accumulate: false,
                scratch: lowering.scratch(.backwardInput, geometry, x: node.output.index)
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
                    x: dy,
                    dy: x.index,
                    weight: weight.index,
                    geometry: geometry,
                    scratch: lowering.scratch(.backwardWeights, geometry, x: dy)
                ),
                multiplyAdds: work(node, lowering),
                completes: [weight.index]
            )
        }
        lowering.contribute(to: x, multiplyAdds: work(node, lowering)) { destination in
            ConvolutionForward(
                x: dy,
                y: destination,
                weight: weight.index,
                bias: nil,
                geometry: geometry,
                relu: false,
                scratch: lowering.scratch(.forward, geometry, x: dy)
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

extension GraphBuilder {
    /// PyTorch's `ConvTranspose2d`: parameters `<name>.weight` `[in, out, k, k]`, `<name>.bias`.
    ///
    /// Kernel 2 and stride 2 double the size.
    package mutating func transposedConvolution(
        _ x: Tensor,
        name: String,
        outputChannels: Int,
        kernel: Int = 2,
        stride: Int = 2,
        padding: Int = 0,
        outputPadding: Int = 0,
        dilation: Int = 1,
        bias: Bool = true
    ) throws(GraphError) -> Tensor {
        let geometry = ConvolutionGeometry(
            inputChannels: outputChannels,
            outputChannels: shape(of: x).channels,
            kernelHeight: kernel,
            kernelWidth: kernel,
            stride: stride,
            padding: padding,
            dilation: dilation
        )
        return try apply(
            TransposedConvolution(geometry: geometry, outputPadding: outputPadding, bias: bias),
            to: [x],
            name: name
        )
    }
}
