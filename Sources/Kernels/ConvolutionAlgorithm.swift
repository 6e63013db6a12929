/// The three passes of a convolution.
package enum ConvolutionPass: Hashable, Sendable {
    case forward
    case backwardInput
    case backwardWeights
}

extension ConvolutionGeometry {
    // How a dense convolution is computed fixes the order of its sums, so the choice is made by shape alone.

    /// Whether the three passes over feature maps in `format` use Winograd's F(2×2, 3×3), 16 products in the place of 36;
    /// else they are direct.
    ///
    /// It needs 3×3 taps side by side, and its transforms cost little where each of their results is used for 16 channels
    /// or more on both sides; over bfloat16, whose products cost half, where both sides together have 48 or more. There
    /// channels are multiplied in pairs, so both numbers are even.
    package func usesWinograd(for format: ElementFormat) -> Bool {
        guard groups == 1, kernelHeight == 3, kernelWidth == 3, stride == 1, dilation == 1, padding <= 2 else {
            return false
        }
        guard min(inputChannels, outputChannels) >= 16 else { return false }
        switch format {
        case .float32: return true
        case .bfloat16: return inputChannels & 1 == 0 && outputChannels & 1 == 0 && inputChannels + outputChannels >= 48
        }
    }

    /// Whether direct sums go over sixteen input channels at a time, since too few outputs would fill a register: heads.
    package var sumsInLanes: Bool {
        groups == 1 && outputChannels < 4 && inputChannels >= 8 && kernelHeight <= 3 && kernelWidth <= 3
    }

    /// Whether direct sums take a row of taps as one, out of a copy of x with its padding: stems.
    package var foldsColumns: Bool {
        groups == 1 && inputChannels <= 4 && outputChannels >= 4 && kernelWidth > 1 && dilation == 1
    }

    /// Bytes of scratch memory that a pass needs, the same for all variants; `height` × `width` is the size of x.
    package func scratchBytes(
        _ pass: ConvolutionPass,
        for format: ElementFormat,
        images: Int,
        height: Int,
        width: Int
    ) -> Int {
        if groups > 1 {
            // The weights with the roles of input and output channels exchanged.
            let count = Self.blocks(inputChannels) * taps * outputsPerGroup * Self.lanes
            return pass == .backwardInput && !isDepthwise ? 4 * count : 0
        }
        if usesWinograd(for: format) {
            if pass == .backwardWeights {
                return 4 * winogradGradientPlan(for: format, images: images, height: height, width: width).count
            }
            return 4 * winogradPlan(pass, for: format, images: images, height: height, width: width).count
        }
        if format == .bfloat16 {
            switch pass {
            case .forward: return DotScratch.forwardBytes(self, images: images, height: height, width: width)
            case .backwardInput:
                return DotScratch.backwardInputBytes(self, images: images, height: height, width: width)
            case .backwardWeights:
                return DotScratch.backwardWeightsBytes(self, images: images, height: height, width: width)
            }
        }
        if pass == .backwardInput { return 4 * TransposedPanels(self).count }
        if sumsInLanes { return 4 * max(9 * 16, outputChannels * taps * Self.blocks(inputChannels) * 16) }
        if foldsColumns {
            // A row of taps is read in whole registers.
            let padded = (height + padding + paddingAfter) * (width + padding + paddingAfter)
            return 4 * (images * padded * inputChannels + 16)
        }
        return 0
    }

    /// The plan of a Winograd convolution over an x of `height` × `width`, forward or back to the input.
    package func winogradPlan(
        _ pass: ConvolutionPass,
        for format: ElementFormat,
        images: Int,
        height: Int,
        width: Int
    ) -> WinogradPlan {
        let isForward = pass == .forward
        return WinogradPlan(
            images: images,
            height: isForward ? outputHeight(height) : height,
            width: isForward ? outputWidth(width) : width,
            padding: isForward ? padding : 2 - padding,
            depth: isForward ? inputChannels : outputChannels,
            channels: isForward ? outputChannels : inputChannels,
            transposes: !isForward,
            packing: 4 / format.byteCount
        )
    }

    /// The plan of a Winograd gradient to the weights, for an x of `height` × `width`.
    package func winogradGradientPlan(
        for format: ElementFormat,
        images: Int,
        height: Int,
        width: Int
    ) -> WinogradGradientPlan {
        WinogradGradientPlan(
            images: images,
            height: outputHeight(height),
            width: outputWidth(width),
            padding: padding,
            inputChannels: inputChannels,
            outputChannels: outputChannels,
            packing: 4 / format.byteCount
        )
    }
}

/// The weights as the direct gradient to the input reads them, made for some input channels at a time:
/// `[channels / 16][kernelHeight][kernelWidth][outputChannels][16 input channels]`.
package struct TransposedPanels: Hashable, Sendable {
    /// Input channels made at once, a multiple of 32 or all, rounded up to 16: half a megabyte, or the least.
    package var channels: Int
    /// Elements of a block of 16 input channels.
    package var blockStride: Int
    /// With slack for the last rows of a block of output channels.
    package var count: Int { channels / 16 * blockStride + 256 }

    package init(_ geometry: ConvolutionGeometry) {
        blockStride = geometry.taps * geometry.outputChannels * 16
        let all = ConvolutionGeometry.blocks(geometry.inputChannels) * 16
        channels = min(all, max(1, (128 << 10) / (2 * blockStride)) * 32)
    }
}
