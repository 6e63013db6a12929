extension KernelTable {
    /// The scalar definition of every kernel: plain loops in the order of the contract. Slow; for tests.
    package static let reference = KernelTable(
        name: "reference",
        fmaRounds: Reference.fmaRounds,
        convolution: Reference.convolution,
        convolutionBackwardInput: Reference.convolutionBackwardInput,
        convolutionBackwardWeights: Reference.convolutionBackwardWeights,
        transposeWeights: Reference.transposeWeights,
        channelSums: Reference.channelSums,
        batchStatistics: Reference.batchStatistics,
        scaleShift: Reference.scaleShift,
        batchNormBackwardSums: Reference.batchNormBackwardSums,
        batchNormBackward: Reference.batchNormBackward,
        relu: Reference.relu,
        reluBackward: Reference.reluBackward,
        sigmoid: Reference.sigmoid,
        sigmoidBackward: Reference.sigmoidBackward,
        add: Reference.add,
        copy: Reference.copy,
        fill: Reference.fill,
        dropout: Reference.dropout,
        maxPool: Reference.maxPool,
        maxPoolBackward: Reference.maxPoolBackward,
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
        sumOfSquares: Reference.sumOfSquares,
        sgd: Reference.sgd,
        adam: Reference.adam,
        movingAverage: Reference.movingAverage
    )
}

/// The scalar kernels. Each is named after the entry of `KernelTable` whose contract it states in code.
enum Reference {
    static let pixelBlock = 64

    /// max(0, v) with NaN kept: the comparison is false for NaN.
    static func clampBelow(_ v: Float) -> Float { v < 0 ? 0 : v }

    static func store(_ value: Float, at pointer: UnsafeMutablePointer<Float>, accumulate: Bool) {
        pointer.pointee = accumulate ? pointer.pointee + value : value
    }
}

extension TensorView {
    /// The address of element (image, row, column, channel 0).
    func pixel(_ image: Int, _ row: Int, _ column: Int) -> UnsafeMutablePointer<Float> {
        base + ((image * height + row) * width + column) * pixelStride
    }

    /// The address of pixel `index`, counted over (image, row, column).
    func pixel(_ index: Int) -> UnsafeMutablePointer<Float> { base + index * pixelStride }
}
