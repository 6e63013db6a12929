import Graph
import Losses
import Testing

/// A tiny network around one operator: a stem that makes gradients flow into it, the operator, a head of one channel.
///
/// `build` gets the stem's output and returns what the head reads. The names are those of `Tests/Fixtures/operators.py`.
struct OperatorCase: Sendable, CustomTestStringConvertible {
    var name: String
    /// The operator that the case is about, as `operatorKinds` calls it.
    var kind: String
    var images: Int
    var input: FeatureShape
    var stem = 5
    var loss = SegmentationLoss(crossEntropy: 1, dice: 0)
    var build: @Sendable (inout GraphBuilder, _ x: Tensor) throws -> Tensor = { _, x in x }

    var testDescription: String { name }

    /// The graph; `twice` sends the stem's output through a second copy of the operator and adds both, so that its
    /// gradient is accumulated.
    func graph(twice: Bool = false) throws -> Graph {
        var builder = try GraphBuilder(input: input)
        let x = try builder.convolution(builder.input, name: "stem", outputChannels: stem, kernel: 1, bias: true)
        var y = try build(&builder, x)
        if twice {
            var copy = Renamer(builder)
            let z = try copy.build(self, x)
            builder = copy.builder
            y = try builder.add(y, z, name: "sum of both")
        }
        let logits = try builder.convolution(y, name: "head", outputChannels: 1, kernel: 1, bias: true)
        try builder.segmentationLoss(logits, loss)
        return try builder.finish()
    }

    /// Builds the operator a second time under other names.
    private struct Renamer {
        var builder: GraphBuilder

        init(_ builder: GraphBuilder) {
            self.builder = builder
            self.builder.namePrefix = "second."
        }

        mutating func build(_ operation: OperatorCase, _ x: Tensor) throws -> Tensor {
            let result = try operation.build(&builder, x)
            builder.namePrefix = ""
            return result
        }
    }
}

private func shape(_ height: Int, _ width: Int, _ channels: Int) -> FeatureShape {
    FeatureShape(height: height, width: width, channels: channels)
}

let operatorCases: [OperatorCase] =
    convolutionCases + normalizationCases + pointwiseCases + resamplingCases + lossCases

private let convolutionCases: [OperatorCase] = [
    OperatorCase(name: "convolution_3x3", kind: "convolution", images: 2, input: shape(5, 7, 2), stem: 3) {
        try $0.convolution($1, name: "op", outputChannels: 17, kernel: 3)
    },
    OperatorCase(name: "convolution_one_pixel", kind: "convolution", images: 1, input: shape(1, 1, 3)) {
        try $0.convolution($1, name: "op", outputChannels: 3, kernel: 3, bias: true)
    },
    OperatorCase(name: "convolution_7x7_stride_2", kind: "convolution", images: 1, input: shape(9, 11, 1), stem: 2) {
        try $0.convolution($1, name: "op", outputChannels: 17, kernel: 7, stride: 2)
    },
    OperatorCase(name: "convolution_dilated", kind: "convolution", images: 1, input: shape(8, 7, 2)) {
        try $0.convolution($1, name: "op", outputChannels: 6, kernel: 3, dilation: 2, bias: true)
    },
    OperatorCase(name: "convolution_1x1_stride_2", kind: "convolution", images: 1, input: shape(7, 5, 2)) {
        try $0.convolution($1, name: "op", outputChannels: 19, kernel: 1, stride: 2)
    },
    OperatorCase(name: "convolution_bias_relu", kind: "convolution", images: 2, input: shape(6, 5, 2)) {
        try $0.relu(try $0.convolution($1, name: "op", outputChannels: 16, kernel: 3, bias: true), name: "relu")
    },
    OperatorCase(name: "convolution_no_padding", kind: "convolution", images: 2, input: shape(6, 5, 2)) {
        try $0.convolution($1, name: "op", outputChannels: 4, kernel: 3, padding: 0)
    },
    OperatorCase(name: "convolution_depthwise", kind: "convolution", images: 2, input: shape(5, 7, 2), stem: 19) {
        try $0.convolution($1, name: "op", outputChannels: 19, kernel: 3, groups: 19)
    },
    OperatorCase(
        name: "convolution_depthwise_5x5_relu",
        kind: "convolution",
        images: 1,
        input: shape(9, 12, 2),
        stem: 6
    ) {
        let y = try $0.convolution($1, name: "op", outputChannels: 6, kernel: 5, stride: 2, groups: 6, bias: true)
        return try $0.relu(y, name: "relu")
    },
    OperatorCase(name: "convolution_depthwise_dilated", kind: "convolution", images: 1, input: shape(8, 11, 2)) {
        try $0.convolution($1, name: "op", outputChannels: 5, kernel: 3, dilation: 2, groups: 5)
    },
    OperatorCase(
        name: "convolution_depthwise_same",
        kind: "convolution",
        images: 1,
        input: shape(8, 12, 2),
        stem: 6
    ) {
        try $0.convolution(
            $1,
            name: "op",
            outputChannels: 6,
            kernel: 3,
            stride: 2,
            padding: 0,
            paddingAfter: 1,
            groups: 6
        )
    },
    OperatorCase(name: "convolution_grouped", kind: "convolution", images: 2, input: shape(5, 11, 2), stem: 20) {
        try $0.convolution($1, name: "op", outputChannels: 20, kernel: 3, groups: 5)
    },
    OperatorCase(
        name: "convolution_grouped_stride_2",
        kind: "convolution",
        images: 1,
        input: shape(7, 12, 2),
        stem: 32
    ) {
        try $0.convolution($1, name: "op", outputChannels: 32, kernel: 3, stride: 2, groups: 2)
    },
    OperatorCase(
        name: "convolution_grouped_uneven",
        kind: "convolution",
        images: 1,
        input: shape(5, 6, 2),
        stem: 12
    ) {
        try $0.convolution($1, name: "op", outputChannels: 18, kernel: 3, groups: 6, bias: true)
    },
    OperatorCase(name: "convolution_same", kind: "convolution", images: 2, input: shape(6, 8, 2)) {
        try $0.convolution($1, name: "op", outputChannels: 6, kernel: 5, stride: 2, padding: 1, paddingAfter: 2)
    },
    OperatorCase(name: "transposed_2x2", kind: "transposed convolution", images: 2, input: shape(3, 5, 2)) {
        try $0.transposedConvolution($1, name: "op", outputChannels: 17)
    },
    OperatorCase(name: "transposed_3x3", kind: "transposed convolution", images: 1, input: shape(4, 3, 2)) {
        let y = try $0.transposedConvolution($1, name: "op", outputChannels: 6, kernel: 3, padding: 1, outputPadding: 1)
        return try $0.relu(y, name: "relu")
    },
]

private let normalizationCases: [OperatorCase] = [
    OperatorCase(name: "normalization", kind: "batch normalisation", images: 2, input: shape(5, 7, 2), stem: 16) {
        try $0.batchNormalization($1, name: "op")
    },
    OperatorCase(name: "normalization_one_pixel", kind: "batch normalisation", images: 3, input: shape(1, 1, 2)) {
        try $0.batchNormalization($1, name: "op")
    },
    OperatorCase(name: "normalization_relu", kind: "batch normalisation", images: 2, input: shape(5, 3, 2), stem: 6) {
        try $0.relu(try $0.batchNormalization($1, name: "op"), name: "relu")
    },
    OperatorCase(
        name: "normalization_add_relu",
        kind: "batch normalisation",
        images: 2,
        input: shape(5, 3, 2),
        stem: 6
    ) {
        let inner = try $0.convolution($1, name: "inner", outputChannels: 6, kernel: 3)
        let sum = try $0.add(try $0.batchNormalization(inner, name: "op"), $1, name: "add")
        return try $0.relu(sum, name: "relu")
    },
    OperatorCase(
        name: "normalization_frozen",
        kind: "batch normalisation",
        images: 2,
        input: shape(5, 3, 2),
        stem: 6
    ) {
        try $0.relu(try $0.batchNormalization($1, name: "op", statistics: .running), name: "relu")
    },
    OperatorCase(
        name: "normalization_silu",
        kind: "batch normalisation",
        images: 2,
        input: shape(5, 3, 2),
        stem: 19
    ) {
        try $0.silu(try $0.batchNormalization($1, name: "op"), name: "silu")
    },
    OperatorCase(
        name: "normalization_leaky_relu",
        kind: "batch normalisation",
        images: 2,
        input: shape(5, 3, 2),
        stem: 6
    ) {
        let inner = try $0.convolution($1, name: "inner", outputChannels: 6, kernel: 3)
        let sum = try $0.add(try $0.batchNormalization(inner, name: "op"), $1, name: "add")
        return try $0.leakyReLU(sum, name: "relu", slope: 0.2)
    },
    OperatorCase(
        name: "normalization_frozen_silu",
        kind: "batch normalisation",
        images: 2,
        input: shape(5, 3, 2),
        stem: 6
    ) {
        try $0.silu(try $0.batchNormalization($1, name: "op", statistics: .running), name: "silu")
    },
    OperatorCase(name: "group_normalization", kind: "group normalisation", images: 2, input: shape(4, 5, 2), stem: 18) {
        try $0.groupNormalization($1, name: "op", groups: 6)
    },
    OperatorCase(
        name: "group_normalization_add_relu",
        kind: "group normalisation",
        images: 2,
        input: shape(4, 3, 2),
        stem: 8
    ) {
        let inner = try $0.convolution($1, name: "inner", outputChannels: 8, kernel: 3)
        let sum = try $0.add(try $0.groupNormalization(inner, name: "op", groups: 2), $1, name: "add")
        return try $0.relu(sum, name: "relu")
    },
    OperatorCase(
        name: "group_normalization_silu",
        kind: "group normalisation",
        images: 2,
        input: shape(4, 3, 2),
        stem: 6
    ) {
        try $0.silu(try $0.groupNormalization($1, name: "op", groups: 3), name: "silu")
    },
    OperatorCase(
        name: "group_normalization_one_pixel",
        kind: "group normalisation",
        images: 2,
        input: shape(1, 1, 2),
        stem: 6
    ) {
        try $0.groupNormalization($1, name: "op", groups: 2)
    },
]

private let pointwiseCases: [OperatorCase] = [
    OperatorCase(name: "relu", kind: "relu", images: 2, input: shape(4, 3, 2), stem: 6) {
        try $0.add(try $0.relu($1, name: "relu"), $1, name: "add")
    },
    OperatorCase(name: "silu", kind: "silu", images: 2, input: shape(4, 3, 2), stem: 17) {
        try $0.add(try $0.silu($1, name: "op"), $1, name: "add")
    },
    OperatorCase(name: "leaky_relu", kind: "leaky relu", images: 2, input: shape(4, 3, 2), stem: 6) {
        try $0.add(try $0.leakyReLU($1, name: "op", slope: 0.1), $1, name: "add")
    },
    OperatorCase(name: "softmax", kind: "softmax", images: 2, input: shape(3, 2, 2), stem: 19) {
        try $0.softmax($1, name: "op")
    },
    OperatorCase(
        name: "squeeze_and_excitation",
        kind: "channel scaling",
        images: 2,
        input: shape(5, 13, 2),
        stem: 18
    ) {
        let pooled = try $0.globalAveragePool($1, name: "pool")
        let reduced = try $0.convolution(pooled, name: "reduce", outputChannels: 4, kernel: 1, bias: true)
        let inner = try $0.silu(reduced, name: "silu")
        let expanded = try $0.convolution(inner, name: "op", outputChannels: 18, kernel: 1, bias: true)
        let gate = try $0.sigmoid(expanded, name: "sigmoid")
        return try $0.scaleChannels($1, by: gate, name: "scale")
    },
    OperatorCase(name: "drop_connect", kind: "drop connect", images: 5, input: shape(3, 2, 2), stem: 6) {
        try $0.add(try $0.dropConnect($1, name: "op", probability: 0.4), $1, name: "add")
    },
    OperatorCase(name: "sigmoid", kind: "sigmoid", images: 2, input: shape(4, 3, 2), stem: 17) {
        try $0.sigmoid($1, name: "op")
    },
    OperatorCase(name: "add", kind: "add", images: 2, input: shape(4, 3, 2), stem: 6) {
        let other = try $0.convolution($1, name: "op", outputChannels: 6, kernel: 1)
        let sum = try $0.relu(try $0.add($1, other, name: "add"), name: "relu")
        return try $0.add(sum, $1, name: "add again")
    },
    OperatorCase(name: "concatenation", kind: "concatenation", images: 2, input: shape(4, 3, 2)) {
        let a = try $0.convolution($1, name: "op", outputChannels: 3, kernel: 1, bias: true)
        let joined = try $0.concatenate([a, $1, a, $0.input], name: "concatenate")
        return try $0.convolution(joined, name: "inner", outputChannels: 4, kernel: 3)
    },
    OperatorCase(name: "dropout", kind: "dropout", images: 2, input: shape(4, 5, 2), stem: 6) {
        try $0.dropout($1, name: "op", probability: 0.3)
    },
    OperatorCase(name: "channel_dropout", kind: "channel dropout", images: 3, input: shape(4, 5, 2), stem: 6) {
        try $0.add(try $0.dropoutChannels($1, name: "op", probability: 0.3), $1, name: "add")
    },
]

private let resamplingCases: [OperatorCase] = [
    OperatorCase(name: "max_pooling_2x2", kind: "max pooling", images: 2, input: shape(5, 7, 2), stem: 17) {
        try $0.maxPool($1, name: "op", size: 2)
    },
    OperatorCase(name: "max_pooling_3x3", kind: "max pooling", images: 2, input: shape(6, 7, 2)) {
        try $0.maxPool($1, name: "op", size: 3, stride: 2, padding: 1)
    },
    OperatorCase(name: "max_pooling_ceil", kind: "max pooling", images: 2, input: shape(6, 7, 2), stem: 17) {
        try $0.maxPool($1, name: "op", size: 3, stride: 2, ceilMode: true)
    },
    OperatorCase(name: "max_pooling_ceil_padded", kind: "max pooling", images: 1, input: shape(5, 6, 2)) {
        try $0.maxPool($1, name: "op", size: 2, stride: 3, padding: 1, ceilMode: true)
    },
    OperatorCase(name: "average_pooling", kind: "average pooling", images: 2, input: shape(5, 7, 2), stem: 17) {
        try $0.averagePool($1, name: "op")
    },
    OperatorCase(name: "average_pooling_padded", kind: "average pooling", images: 2, input: shape(6, 7, 2)) {
        try $0.averagePool($1, name: "op", size: 3, stride: 2, padding: 1)
    },
    OperatorCase(name: "average_pooling_ceil", kind: "average pooling", images: 2, input: shape(6, 8, 2)) {
        try $0.averagePool($1, name: "op", size: 3, stride: 2, padding: 1, ceilMode: true)
    },
    OperatorCase(name: "average_pooling_inside", kind: "average pooling", images: 1, input: shape(6, 8, 2)) {
        try $0.averagePool($1, name: "op", size: 3, stride: 2, padding: 1, ceilMode: true, countsPadding: false)
    },
    OperatorCase(name: "nearest_upsampling", kind: "nearest upsampling", images: 1, input: shape(3, 2, 2), stem: 17) {
        try $0.upsampleNearest($1, name: "op")
    },
    OperatorCase(name: "nearest_upsampling_by_3", kind: "nearest upsampling", images: 1, input: shape(2, 3, 2)) {
        try $0.upsampleNearest($1, name: "op", factor: 3)
    },
    OperatorCase(
        name: "bilinear_upsampling",
        kind: "bilinear upsampling",
        images: 2,
        input: shape(4, 5, 2),
        stem: 17
    ) {
        try $0.upsampleBilinear($1, name: "op", height: 8, width: 10)
    },
    OperatorCase(name: "bilinear_corners", kind: "bilinear upsampling", images: 1, input: shape(4, 5, 2)) {
        try $0.upsampleBilinear($1, name: "op", height: 7, width: 9, alignCorners: true)
    },
    OperatorCase(name: "bilinear_smaller", kind: "bilinear upsampling", images: 1, input: shape(7, 9, 2)) {
        try $0.upsampleBilinear($1, name: "op", height: 3, width: 4)
    },
    OperatorCase(name: "bilinear_one_pixel", kind: "bilinear upsampling", images: 1, input: shape(1, 1, 2)) {
        try $0.upsampleBilinear($1, name: "op", height: 3, width: 2, alignCorners: true)
    },
    OperatorCase(name: "pooling_linear", kind: "global average pooling", images: 3, input: shape(5, 4, 2), stem: 17) {
        let pooled = try $0.globalAveragePool($1, name: "pool")
        return try $0.relu(try $0.linear(pooled, name: "op", outputChannels: 6), name: "relu")
    },
]

/// A term of the loss with some of its options.
func term(
    _ family: any LossTerm.Type,
    _ options: [String: Double] = [:],
    weight: Double = 1
) -> SegmentationLoss.Entry {
    SegmentationLoss.Entry(family.init(LossOptions(family, options)), weight: weight)
}

private let lossCases: [OperatorCase] = [
    ("loss_dice_image", SegmentationLoss(crossEntropy: 0, dice: 1)),
    (
        "loss_dice_microbatch",
        SegmentationLoss(
            crossEntropy: 0,
            dice: 1,
            diceScope: .microbatch,
            numeratorSmoothing: 1e-6,
            denominatorSmoothing: 1e-6
        )
    ),
    (
        "loss_dice_squared",
        SegmentationLoss(
            crossEntropy: 0,
            dice: 1,
            numeratorSmoothing: 0.02,
            denominatorSmoothing: 0.01,
            squaredDenominator: true
        )
    ),
    ("loss_focal", SegmentationLoss(crossEntropy: 0, dice: 0, focal: 1)),
    ("loss_focal_gamma", SegmentationLoss(crossEntropy: 0, dice: 0, focal: 1, focalGamma: 1.5)),
    ("loss_empty_mixed", SegmentationLoss(crossEntropy: 3, dice: 1, focal: 4)),
    ("loss_clamped", SegmentationLoss([term(ClampedCrossEntropyLoss.self)])),
    ("loss_empty_nonempty", SegmentationLoss([term(NonEmptyDiceLoss.self)])),
    ("loss_two_class", SegmentationLoss([term(TwoClassDiceLoss.self)])),
    ("loss_two_class_image", SegmentationLoss([term(TwoClassDiceLoss.self, ["smoothing": 0.5, "per_image": 1])])),
    // What the combined coefficients and the pixels add up to.
    (
        "loss_empty_recipe",
        SegmentationLoss([
            term(ClampedCrossEntropyLoss.self, weight: 3), term(NonEmptyDiceLoss.self, weight: 2),
            term(DiceLoss.self, ["per_image": 1]), term(CrossEntropyLoss.self, weight: 0.5),
        ])
    ),
].map { name, loss in
    OperatorCase(
        name: name,
        kind: "segmentation loss",
        images: name.hasPrefix("loss_empty") ? 3 : 2,
        input: shape(5, 4, 2),
        loss: loss
    )
}
