import CIntrinsics
import Kernels

// Dense convolutions over bfloat16, forward and back to the input: both gather, as those over `Float` do. Weights are
// rounded and packed in pairs of source channels on the way, as many blocks at once as stay in the cache.

@Sendable func dotConvolution(
    x: TensorView,
    weights: UnsafePointer<Float>,
    bias: UnsafePointer<Float>?,
    y: TensorView,
    geometry g: ConvolutionGeometry,
    relu: Bool,
    scratch: UnsafeMutableRawPointer
) {
    let before = pleura_flush_denormals()
    if g.usesWinograd(for: .bfloat16) {
        winograd(
            WinogradJob(
                source: x,
                destination: y,
                weights: weights,
                bias: bias,
                inputChannels: g.inputChannels,
                transposed: false,
                relu: relu,
                accumulate: false,
                plan: g.winogradPlan(.forward, for: .bfloat16, images: x.images, height: x.height, width: x.width),
                scratch: scratch.assumingMemoryBound(to: Float.self)
            )
        )
        pleura_restore_denormals(before)
        return
    }
    let plan = DotScratch.gather(g, .forward, images: x.images, height: x.height, width: x.width)
    if let unrolled = plan.unrolled {
        dotUnrolled(x, weights, bias, y, g, relu, unrolled, scratch, scratch + plan.rows)
        pleura_restore_denormals(before)
        return
    }
    let packed = (scratch + plan.weights).assumingMemoryBound(to: Int32.self)
    var job = DotClass(
        source: x,
        sourceStep: g.stride,
        sourceColumnStep: g.stride,
        destination: y,
        destinationStep: 1,
        firstRow: 0,
        firstColumn: 0,
        rows: y.height,
        columns: y.width,
        channels: g.outputChannels,
        bias: bias,
        relu: relu,
        accumulate: false,
        weights: packed,
        blockStride: DotScratch.blockBytes(depth: x.channels, taps: g.taps) / 4
    )
    let step = 16 * DotScratch.blocksAtOnce(depth: x.channels, taps: g.taps, outputs: g.outputChannels)
    var taps = TapTable()
    var ky = 0
    while ky < g.kernelHeight {
        var kx = 0
        while kx < g.kernelWidth {
            taps.append(
                row: ky * g.dilation - g.padding,
                column: kx * g.dilation - g.padding,
                weights: (ky * g.kernelWidth + kx) * job.pairs * 16
            )
            kx += 1
        }
        ky += 1
    }
    #if AVX512
        if let planes = plan.planes {
            packForward(weights, g, 0, g.outputChannels, packed)
            dotPlanes(job, taps, planes, scratch + plan.rows)
            pleura_restore_denormals(before)
            return
        }
    #endif
    while job.firstChannel < g.outputChannels {
        job.lastChannel = min(job.firstChannel + step, g.outputChannels)
        packForward(weights, g, job.firstChannel, job.lastChannel, packed)
        dotGather(job, taps)
        job.firstChannel += step
    }
    pleura_restore_denormals(before)
}

@Sendable func dotConvolutionBackwardInput(
    dy: TensorView,
    weights: UnsafePointer<Float>,
    bias: UnsafePointer<Float>?,
    dx: TensorView,
    geometry g: ConvolutionGeometry,
    relu: Bool,
    accumulate: Bool,
    scratch: UnsafeMutableRawPointer
) {
    let before = pleura_flush_denormals()
    if g.usesWinograd(for: .bfloat16) {
        winograd(
            WinogradJob(
                source: dy,
                destination: dx,
                weights: weights,
                bias: bias,
                inputChannels: g.inputChannels,
                transposed: true,
                relu: relu,
                accumulate: accumulate,
                plan: g.winogradPlan(
                    .backwardInput,
                    for: .bfloat16,
                    images: dx.images,
                    height: dx.height,
                    width: dx.width
                ),
                scratch: scratch.assumingMemoryBound(to: Float.self)
            )
        )
        pleura_restore_denormals(before)
        return
    }
    let plan = DotScratch.gather(g, .backwardInput, images: dx.images, height: dx.height, width: dx.width)
    let packed = (scratch + plan.weights).assumingMemoryBound(to: Int32.self)
    var job = DotClass(
        source: dy,
        sourceStep: 1,
        sourceColumnStep: 1,
        destination: dx,
        destinationStep: g.stride,
        firstRow: 0,
        firstColumn: 0,
        rows: 0,
        columns: 0,
        channels: g.inputChannels,
        bias: bias,
        relu: relu,
        accumulate: accumulate,
        weights: packed,
        blockStride: DotScratch.blockBytes(depth: dy.channels, taps: g.taps) / 4
    )
    let step = 16 * DotScratch.blocksAtOnce(depth: dy.channels, taps: g.taps, outputs: g.inputChannels)
    if plan.planes == nil || !usesPlanes { job.source = evenChannels(dy, scratch) }
    while job.firstChannel < g.inputChannels {
        job.lastChannel = min(job.firstChannel + step, g.inputChannels)
        packBackward(weights, g, job.firstChannel, job.lastChannel, packed)
        backwardClasses(job, g, plan.planes, scratch + plan.rows)
        job.firstChannel += step
    }
    pleura_restore_denormals(before)
}

#if AVX512
    let usesPlanes = true
#else
    let usesPlanes = false
#endif

/// The pixels of each (row mod stride, column mod stride) have taps of their own.
func backwardClasses(
    _ pass: DotClass,
    _ g: ConvolutionGeometry,
    _ planes: DotScratch.Planes?,
    _ scratch: UnsafeMutableRawPointer
) {
    var job = pass
    while job.firstRow < min(g.stride, job.destination.height) {
        job.rows = (job.destination.height - job.firstRow + g.stride - 1) / g.stride
        job.firstColumn = 0
        while job.firstColumn < min(g.stride, job.destination.width) {
            job.columns = (job.destination.width - job.firstColumn + g.stride - 1) / g.stride
            var taps = TapTable()
            var ky = 0
            while ky < g.kernelHeight {
                let y = job.firstRow + g.padding - ky * g.dilation
                var kx = 0
                while kx < g.kernelWidth {
                    let x = job.firstColumn + g.padding - kx * g.dilation
                    if y % g.stride == 0 && x % g.stride == 0 {
                        taps.append(
                            row: y / g.stride,
                            column: x / g.stride,
                            weights: (ky * g.kernelWidth + kx) * job.pairs * 16
                        )
                    }
                    kx += 1
                }
                ky += 1
            }
            #if AVX512
                if let planes { dotPlanes(job, taps, planes, scratch) } else { dotGather(job, taps) }
            #else
                dotGather(job, taps)
            #endif
            job.firstColumn += 1
        }
        job.firstRow += 1
    }
}

// MARK: Packing

/// `view`, or where it has an odd count of channels a copy in `scratch` with a zero more.
func evenChannels(_ view: TensorView, _ scratch: UnsafeMutableRawPointer) -> TensorView {
    if view.channels & 1 == 0 { return view }
    let target = scratch.assumingMemoryBound(to: Element.self)
    let channels = view.channels + 1
    let pixels = view.pixels
    var pixel = 0
    while pixel < pixels {
        let source = view.base + pixel * view.pixelStride
        let place = target + pixel * channels
        var channel = 0
        while channel < view.channels {
            place[channel] = source[channel]
            channel += 1
        }
        place[channel] = 0
        pixel += 1
    }
    return TensorView(
        scratch,
        images: view.images,
        height: view.height,
        width: view.width,
        channels: channels
    )
}

/// Output channels `first` ..< `last`: `[block][taps][pairs of input channels][16 outputs]`.
func packForward(
    _ weights: UnsafePointer<Float>,
    _ g: ConvolutionGeometry,
    _ first: Int,
    _ last: Int,
    _ packed: UnsafeMutablePointer<Int32>
) {
    let rows = g.taps * ((last - first + 15) / 16)
    var source = weights + first / 16 * g.taps * g.inputChannels * 16
    var target = packed
    var row = 0
    while row < rows {
        var channel = 0
        while channel < g.inputChannels {
            let odd = channel + 1 < g.inputChannels ? load(source + 16) : Lanes(repeating: 0)
            let pairs = pleura_round_pairs(load(source), odd)
            UnsafeMutableRawPointer(target).storeBytes(of: pairs, as: Pairs.self)
            source += channel + 1 < g.inputChannels ? 32 : 16
            target += 16
            channel += 2
        }
        row += 1
    }
}

/// Input channels `first` ..< `last`: `[block][taps][pairs of output channels][16 inputs]`.
func packBackward(
    _ weights: UnsafePointer<Float>,
    _ g: ConvolutionGeometry,
    _ first: Int,
    _ last: Int,
    _ packed: UnsafeMutablePointer<Int32>
) {
    let pairs = (g.outputChannels + 1) / 2
    var input = first
    var target = packed
    while input < last {
        let inputs = min(16, g.inputChannels - input)
        var tap = 0
        while tap < g.taps {
            var output = 0
            while output < g.outputChannels {
                let source = weights + ((output / 16 * g.taps + tap) * g.inputChannels + input) * 16
                pleura_transpose_pairs(source, inputs, target + output / 2 * 16, min(8, pairs - output / 2))
                output += 16
            }
            target += pairs * 16
            tap += 1
        }
        input += 16
    }
}

// MARK: Gathering

/// The outputs (firstRow + r · destinationStep, firstColumn + c · destinationStep) for r < rows, c < columns of every
/// image, channels firstChannel ..< lastChannel; tap t of output (r, c) reads source (r · sourceStep + taps.rows[t],
/// c · sourceColumnStep + taps.columns[t]).
struct DotClass {
    var source: TensorView
    var sourceStep: Int
    var sourceColumnStep: Int
    var destination: TensorView
    var destinationStep: Int
    var firstRow: Int
    var firstColumn: Int
    var rows: Int
    var columns: Int
    /// Of the destination.
    var channels: Int
    var bias: UnsafePointer<Float>?
    var relu: Bool
    var accumulate: Bool
    /// Packed, from `firstChannel` on.
    var weights: UnsafePointer<Int32>
    /// From a block of 16 channels to the next, in pairs.
    var blockStride: Int
    var firstChannel = 0
    var lastChannel = 0

    var pairs: Int { (source.channels + 1) / 2 }
}
