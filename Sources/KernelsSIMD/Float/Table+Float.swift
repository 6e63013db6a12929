import Kernels

/// Puts the kernels that only `Float` has into `table`.
func installFormat(into table: inout KernelTable) {
    table.fmaRounds = fmaRounds
    table.convolution = convolution
    table.convolutionBackwardInput = convolutionBackwardInput
    table.convolutionBackwardWeights = convolutionBackwardWeights
    table.lossSums = lossSums
    table.lossGradient = lossGradient
    table.addVectors = addVectors
    table.sumVectors = sumVectors
    table.sumRounded = sumRounded
    table.roundVector = roundVector
    table.packVector = packVector
    table.unpackVector = unpackVector
    table.sumOfSquares = sumOfSquares
    table.sgd = sgd
    table.adam = adam
    table.movingAverage = movingAverage
}
