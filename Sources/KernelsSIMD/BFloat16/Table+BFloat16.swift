import Kernels

/// Puts the kernels that only bfloat16 has into `table`.
func installFormat(into table: inout KernelTable) {
    table.format = .bfloat16
    table.fmaRounds = fmaRounds
    table.convolution = dotConvolution
    table.convolutionBackwardInput = dotConvolutionBackwardInput
    table.convolutionBackwardWeights = dotConvolutionBackwardWeights
}
