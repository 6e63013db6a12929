/// How a dense convolution is computed. The choice fixes the order of its sums, so it is made by shape alone.
package enum ConvolutionAlgorithm: String, Hashable, Sendable {
    /// Every product of the definition.
    case direct
    /// Winograd's F(2×2, 3×3): 16 products in the place of 36; see `KernelTable`.
    case winograd
}

/// The three passes of a convolution.
package enum ConvolutionPass: Hashable, Sendable {
    case forward
    case backwardInput
    case backwardWeights
}

extension ConvolutionGeometry {
    /// The algorithm of all three passes of a dense convolution over feature maps in `format`.
    ///
    /// Winograd needs 3×3 taps side by side. It saves over half of the multiplications, and its transforms cost little
    /// where each of their results is used for 16 channels or more. bfloat16 has 8 bits: sums of elements must not be
    /// rounded to it before they are multiplied.
    package func algorithm(for format: ElementFormat) -> ConvolutionAlgorithm {
        let fits = kernelHeight == 3 && kernelWidth == 3 && stride == 1 && dilation == 1 && padding <= 2 && groups == 1
        return format == .float32 && fits && min(inputChannels, outputChannels) >= 16 ? .winograd : .direct
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
        if format == .bfloat16 {
            switch pass {
            case .forward: return DotScratch.forwardBytes(self, images: images, height: height, width: width)
            case .backwardInput:
                return DotScratch.backwardInputBytes(self, images: images, height: height, width: width)
            case .backwardWeights:
                return DotScratch.backwardWeightsBytes(self, images: images, height: height, width: width)
            }
        }
        switch (algorithm(for: format), pass) {
        case (.winograd, .forward), (.winograd, .backwardInput):
            return 4 * winogradPlan(pass, images: images, height: height, width: width).count
        case (.winograd, .backwardWeights):
            return 4 * winogradGradientPlan(images: images, height: height, width: width).count
        case (.direct, .backwardInput):
            return 4 * TransposedPanels(self).count
        case (.direct, .forward), (.direct, .backwardWeights):
            return 0
        }
    }

    /// The plan of a Winograd convolution over an x of `height` × `width`, forward or back to the input.
    package func winogradPlan(_ pass: ConvolutionPass, images: Int, height: Int, width: Int) -> WinogradPlan {
        let isForward = pass == .forward
        return WinogradPlan(
            images: images,
            height: isForward ? outputHeight(height) : height,
            width: isForward ? outputWidth(width) : width,
            padding: isForward ? padding : 2 - padding,
            depth: isForward ? inputChannels : outputChannels,
            channels: isForward ? outputChannels : inputChannels
        )
    }

    /// The plan of a Winograd gradient to the weights, for an x of `height` × `width`.
    package func winogradGradientPlan(images: Int, height: Int, width: Int) -> WinogradGradientPlan {
        WinogradGradientPlan(
            images: images,
            height: outputHeight(height),
            width: outputWidth(width),
            padding: padding,
            inputChannels: inputChannels,
            outputChannels: outputChannels
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
