#if BF16
    package import Kernels
#endif

#if BF16
    /// Puts the scalar kernels over feature maps of bfloat16 into `table`: plain loops in the order of the contract.
    package func installReference(into table: inout KernelTable) {
        table.format = .bfloat16
        table.convolution = Reference.convolution
        table.convolutionBackwardInput = Reference.convolutionBackwardInput
        table.convolutionBackwardWeights = Reference.convolutionBackwardWeights
        table.groupedConvolution = Reference.groupedConvolution
        table.groupedConvolutionBackwardInput = Reference.groupedConvolutionBackwardInput
        table.groupedConvolutionBackwardWeights = Reference.groupedConvolutionBackwardWeights
        table.channelSums = Reference.channelSums
        table.batchStatistics = Reference.batchStatistics
        table.scaleShift = Reference.scaleShift
        table.batchNormBackwardSums = Reference.batchNormBackwardSums
        table.batchNormBackward = Reference.batchNormBackward
        table.relu = Reference.relu
        table.reluBackward = Reference.reluBackward
        table.sigmoid = Reference.sigmoid
        table.sigmoidBackward = Reference.sigmoidBackward
        table.silu = Reference.silu
        table.siluBackward = Reference.siluBackward
        table.leakyReLU = Reference.leakyReLU
        table.leakyReLUBackward = Reference.leakyReLUBackward
        table.softmax = Reference.softmax
        table.softmaxBackward = Reference.softmaxBackward
        table.scaleChannels = Reference.scaleChannels
        table.scaleChannelsBackward = Reference.scaleChannelsBackward
        table.add = Reference.add
        table.copy = Reference.copy
        table.widen = Reference.widen
        table.narrow = Reference.narrow
        table.fill = Reference.fill
        table.dropout = Reference.dropout
        table.dropConnect = Reference.dropConnect
        table.maxPool = Reference.maxPool
        table.maxPoolBackward = Reference.maxPoolBackward
        table.averagePool = Reference.averagePool
        table.averagePoolBackward = Reference.averagePoolBackward
        table.globalAveragePool = Reference.globalAveragePool
        table.globalAveragePoolBackward = Reference.globalAveragePoolBackward
        table.upsampleNearest = Reference.upsampleNearest
        table.upsampleNearestBackward = Reference.upsampleNearestBackward
        table.upsampleBilinear = Reference.upsampleBilinear
        table.upsampleBilinearBackward = Reference.upsampleBilinearBackward
    }
#else
    extension KernelTable {
        /// The scalar definition of every kernel: plain loops in the order of the contract. Slow; for tests.
        package static let reference = KernelTable(
            name: "reference",
            format: .float32,
            fmaRounds: Reference.fmaRounds,
            convolution: Reference.convolution,
            convolutionBackwardInput: Reference.convolutionBackwardInput,
            convolutionBackwardWeights: Reference.convolutionBackwardWeights,
            groupedConvolution: Reference.groupedConvolution,
            groupedConvolutionBackwardInput: Reference.groupedConvolutionBackwardInput,
            groupedConvolutionBackwardWeights: Reference.groupedConvolutionBackwardWeights,
            channelSums: Reference.channelSums,
            batchStatistics: Reference.batchStatistics,
            scaleShift: Reference.scaleShift,
            batchNormBackwardSums: Reference.batchNormBackwardSums,
            batchNormBackward: Reference.batchNormBackward,
            relu: Reference.relu,
            reluBackward: Reference.reluBackward,
            sigmoid: Reference.sigmoid,
            sigmoidBackward: Reference.sigmoidBackward,
            silu: Reference.silu,
            siluBackward: Reference.siluBackward,
            leakyReLU: Reference.leakyReLU,
            leakyReLUBackward: Reference.leakyReLUBackward,
            softmax: Reference.softmax,
            softmaxBackward: Reference.softmaxBackward,
            scaleChannels: Reference.scaleChannels,
            scaleChannelsBackward: Reference.scaleChannelsBackward,
            add: Reference.add,
            copy: Reference.copy,
            widen: Reference.widen,
            narrow: Reference.narrow,
            fill: Reference.fill,
            dropout: Reference.dropout,
            dropConnect: Reference.dropConnect,
            maxPool: Reference.maxPool,
            maxPoolBackward: Reference.maxPoolBackward,
            averagePool: Reference.averagePool,
            averagePoolBackward: Reference.averagePoolBackward,
            globalAveragePool: Reference.globalAveragePool,
            globalAveragePoolBackward: Reference.globalAveragePoolBackward,
            upsampleNearest: Reference.upsampleNearest,
            upsampleNearestBackward: Reference.upsampleNearestBackward,
            upsampleBilinear: Reference.upsampleBilinear,
            upsampleBilinearBackward: Reference.upsampleBilinearBackward,
            lossSums: Reference.lossSums,
            lossGradient: Reference.lossGradient,
            addVectors: Reference.addVectors,
            sumVectors: Reference.sumVectors,
            sumRounded: Reference.sumRounded,
            roundVector: Reference.roundVector,
            packVector: Reference.packVector,
            unpackVector: Reference.unpackVector,
            sumOfSquares: Reference.sumOfSquares,
            sgd: Reference.sgd,
            adam: Reference.adam,
            movingAverage: Reference.movingAverage
        )
    }
#endif

/// The scalar kernels. Each is named after the entry of `KernelTable` whose contract it states in code.
enum Reference {
    static let pixelBlock = 64

    /// max(0, v) with NaN kept: the comparison is false for NaN.
    static func clampBelow(_ v: Float) -> Float { v < 0 ? 0 : v }

    static func store(_ value: Float, at place: PixelElements, accumulate: Bool) {
        place[0] = accumulate ? place[0] + value : value
    }
}
