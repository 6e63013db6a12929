/// The shape of a convolution without its batch: what the kernels, the packing of weights and the FLOP count share.
///
/// Cross-correlation as in PyTorch's `Conv2d`: output (y, x) reads input (y · stride - padding + ky · dilation, …);
/// taps outside the image read zero.
///
/// **Storage layout of the weights**, also of their gradients and optimizer state:
/// `[⌈outputChannels / 16⌉][kernelHeight][kernelWidth][inputChannels / groups][16]`, output channels past the last are
/// zero.
/// With `groups`, output channel o reads the input channels of group o / (outputChannels / groups) alone; both counts
/// are multiples of it.
/// A transposed convolution is the adjoint of a convolution: it uses the geometry of that convolution (whose input is
/// the transposed one's output) with forward and backward exchanged, and PyTorch's weight `[in, out, kh, kw]` is that
/// convolution's `[outputChannels, inputChannels, kh, kw]`.
package struct ConvolutionGeometry: Hashable, Sendable {
    package var inputChannels: Int
    package var outputChannels: Int
    package var kernelHeight: Int
    package var kernelWidth: Int
    package var stride: Int
    /// Zeros before the first row and column.
    package var padding: Int
    /// Zeros after the last row and column: they decide the size of the output and nothing else.
    package var paddingAfter: Int
    package var dilation: Int
    package var groups: Int

    package init(
        inputChannels: Int,
        outputChannels: Int,
        kernelHeight: Int,
        kernelWidth: Int,
        stride: Int = 1,
        padding: Int = 0,
        paddingAfter: Int? = nil,
        dilation: Int = 1,
        groups: Int = 1
    ) {
        self.inputChannels = inputChannels
        self.outputChannels = outputChannels
        self.kernelHeight = kernelHeight
        self.kernelWidth = kernelWidth
        self.stride = stride
        self.padding = padding
        self.paddingAfter = paddingAfter ?? padding
        self.dilation = dilation
        self.groups = groups
    }

    /// Channels of a block of the storage layout.
    package static let lanes = 16

    package var taps: Int { kernelHeight * kernelWidth }
    package var inputsPerGroup: Int { inputChannels / groups }
    package var outputsPerGroup: Int { outputChannels / groups }
    /// Whether each channel is convolved with a kernel of its own.
    package var isDepthwise: Bool { groups > 1 && groups == inputChannels && groups == outputChannels }

    /// Elements of the weights in the storage layout.
    package var storageCount: Int {
        Self.blocks(outputChannels) * taps * inputsPerGroup * Self.lanes
    }

    package static func blocks(_ channels: Int) -> Int { (channels + lanes - 1) / lanes }

    /// Height of the output for an input of `height` rows; 0 or less where the kernel does not fit.
    package func outputHeight(_ height: Int) -> Int {
        (height + padding + paddingAfter - dilation * (kernelHeight - 1) - 1) / stride + 1
    }

    /// Width of the output for an input of `width` columns.
    package func outputWidth(_ width: Int) -> Int {
        (width + padding + paddingAfter - dilation * (kernelWidth - 1) - 1) / stride + 1
    }

    /// Index into the storage layout of the weight that PyTorch calls `[output, input, ky, kx]`: `input` is counted within
    /// its group.
    package func storageIndex(output: Int, input: Int, ky: Int, kx: Int) -> Int {
        let block = output / Self.lanes
        return (((block * kernelHeight + ky) * kernelWidth + kx) * inputsPerGroup + input) * Self.lanes
            + output % Self.lanes
    }

    /// Output rows of one run of `KernelTable.convolutionBackwardWeights` and `groupedConvolutionBackwardWeights`: as many
    /// as hold at least 256 pixels, so that a run's inputs stay in the cache while its sums stay in registers.
    package func rowsPerRun(outputWidth: Int) -> Int { max(1, (256 + outputWidth - 1) / max(1, outputWidth)) }
}
