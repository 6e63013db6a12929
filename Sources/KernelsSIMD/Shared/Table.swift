package import Kernels

/// Puts the kernels of this instruction set into `table`. Running them on a processor without it is an illegal
/// instruction.
///
/// A function, not a constant: a module of kernels must not hold a copy of a type of another module, whose outlined
/// helpers would be weak symbols with these instructions.
package func install(into table: inout KernelTable) {
    table.name = variantName
    table.groupedConvolution = groupedConvolution
    table.groupedConvolutionBackwardInput = groupedConvolutionBackwardInput
    table.groupedConvolutionBackwardWeights = groupedConvolutionBackwardWeights
    table.channelSums = channelSums
    table.batchStatistics = batchStatistics
    table.scaleShift = scaleShift
    table.batchNormBackwardSums = batchNormBackwardSums
    table.batchNormBackward = batchNormBackward
    table.relu = relu
    table.reluBackward = reluBackward
    table.sigmoid = sigmoid
    table.sigmoidBackward = sigmoidBackward
    table.silu = silu
    table.siluBackward = siluBackward
    table.leakyReLU = leakyReLU
    table.leakyReLUBackward = leakyReLUBackward
    table.softmax = softmax
    table.softmaxBackward = softmaxBackward
    table.scaleChannels = scaleChannels
    table.scaleChannelsBackward = scaleChannelsBackward
    table.add = add
    table.copy = copy
    table.widen = widen
    table.narrow = narrow
    table.fill = fill
    table.dropout = dropout
    table.dropConnect = dropConnect
    table.maxPool = maxPool
    table.maxPoolBackward = maxPoolBackward
    table.averagePool = averagePool
    table.averagePoolBackward = averagePoolBackward
    table.globalAveragePool = globalAveragePool
    table.globalAveragePoolBackward = globalAveragePoolBackward
    table.upsampleNearest = upsampleNearest
    table.upsampleNearestBackward = upsampleNearestBackward
    table.upsampleBilinear = upsampleBilinear
    table.upsampleBilinearBackward = upsampleBilinearBackward
    installFormat(into: &table)
}

#if AVX512
    let variantName = "avx512"
#else
    let variantName = "avx2"
#endif
