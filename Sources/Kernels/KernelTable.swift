/// The kernels of one instruction set: every operation that a step is made of, as functions over unsafe memory.
///
/// One table for each variant: the reference (scalar, the definition), and those of `KernelsAVX2` and `KernelsAVX512`.
/// All give the same bits: the order of each reduction is written here and is part of the contract.
/// Kernels allocate nothing, throw nothing, start nothing and check nothing: the graph has checked the shapes once.
///
/// Terms of the contracts: *fma chain* is acc ← fma(a, b, acc) in the order given. A *pixel block* is 64 consecutive
/// pixels of a tensor, counted over (image, row, column) from 0, the last one short. A *block sum* of a quantity over
/// pixels is: within each pixel block one `Float` accumulator, from 0, pixels ascending; the blocks' sums converted to
/// `Double` and added in block order. `accumulate` means: the result r is added to what the destination held, d ← d + r.
/// Denormals are kept everywhere; NaN in gives NaN out, with a sign and payload that are not specified.
package struct KernelTable: Sendable {
    /// "reference", "avx2" or "avx512", as logs and benchmarks print it.
    package var name: String
    /// The format of the feature maps that the kernels take.
    package var format: ElementFormat

    /// Runs `iterations` rounds of 12 fma on 16 lanes (384 · iterations operations), or dot steps over bfloat16 (768 ·
    /// iterations), as many independent as registers hold, and returns a value that depends on all of them: what the
    /// limit of one core is measured with.
    package var fmaRounds: @Sendable (_ iterations: Int) -> Float

    // MARK: Convolutions

    // Dense convolutions are direct, or Winograd where `geometry.usesWinograd(for: format)`. Their scratch memory, at a
    // multiple of 64 bytes, has `geometry.scratchBytes` bytes and holds nothing before and after. Weights are in the
    // storage layout.
    //
    // *Winograd*: tiles of 2×2 results, counted over (image, tile row, tile column); the last of a row or column may be
    // cut. The patch d of a tile is the 4×4 elements of the source that it depends on, zero outside the image. Each
    // transform goes down the columns first, then across the rows:
    //   patch   t0 = d0 - d2, t1 = d1 + d2, t2 = d2 - d1, t3 = d1 - d3
    //   taps    u0 = g0, u1 = 0.5 · ((g0 + g2) + g1), u2 = 0.5 · ((g0 + g2) - g1), u3 = g2
    //   result  y0 = (m0 + m1) + m2, y1 = (m1 - m2) - m3
    // with m the 16 products: each the fma chain t · u over the source's channels ascending from 0.

    // *Over bfloat16*, in the place of a chain's fma stand *dot steps* with pairs of the chain's values (2i, 2i + 1): fma of
    // the odd elements, then of the even ones, each rounded to nearest even, denormals flushed to zeros of their sign in
    // and out, as VDPBF16PS does. All other arithmetic of these kernels flushes denormals likewise.
    // Direct: weights are rounded to bfloat16. Forward, the values of a row of taps, (kx, input channel) ascending, are
    // paired, the last padded with a zero; back to the input, the output channels of a tap; gradients to the weights pair
    // neighbouring output columns of a row, with zeros for columns outside the image.
    // Winograd: the transforms are those of `Float`, of elements and of unrounded weights; both factors of a product are
    // rounded to bfloat16 after both directions of their transform, sums and results only where they are stored. Channels
    // are paired; gradients to the weights pair the tiles of a run, the last with the transforms of a tile of zeros.

    /// y ← x ⋆ weights + bias, clamped below at 0 where `relu`.
    ///
    /// Direct: an element is the fma chain over (ky, kx, input channel) ascending from 0, with zeros for taps outside the
    /// image. Where `geometry.sumsInLanes`, there are 16 such chains: that of lane l has the input channels 16 · b + l, the
    /// last block filled up with zeros; then lane l is added to by lane l + 8 for l < 8, by l + 4 for l < 4, by l + 2,
    /// by l + 1. Winograd: the result above, of x and the weights. Then + bias, then max(0, ·). Bias `[outputChannels]`
    /// or nil.
    package var convolution:
        @Sendable (
            _ x: TensorView, _ weights: UnsafePointer<Float>, _ bias: UnsafePointer<Float>?, _ y: TensorView,
            _ geometry: ConvolutionGeometry, _ relu: Bool, _ scratch: UnsafeMutableRawPointer
        ) -> Void

    /// dx ← gradient of the convolution to its input; also the forward pass of a transposed convolution.
    ///
    /// Direct: an element is the fma chain over (ky, kx, output channel) ascending from 0, over the taps whose offset is
    /// a multiple of the stride, with zeros for places outside dy. Winograd: the result above, of dy and of the weights
    /// with their taps in the opposite order in both directions. Then + bias, then relu. Bias `[inputChannels]` or nil.
    package var convolutionBackwardInput:
        @Sendable (
            _ dy: TensorView, _ weights: UnsafePointer<Float>, _ bias: UnsafePointer<Float>?, _ dx: TensorView,
            _ geometry: ConvolutionGeometry, _ relu: Bool, _ accumulate: Bool, _ scratch: UnsafeMutableRawPointer
        ) -> Void

    /// dw ← gradient of the convolution to its weights, in the storage layout (lanes past the channels are zero).
    ///
    /// Direct: output rows, counted over (image, row), are grouped in runs of `geometry.rowsPerRun` rows, the last one
    /// short. An element is: for each run the fma chain over its output pixels ascending from 0, skipping taps outside
    /// the image (where `geometry.sumsInLanes` or `foldsColumns` they count as zeros); the runs' sums added in order from
    /// 0.
    ///
    /// Winograd: tiles of dy, in runs of `WinogradGradientPlan.run`, the last one short. Each of the 16 sums is: for each
    /// run the fma chain over its tiles ascending from 0 of the transformed patch of x times the transformed tile of dy
    /// (w0 = y0, w1 = y0 + y1, w2 = y0 - y1, w3 = -y1); the runs' sums added in order from the first. The taps are
    /// g0 = u0 + 0.5 · (u1 + u2), g1 = 0.5 · (u1 - u2), g2 = 0.5 · (u1 + u2) + u3 of these sums.
    package var convolutionBackwardWeights:
        @Sendable (
            _ x: TensorView, _ dy: TensorView, _ dw: UnsafeMutablePointer<Float>, _ geometry: ConvolutionGeometry,
            _ scratch: UnsafeMutableRawPointer
        ) -> Void

    // MARK: Convolutions with groups, depthwise ones included

    /// y ← x ⋆ weights + bias, clamped below at 0 where `relu`, for `geometry.groups` > 1.
    ///
    /// An element is the fma chain over (ky, input channel of its group, kx) ascending from 0, without the rows outside
    /// the image, with zeros for the columns outside it; then + bias, then max(0, ·). Weights in the storage layout; bias `[outputChannels]` or nil. In
    /// bfloat16 the same on widened elements, rounded at the end.
    package var groupedConvolution:
        @Sendable (
            _ x: TensorView, _ weights: UnsafePointer<Float>, _ bias: UnsafePointer<Float>?, _ y: TensorView,
            _ geometry: ConvolutionGeometry, _ relu: Bool
        ) -> Void

    /// dx ← gradient of the convolution to its input.
    ///
    /// An element is the fma chain from 0 over the places of dy that it reaches, by (row, output channel of its group,
    /// column) ascending: (ky, kx) descend; without rows and with zeros for columns outside dy. Weights in the storage
    /// layout; scratch memory as for dense convolutions.
    package var groupedConvolutionBackwardInput:
        @Sendable (
            _ dy: TensorView, _ weights: UnsafePointer<Float>, _ dx: TensorView, _ geometry: ConvolutionGeometry,
            _ accumulate: Bool, _ scratch: UnsafeMutableRawPointer
        ) -> Void

    /// dw ← gradient of the convolution to its weights: by the rule of `convolutionBackwardWeights`.
    package var groupedConvolutionBackwardWeights:
        @Sendable (
            _ x: TensorView, _ dy: TensorView, _ dw: UnsafeMutablePointer<Float>, _ geometry: ConvolutionGeometry
        ) -> Void

    /// sums[c] ← block sum of x over all pixels, rounded to `Float`: the gradient of a bias.
    package var channelSums: @Sendable (_ x: TensorView, _ sums: UnsafeMutablePointer<Float>) -> Void

    // MARK: Batch normalisation

    /// mean[c], variance[c] (biased) of x over all pixels.
    ///
    /// With shift[c] = the `Float` mean (sum / count) of the first pixel block and d = x - shift: D = block sum of d,
    /// Q = block sum of d² (by fma), both kept in `Double`; mean = shift + D / N, variance = max(0, Q / N - (D / N)²),
    /// rounded at the end.
    package var batchStatistics:
        @Sendable (_ x: TensorView, _ mean: UnsafeMutablePointer<Float>, _ variance: UnsafeMutablePointer<Float>) ->
            Void

    /// y ← the activation of fma(x, scale[c], shift[c]) (+ residual). y may be x.
    package var scaleShift:
        @Sendable (
            _ x: TensorView, _ scale: UnsafePointer<Float>, _ shift: UnsafePointer<Float>, _ residual: TensorView?,
            _ y: TensorView, _ activation: Activation
        ) -> Void

    /// With g = the gradient of the activation: dBeta[c] ← block sum of g; dGamma[c] ← block sum of
    /// g · ((x - mean[c]) · inverseDeviation[c]), the products added by fma; both rounded to `Float`.
    package var batchNormBackwardSums:
        @Sendable (
            _ x: TensorView, _ dy: TensorView, _ activation: ActivationGradient, _ mean: UnsafePointer<Float>,
            _ inverseDeviation: UnsafePointer<Float>, _ dGamma: UnsafeMutablePointer<Float>,
            _ dBeta: UnsafeMutablePointer<Float>
        ) -> Void

    /// With g as above: dx ← fma(a[c], g, fma(b[c], x, c[c])); residualGradient ← g, or += g where
    /// `accumulateResidual`. dx may be dy. Where `accumulate`, dx gets dx + that.
    package var batchNormBackward:
        @Sendable (
            _ x: TensorView, _ dy: TensorView, _ activation: ActivationGradient, _ a: UnsafePointer<Float>,
            _ b: UnsafePointer<Float>, _ c: UnsafePointer<Float>, _ dx: TensorView, _ accumulate: Bool,
            _ residualGradient: TensorView?, _ accumulateResidual: Bool
        ) -> Void

    // MARK: Pointwise

    /// y ← max(0, x); NaN stays NaN. y may be x.
    package var relu: @Sendable (_ x: TensorView, _ y: TensorView) -> Void
    /// dx ← dy where y > 0, else 0. dx may be dy.
    package var reluBackward:
        @Sendable (_ y: TensorView, _ dy: TensorView, _ dx: TensorView, _ accumulate: Bool) -> Void
    /// y ← 1 / (1 + e⁻ˣ).
    package var sigmoid: @Sendable (_ x: TensorView, _ y: TensorView) -> Void
    /// dx ← dy · (y · (1 - y)).
    package var sigmoidBackward:
        @Sendable (_ y: TensorView, _ dy: TensorView, _ dx: TensorView, _ accumulate: Bool) -> Void
    /// y ← x / (1 + e⁻ˣ). y may be x.
    package var silu: @Sendable (_ x: TensorView, _ y: TensorView) -> Void
    /// dx ← the gradient of `Activation.silu` at z = x. dx may be dy.
    package var siluBackward:
        @Sendable (_ x: TensorView, _ dy: TensorView, _ dx: TensorView, _ accumulate: Bool) -> Void
    /// y ← x where x > 0, else x · slope; slope ≥ 0. y may be x.
    package var leakyReLU: @Sendable (_ x: TensorView, _ y: TensorView, _ slope: Float) -> Void
    /// dx ← dy where y > 0, else dy · slope. dx may be dy.
    package var leakyReLUBackward:
        @Sendable (_ y: TensorView, _ dy: TensorView, _ dx: TensorView, _ slope: Float, _ accumulate: Bool) -> Void
    /// y ← softmax over the channels of each pixel: e = exp(x - m) with m the largest channel (comparisons with NaN are
    /// false), S = the sum of e, channels ascending from 0; y = e / S.
    package var softmax: @Sendable (_ x: TensorView, _ y: TensorView) -> Void
    /// dx ← y · (dy - D), D = the sum of y · dy over the pixel's channels: fma chain, channels ascending from 0.
    package var softmaxBackward:
        @Sendable (_ y: TensorView, _ dy: TensorView, _ dx: TensorView, _ accumulate: Bool) -> Void
    /// y ← x · gate[n, 0, 0, c], or y + that. The gradient to x is the same of dy.
    package var scaleChannels:
        @Sendable (_ x: TensorView, _ gate: TensorView, _ y: TensorView, _ accumulate: Bool) -> Void
    /// dgate[n, 0, 0, c] ← sum of x · dy over the image: pixel blocks restart at each image, products by fma; the
    /// blocks' sums added in `Double`, rounded.
    package var scaleChannelsBackward:
        @Sendable (_ x: TensorView, _ dy: TensorView, _ dgate: TensorView, _ accumulate: Bool) -> Void
    /// y ← a + b, clamped below at 0 where `relu`. y may be a or b.
    package var add: @Sendable (_ a: TensorView, _ b: TensorView, _ y: TensorView, _ relu: Bool) -> Void
    /// y ← x, or y + x where `accumulate`: concatenation and the sums of gradients.
    package var copy: @Sendable (_ x: TensorView, _ y: TensorView, _ accumulate: Bool) -> Void
    /// y ← x, or y + x: x in the table's format, y of `Float`s.
    package var widen: @Sendable (_ x: TensorView, _ y: TensorView, _ accumulate: Bool) -> Void
    /// y ← x, or y + x: x of `Float`s, y in the table's format.
    package var narrow: @Sendable (_ x: TensorView, _ y: TensorView, _ accumulate: Bool) -> Void
    /// y ← value.
    package var fill: @Sendable (_ y: TensorView, _ value: Float) -> Void
    /// y ← x · m / keep, with m = 1 where word i of the Philox sequence (`seed`, dropout, `step`, `position`) is below
    /// `threshold` = keep · 2³² and i = `firstWord` + pixel · channels + channel. Forward and backward are the same.
    package var dropout:
        @Sendable (
            _ x: TensorView, _ y: TensorView, _ keep: Float, _ threshold: UInt32, _ key: DropoutKey,
            _ accumulate: Bool
        ) -> Void

    /// y ← x · m / keep, with m as for `dropout` but one word for each image: i = `firstWord` + image.
    package var dropConnect:
        @Sendable (
            _ x: TensorView, _ y: TensorView, _ keep: Float, _ threshold: UInt32, _ key: DropoutKey,
            _ accumulate: Bool
        ) -> Void

    // MARK: Resampling

    /// y ← maximum over the window; `taps` (a byte for each element of y, NHWC dense) records ky · size + kx of the
    /// first maximum in that order. NaN wins. Taps outside the image take no part.
    package var maxPool:
        @Sendable (_ x: TensorView, _ y: TensorView, _ taps: UnsafeMutablePointer<UInt8>, _ window: PoolingWindow) ->
            Void
    /// dx ← sum of dy over the windows whose maximum the element was, windows ascending by (row, column), from 0.
    package var maxPoolBackward:
        @Sendable (
            _ dy: TensorView, _ taps: UnsafePointer<UInt8>, _ dx: TensorView, _ window: PoolingWindow,
            _ accumulate: Bool
        ) -> Void
    /// y ← mean over the window: the sum over its taps inside the image, by (ky, kx) ascending from 0, divided by the
    /// product of the two axes' `PoolingWindow.divisor`.
    package var averagePool: @Sendable (_ x: TensorView, _ y: TensorView, _ window: PoolingWindow) -> Void
    /// dx ← sum of dy / divisor over the windows that the element is in, windows ascending by (row, column), from 0.
    package var averagePoolBackward:
        @Sendable (_ dy: TensorView, _ dx: TensorView, _ window: PoolingWindow, _ accumulate: Bool) -> Void
    /// y[n, 0, 0, c] ← mean over the image: pixel blocks restart at each image; block sum / count in `Double`, rounded.
    package var globalAveragePool: @Sendable (_ x: TensorView, _ y: TensorView) -> Void
    /// dx ← dy[n, 0, 0, c] · (1 / count).
    package var globalAveragePoolBackward: @Sendable (_ dy: TensorView, _ dx: TensorView, _ accumulate: Bool) -> Void
    /// y(n, i, j) ← x(n, i / factor, j / factor).
    package var upsampleNearest: @Sendable (_ x: TensorView, _ y: TensorView, _ factor: Int) -> Void
    /// dx ← sum over the factor² elements, rows then columns ascending, from the first.
    package var upsampleNearestBackward:
        @Sendable (_ dy: TensorView, _ dx: TensorView, _ factor: Int, _ accumulate: Bool) -> Void
    /// y ← bilinear resampling of x to y's size, PyTorch's `interpolate` without a scale factor. With source
    /// coordinates and weights in `Float` as `BilinearAxis` computes them: rows first (top + (bottom - top) · t by
    /// fma), then columns.
    package var upsampleBilinear: @Sendable (_ x: TensorView, _ y: TensorView, _ alignCorners: Bool) -> Void
    /// dx ← the adjoint: contributions added from 0 in the order of y's elements, each as `BilinearAxis` weighs it.
    package var upsampleBilinearBackward:
        @Sendable (_ dy: TensorView, _ dx: TensorView, _ alignCorners: Bool, _ accumulate: Bool) -> Void

    // MARK: Losses

    /// For each image the `LossSums` of logits against targets (0...1), one channel. Pixels of an image are taken in
    /// runs of 1,024; in a run pixel i adds to `Float` lane i mod 16, ascending from 0 (products by fma); at its end
    /// the lanes are added, in order, to the image's sum in `Double`.
    package var lossSums:
        @Sendable (
            _ logits: TensorView, _ targets: TensorView, _ focalGamma: Float,
            _ sums: UnsafeMutablePointer<LossSums>
        ) -> Void
    /// dlogits ← c.cross · (p - t) + (c.target · t + c.probability · p + c.constant) · p(1 - p) + c.focal · focal′, with
    /// p = sigmoid(logit), t = target and `c` the image's coefficients.
    package var lossGradient:
        @Sendable (
            _ logits: TensorView, _ targets: TensorView, _ focalGamma: Float,
            _ coefficients: UnsafePointer<LossCoefficients>, _ dlogits: TensorView
        ) -> Void

    // MARK: Vectors: sums and optimizers

    /// a[i] ← a[i] + b[i].
    package var addVectors:
        @Sendable (_ a: UnsafeMutablePointer<Float>, _ b: UnsafePointer<Float>, _ count: Int) -> Void
    /// y[i] ← a[i] + b[i].
    package var sumVectors:
        @Sendable (
            _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, _ y: UnsafeMutablePointer<Float>, _ count: Int
        ) -> Void
    /// y[i] ← r(r(a[i]) + r(b[i])), r being the rounding to bfloat16 of `BFloat16.bits`; y may be a or b.
    package var sumRounded:
        @Sendable (
            _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, _ y: UnsafeMutablePointer<Float>, _ count: Int
        ) -> Void
    /// x[i] ← r(x[i]), r as above.
    package var roundVector: @Sendable (_ x: UnsafeMutablePointer<Float>, _ count: Int) -> Void
    /// y[i] ← the bits of r(x[i]), r as above.
    package var packVector:
        @Sendable (_ x: UnsafePointer<Float>, _ y: UnsafeMutablePointer<UInt16>, _ count: Int) -> Void
    /// y[i] ← the value of the bfloat16 x[i].
    package var unpackVector:
        @Sendable (_ x: UnsafePointer<UInt16>, _ y: UnsafeMutablePointer<Float>, _ count: Int) -> Void
    /// Σ x² over at most 65,536 elements: 16 `Double` lanes, lane i mod 16, fma chain ascending; the lanes added in
    /// order. Callers add the blocks of a longer vector in order.
    package var sumOfSquares: @Sendable (_ x: UnsafePointer<Float>, _ count: Int) -> Double
    /// One step of SGD over `count` elements, with g = gradient · gradientScale (+ weightDecay · w by fma); see
    /// `SGDStep`.
    package var sgd:
        @Sendable (
            _ w: UnsafeMutablePointer<Float>, _ gradient: UnsafePointer<Float>,
            _ momentum: UnsafeMutablePointer<Float>, _ count: Int, _ step: SGDStep
        ) -> Void
    /// One step of Adam or AdamW over `count` elements; see `AdamStep`.
    package var adam:
        @Sendable (
            _ w: UnsafeMutablePointer<Float>, _ gradient: UnsafePointer<Float>, _ m: UnsafeMutablePointer<Float>,
            _ v: UnsafeMutablePointer<Float>, _ count: Int, _ step: AdamStep
        ) -> Void
    /// average[i] ← fma(w[i] - average[i], weight, average[i]): exponential moving average of weights.
    package var movingAverage:
        @Sendable (
            _ average: UnsafeMutablePointer<Float>, _ w: UnsafePointer<Float>, _ weight: Float, _ count: Int
        ) -> Void
}

/// The random numbers of one dropout operator in one microbatch.
package struct DropoutKey: Hashable, Sendable {
    package var seed: UInt64
    package var step: UInt32
    /// The microbatch's index in its global batch.
    package var position: UInt32
    /// The first word of the sequence that this operator uses: operators of one graph use disjoint words.
    package var firstWord: Int

    package init(seed: UInt64, step: UInt32, position: UInt32, firstWord: Int) {
        self.seed = seed
        self.step = step
        self.position = position
        self.firstWord = firstWord
    }
}

/// What the gradient of an activation is computed from; see `Activation`.
package struct ActivationGradient {
    package var activation: Activation
    /// The activation's output: for `relu` and `leakyReLU`.
    package var y: TensorView?
    /// For `silu`: z is fma(x, scale[c], shift[c]), computed once more.
    package var scale: UnsafePointer<Float>?
    package var shift: UnsafePointer<Float>?

    package init(
        _ activation: Activation,
        y: TensorView? = nil,
        scale: UnsafePointer<Float>? = nil,
        shift: UnsafePointer<Float>? = nil
    ) {
        self.activation = activation
        self.y = y
        self.scale = scale
        self.shift = shift
    }
}

/// A square pooling window.
package struct PoolingWindow: Hashable, Sendable {
    package var size: Int
    package var stride: Int
    package var padding: Int
    /// Whether a last window may begin at the end of the image and reach past it, as PyTorch's `ceil_mode`.
    package var ceilMode: Bool
    /// Whether an average counts the padding, as PyTorch's `count_include_pad`.
    package var countsPadding: Bool

    package init(size: Int, stride: Int, padding: Int = 0, ceilMode: Bool = false, countsPadding: Bool = true) {
        self.size = size
        self.stride = stride
        self.padding = padding
        self.ceilMode = ceilMode
        self.countsPadding = countsPadding
    }

    /// Rows or columns of the output for an input of `extent`.
    package func outputExtent(_ extent: Int) -> Int {
        let room = extent + 2 * padding - size
        guard ceilMode else { return room / stride + 1 }
        let count = (room + stride - 1) / stride + 1
        // The last window begins inside the image or in the padding before it.
        return (count - 1) * stride >= extent + padding ? count - 1 : count
    }

    /// What an average's sum is divided by along one axis: the window's part of the image of `extent`, with the padding
    /// where that counts.
    package func divisor(_ output: Int, extent: Int) -> Int {
        let start = output * stride - padding
        return countsPadding
            ? min(start + size, extent + padding) - start : min(start + size, extent) - max(start, 0)
    }
}

/// The sums over one image from which every segmentation loss is made; p = sigmoid(logit), t = target.
package struct LossSums: Hashable, Sendable {
    /// Σ max(x, 0) - x·t + log(1 + e^-|x|): binary cross-entropy on logits x.
    package var crossEntropy: Double = 0
    /// Σ -(1 - q)^γ log q with q = p where t ≥ 0.5, else 1 - p.
    package var focal: Double = 0
    package var probability: Double = 0
    package var target: Double = 0
    /// Σ p·t.
    package var intersection: Double = 0
    /// Σ p².
    package var squaredProbability: Double = 0
    /// Σ t².
    package var squaredTarget: Double = 0

    package init() {}
}

/// The coefficients of `KernelTable.lossGradient` for one image.
package struct LossCoefficients: Hashable, Sendable {
    package var cross: Float = 0
    package var target: Float = 0
    package var probability: Float = 0
    package var constant: Float = 0
    package var focal: Float = 0

    package init() {}
}

/// One step of SGD, all values as the coordinator sent them.
///
/// g ← fma(weightDecay, w, gradient · gradientScale); where momentum ≠ 0: buffer ← g in the first step, else
/// fma(momentum, buffer, g); g ← buffer, or fma(momentum, buffer, g) with Nesterov;
/// w ← fma(-learningRate, g, w).
package struct SGDStep: Hashable, Sendable {
    package var learningRate: Float
    package var momentum: Float
    package var weightDecay: Float
    package var nesterov: Bool
    package var firstStep: Bool
    package var gradientScale: Float

    package init(
        learningRate: Float,
        momentum: Float,
        weightDecay: Float,
        nesterov: Bool,
        firstStep: Bool,
        gradientScale: Float
    ) {
        self.learningRate = learningRate
        self.momentum = momentum
        self.weightDecay = weightDecay
        self.nesterov = nesterov
        self.firstStep = firstStep
        self.gradientScale = gradientScale
    }
}

/// One step of Adam, in the order of PyTorch's single-tensor implementation.
///
/// w ← w · decay (AdamW; 1 for Adam); g ← fma(weightDecay, w, gradient · gradientScale) (Adam's L2 term; 0 for
/// AdamW); m ← fma(g - m, oneMinusBeta1, m); v ← fma(g · oneMinusBeta2, g, v · beta2);
/// w ← fma(-stepSize, m / (√v / rootCorrection2 + epsilon), w), with stepSize = learningRate / (1 - β₁ᵗ) and
/// rootCorrection2 = √(1 - β₂ᵗ), both computed in `Double` by the coordinator and rounded once.
package struct AdamStep: Hashable, Sendable {
    package var stepSize: Float
    package var oneMinusBeta1: Float
    package var beta2: Float
    package var oneMinusBeta2: Float
    package var epsilon: Float
    package var rootCorrection2: Float
    package var weightDecay: Float
    package var decay: Float
    package var gradientScale: Float

    package init(
        stepSize: Float,
        oneMinusBeta1: Float,
        beta2: Float,
        oneMinusBeta2: Float,
        epsilon: Float,
        rootCorrection2: Float,
        weightDecay: Float,
        decay: Float,
        gradientScale: Float
    ) {
        self.stepSize = stepSize
        self.oneMinusBeta1 = oneMinusBeta1
        self.beta2 = beta2
        self.oneMinusBeta2 = oneMinusBeta2
        self.epsilon = epsilon
        self.rootCorrection2 = rootCorrection2
        self.weightDecay = weightDecay
        self.decay = decay
        self.gradientScale = gradientScale
    }
}
