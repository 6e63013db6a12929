import Kernels

// Convolutions with groups gather: an output is a sum over taps of a source. Outputs are taken in strips of a row; strips
// whose taps do not all lie inside the source, or that are cut short, are at an *edge*.

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

    /// The taps that reach inputs `phase`, `phase` + stride, … in the pass back to the input, from the last to the first,
    /// so that the source's places rise.
    static func backward(_ kernel: Int, _ g: ConvolutionGeometry, phase: Int, source: Int) -> TapAxis {
        var axis = TapAxis()
        axis.source = source
        var tap = kernel - 1
        while tap >= 0 {
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
            tap -= 1
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
    /// The source's columns: that of the first output's first tap, between taps, between outputs, and how many it has.
    var firstColumn = 0
    var tapColumns = 0
    var outputColumns = 1
    var width = 0
    /// The first tap's weights of the first block of channels; floats between rows and columns of taps, and blocks.
    var weights: UnsafePointer<Float>
    var weightRowStep = 0
    var weightColumnStep = 0
    var blockStride = 0
    var output: UnsafeMutablePointer<Element>
    var outputStep = 0
    var channels = 0
    /// The channels to compute, multiples of 16 but for the end.
    var firstChannel = 0
    var lastChannel = 0
    var bias: UnsafePointer<Float>?
    var relu = false
    var accumulate = false
    /// Whether the sums are stored as they are.
    var isPlain = false
    /// Output and source channels of a group.
    var outputsPerGroup = 1
    var inputsPerGroup = 1

    /// Whether source `index`, counted in steps between outputs from the first tap of the first one, exists.
    @inline(__always)
    func isInside(_ index: Int) -> Bool {
        let place = firstColumn + index * outputColumns
        return place >= 0 && place < width
    }

    /// Puts the sums of output `index` at `channel`.
    @inline(__always)
    borrowing func finish(_ sum: Lanes, _ index: Int, _ channel: Int) {
        var value = sum
        if let bias { value += load(bias + channel) }
        if relu { value = clampBelow(value) }
        let place = output + index * outputStep + channel
        storeLanes(accumulate ? load(place) + value : value, place, channels - channel)
    }
}

/// A gathering convolution with groups, forward or back to the input.
struct GroupedJob {
    var source: TensorView
    var destination: TensorView
    var geometry: ConvolutionGeometry
    var isForward: Bool
    var weights: UnsafePointer<Float>
    /// Source channels of a group: the depth of the sums; and output channels.
    var inputsPerGroup: Int
    var outputsPerGroup: Int
    var bias: UnsafePointer<Float>?
    var relu = false
    var accumulate = false

    /// Outputs of a row lie so far apart that have the same taps.
    var step: Int { isForward ? 1 : geometry.stride }

    @inline(__always)
    func rows(phase: Int) -> TapAxis {
        isForward
            ? .forward(geometry.kernelHeight, geometry, source: source.height)
            : .backward(geometry.kernelHeight, geometry, phase: phase, source: source.height)
    }

    @inline(__always)
    func columns(phase: Int) -> TapAxis {
        isForward
            ? .forward(geometry.kernelWidth, geometry, source: source.width)
            : .backward(geometry.kernelWidth, geometry, phase: phase, source: source.width)
    }
}

/// Runs a job, some channels at a time.
func runStrips(_ job: GroupedJob) {
    let width = MemoryLayout<Element>.stride
    let channels = job.destination.channels
    // What stays in the first cache from one row of outputs to the next: sources and weights of a block of channels.
    let sources = job.geometry.kernelHeight * job.source.width * 16 * width
    let weights = job.geometry.taps * job.inputsPerGroup * 64
    var blocks = max(1, (40 << 10) / (sources + weights))
    // Tensors in memory, not in the cache, are read in the order in which they lie.
    let size = (job.source.pixelsPerImage + job.destination.pixelsPerImage) * channels * width
    if size > 12 << 20 && weights * channels < 16 << 20 { blocks = channels }
    var first = 0
    while first < channels {
        let last = min(first + 16 * blocks, channels)
        runStrips(job, firstChannel: first, lastChannel: last)
        first = last
    }
}

/// Runs a job strip by strip: row by row, and where the outputs of a row have different taps, one kind after the other.
func runStrips(_ job: GroupedJob, firstChannel: Int, lastChannel: Int) {
    var strip = Strip(source: UnsafePointer(job.source.base), weights: job.weights, output: job.destination.base)
    strip.outputStep = job.step * job.destination.pixelStride
    strip.blockStride = job.geometry.taps * job.inputsPerGroup * 16
    strip.channels = job.destination.channels
    strip.firstChannel = firstChannel
    strip.lastChannel = lastChannel
    strip.bias = job.bias
    strip.relu = job.relu
    strip.accumulate = job.accumulate
    strip.isPlain = job.bias == nil && !job.relu && !job.accumulate
    strip.outputsPerGroup = job.outputsPerGroup
    strip.inputsPerGroup = job.inputsPerGroup
    let step = job.step
    var image = 0
    while image < job.destination.images {
        var row = 0
        while row < job.destination.height {
            let rows = job.rows(phase: row % step)
            var phase = 0
            while phase < min(step, job.destination.width) {
                runRow(job, &strip, rows, job.columns(phase: phase), image: image, row: row, phase: phase)
                phase += 1
            }
            row += 1
        }
        image += 1
    }
}

/// The outputs `phase`, `phase` + step, … of a row.
func runRow(
    _ job: GroupedJob,
    _ strip: inout Strip,
    _ rows: TapAxis,
    _ columns: TapAxis,
    image: Int,
    row: Int,
    phase: Int
) {
    let step = job.step
    let depthwise = job.inputsPerGroup == 1 && job.outputsPerGroup == 1
    let stride = job.source.pixelStride
    let count = (job.destination.width - phase + step - 1) / step
    let index = row / step
    let (lowRow, highRow) = rows.inside(index)
    // Where no row is inside, the pointer is not used.
    let firstRow = lowRow < highRow ? index * rows.sourceStep + rows.offset + lowRow * rows.offsetStep : 0
    let source =
        UnsafePointer(job.source.base) + (image * job.source.height + firstRow) * job.source.width * stride
    let output =
        job.destination.base + ((image * job.destination.height + row) * job.destination.width + phase)
        * job.destination.pixelStride
    let weightRow = job.geometry.kernelWidth * job.inputsPerGroup * 16
    let weights = job.weights + (rows.first + lowRow * rows.step) * weightRow
    strip.rows = highRow - lowRow
    strip.rowStep = rows.offsetStep * job.source.width * stride
    strip.weightRowStep = rows.step * weightRow
    strip.columnStep = columns.offsetStep * stride
    strip.weightColumnStep = columns.step * job.inputsPerGroup * 16
    strip.outputSourceStep = columns.sourceStep * stride
    strip.columns = columns.count
    strip.weights = weights + columns.first * job.inputsPerGroup * 16
    strip.tapColumns = columns.offsetStep
    strip.outputColumns = columns.sourceStep
    strip.width = job.source.width
    var c = 0
    while c < count {
        strip.firstColumn = c * columns.sourceStep + columns.offset
        strip.source = source + strip.firstColumn * stride
        strip.output = output + c * strip.outputStep
        let length = min(stripLength, count - c)
        let isInside = length == stripLength && columns.contains(c, length: length)
        if depthwise {
            if isInside { depthwiseStrip(strip) } else { depthwiseEdge(strip, length) }
        } else {
            groupedStrip(strip, length, isInside: isInside)
        }
        c += length
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
            geometry: g,
            isForward: true,
            weights: weights,
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
    runStrips(
        GroupedJob(
            source: dy,
            destination: dx,
            geometry: g,
            isForward: false,
            weights: transposed,
            inputsPerGroup: g.outputsPerGroup,
            outputsPerGroup: g.inputsPerGroup,
            accumulate: accumulate
        )
    )
}
