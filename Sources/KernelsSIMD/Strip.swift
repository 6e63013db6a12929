import Kernels

// Convolutions with groups gather: an output is a sum over taps of a source. Outputs are taken in strips of a row whose
// taps all lie inside the source, and one by one where they do not.

/// The taps along one axis: tap j (counted from 0) of output o reads source o · sourceStep + offset + j · offsetStep,
/// with the kernel's element first + j · step.
struct TapAxis {
    var first = 0
    var step = 1
    var count = 0
    var offset = 0
    var offsetStep = 0
    var sourceStep = 1
    /// Rows or columns of the source.
    var source = 0

    /// The taps of a convolution's forward pass.
    static func forward(_ kernel: Int, _ g: ConvolutionGeometry, source: Int) -> TapAxis {
        var axis = TapAxis()
        axis.count = kernel
        axis.offset = -g.padding
        axis.offsetStep = g.dilation
        axis.sourceStep = g.stride
        axis.source = source
        return axis
    }

    /// The taps that reach inputs `phase`, `phase` + stride, … in the pass back to the input.
    static func backward(_ kernel: Int, _ g: ConvolutionGeometry, phase: Int, source: Int) -> TapAxis {
        var axis = TapAxis()
        axis.source = source
        var tap = 0
        while tap < kernel {
            let place = phase + g.padding - tap * g.dilation
            if place % g.stride == 0 {
                if axis.count == 0 {
                    axis.first = tap
                    axis.offset = place / g.stride
                } else if axis.count == 1 {
                    axis.step = tap - axis.first
                    axis.offsetStep = place / g.stride - axis.offset
                }
                axis.count += 1
            }
            tap += 1
        }
        return axis
    }

    /// The taps low ..< high of output `index` lie inside the source.
    @inline(__always)
    func inside(_ index: Int) -> (low: Int, high: Int) {
        let start = index * sourceStep + offset
        var low = 0
        while low < count && (start + low * offsetStep < 0 || start + low * offsetStep >= source) { low += 1 }
        var high = low
        while high < count && start + high * offsetStep >= 0 && start + high * offsetStep < source { high += 1 }
        return (low, high)
    }

    /// Whether all taps of outputs `index` ..< `index` + `length` lie inside the source.
    @inline(__always)
    func contains(_ index: Int, length: Int) -> Bool {
        let start = index * sourceStep + offset
        let reach = (count - 1) * offsetStep
        let low = start + min(0, reach)
        let high = start + (length - 1) * sourceStep + max(0, reach)
        return count > 0 && low >= 0 && high < source
    }
}

/// Outputs of one row at equal steps, all with the same taps, over all channels.
struct Strip {
    /// The source at the first output's first tap.
    var source: UnsafePointer<Element>
    /// Elements of source between rows of taps, columns of taps, and outputs.
    var rowStep = 0
    var columnStep = 0
    var outputSourceStep = 0
    var rows = 0
    var columns = 0
    /// The first tap's weights of the first block of channels; floats between rows and columns of taps, and blocks.
    var weights: UnsafePointer<Float>
    var weightRowStep = 0
    var weightColumnStep = 0
    var blockStride = 0
    var output: UnsafeMutablePointer<Element>
    var outputStep = 0
    var channels = 0
    var bias: UnsafePointer<Float>?
    var relu = false
    var accumulate = false
    /// Whether the sums are stored as they are.
    var isPlain = false
    /// Output and source channels of a group.
    var outputsPerGroup = 1
    var inputsPerGroup = 1

    /// Puts the sums of output `index` at `channel`.
    @inline(__always)
    borrowing func finish(_ sum: Lanes, _ index: Int, _ channel: Int) {
        var value = sum
        if let bias { value += load(bias + channel) }
        if relu { value = clampBelow(value) }
        let place = output + index * outputStep + channel
        storeLanes(accumulate ? load(place) + value : value, place, channels - channel)
    }

    /// The sums of outputs 0 ..< 4.
    @inline(__always)
    borrowing func finish(_ sum: (Lanes, Lanes, Lanes, Lanes), _ channel: Int) {
        if isPlain, channel + 16 <= channels {
            let step = outputStep
            let place = output + channel
            storeLanes(sum.0, place)
            storeLanes(sum.1, place + step)
            storeLanes(sum.2, place + 2 * step)
            storeLanes(sum.3, place + 3 * step)
            return
        }
        // One call in a loop: the compiler stops inlining in functions of many blocks.
        var index = 0
        while index < 4 {
            finish(index == 0 ? sum.0 : (index == 1 ? sum.1 : (index == 2 ? sum.2 : sum.3)), index, channel)
            index += 1
        }
    }

    /// The same outputs from the last to the first.
    func reversed(length: Int) -> Strip {
        var strip = self
        strip.source += (length - 1) * outputSourceStep
        strip.outputSourceStep = -outputSourceStep
        strip.output += (length - 1) * outputStep
        strip.outputStep = -outputStep
        return strip
    }
}

/// A gathering convolution with groups: the outputs (firstRow + r · step, firstColumn + c · step) of every image.
struct GroupedJob {
    var source: TensorView
    var destination: TensorView
    var rows: TapAxis
    var columns: TapAxis
    var firstRow = 0
    var firstColumn = 0
    var step = 1
    var weights: UnsafePointer<Float>
    var kernelWidth: Int
    var taps: Int
    /// Source channels of a group: the depth of the sums; and output channels.
    var inputsPerGroup: Int
    var outputsPerGroup: Int
    var bias: UnsafePointer<Float>?
    var relu = false
    var accumulate = false
}

/// The most outputs of a strip: as many sums as the registers hold.
#if AVX512
    let stripLength = 8
#else
    let stripLength = 4
#endif

/// Runs a job strip by strip.
func runStrips(_ job: GroupedJob) {
    let rowCount = (job.destination.height - job.firstRow + job.step - 1) / job.step
    let columnCount = (job.destination.width - job.firstColumn + job.step - 1) / job.step
    let stride = job.source.pixelStride
    let depthwise = job.inputsPerGroup == 1 && job.outputsPerGroup == 1
    var strip = Strip(source: UnsafePointer(job.source.base), weights: job.weights, output: job.destination.base)
    strip.rowStep = job.rows.offsetStep * job.source.width * stride
    strip.columnStep = job.columns.offsetStep * stride
    strip.outputSourceStep = job.columns.sourceStep * stride
    strip.weightRowStep = job.rows.step * job.kernelWidth * job.inputsPerGroup * 16
    strip.weightColumnStep = job.columns.step * job.inputsPerGroup * 16
    strip.blockStride = job.taps * job.inputsPerGroup * 16
    strip.outputStep = job.step * job.destination.pixelStride
    strip.channels = job.destination.channels
    strip.bias = job.bias
    strip.relu = job.relu
    strip.accumulate = job.accumulate
    strip.isPlain = job.bias == nil && !job.relu && !job.accumulate
    strip.outputsPerGroup = job.outputsPerGroup
    strip.inputsPerGroup = job.inputsPerGroup

    var image = 0
    while image < job.destination.images {
        var r = 0
        while r < rowCount {
            let (lowRow, highRow) = job.rows.inside(r)
            let row = r * job.rows.sourceStep + job.rows.offset + lowRow * job.rows.offsetStep
            // Where no row is inside, the pointer is not used.
            let sourceRow = (image * job.source.height + (lowRow < highRow ? row : 0)) * job.source.width
            let outputRow =
                (image * job.destination.height + job.firstRow + r * job.step) * job.destination.width
                + job.firstColumn
            let rowWeights =
                job.weights + (job.rows.first + lowRow * job.rows.step) * job.kernelWidth * job.inputsPerGroup * 16
            strip.rows = highRow - lowRow
            var c = 0
            while c < columnCount {
                var length = 1
                if c + stripLength <= columnCount && job.columns.contains(c, length: stripLength) {
                    length = stripLength
                } else if c + 4 <= columnCount && job.columns.contains(c, length: 4) {
                    length = 4
                }
                let (low, high) = length > 1 ? (0, job.columns.count) : job.columns.inside(c)
                strip.columns = high - low
                let column = c * job.columns.sourceStep + job.columns.offset + low * job.columns.offsetStep
                strip.source =
                    UnsafePointer(job.source.base) + (sourceRow + (low < high ? column : 0)) * stride
                strip.weights = rowWeights + (job.columns.first + low * job.columns.step) * job.inputsPerGroup * 16
                strip.output = job.destination.base + (outputRow + c * job.step) * job.destination.pixelStride
                if depthwise {
                    depthwiseStrip(strip, length)
                } else {
                    groupedStrip(strip, length)
                }
                c += length
            }
            r += 1
        }
        image += 1
    }
}

@Sendable func groupedConvolution(
    x: TensorView,
    weights: UnsafePointer<Float>,
    bias: UnsafePointer<Float>?,
    y: TensorView,
    geometry g: ConvolutionGeometry,
    relu: Bool
) {
    runStrips(
        GroupedJob(
            source: x,
            destination: y,
            rows: .forward(g.kernelHeight, g, source: x.height),
            columns: .forward(g.kernelWidth, g, source: x.width),
            weights: weights,
            kernelWidth: g.kernelWidth,
            taps: g.taps,
            inputsPerGroup: g.inputsPerGroup,
            outputsPerGroup: g.outputsPerGroup,
            bias: bias,
            relu: relu
        )
    )
}

@Sendable func groupedConvolutionBackwardInput(
    dy: TensorView,
    weights: UnsafePointer<Float>,
    dx: TensorView,
    geometry g: ConvolutionGeometry,
    accumulate: Bool,
    scratch: UnsafeMutableRawPointer
) {
    var transposed = weights
    if !g.isDepthwise {
        let memory = scratch.assumingMemoryBound(to: Float.self)
        transposeGroupedWeights(weights, memory, g)
        transposed = UnsafePointer(memory)
    }
    var job = GroupedJob(
        source: dy,
        destination: dx,
        rows: TapAxis(),
        columns: TapAxis(),
        step: g.stride,
        weights: transposed,
        kernelWidth: g.kernelWidth,
        taps: g.taps,
        inputsPerGroup: g.outputsPerGroup,
        outputsPerGroup: g.inputsPerGroup,
        accumulate: accumulate
    )
    while job.firstRow < min(g.stride, dx.height) {
        job.rows = .backward(g.kernelHeight, g, phase: job.firstRow, source: dy.height)
        job.firstColumn = 0
        while job.firstColumn < min(g.stride, dx.width) {
            job.columns = .backward(g.kernelWidth, g, phase: job.firstColumn, source: dy.width)
            runStrips(job)
            job.firstColumn += 1
        }
        job.firstRow += 1
    }
}
