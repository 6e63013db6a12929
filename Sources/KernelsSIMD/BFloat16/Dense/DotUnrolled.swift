import CIntrinsics
import Kernels

// Forward convolutions of an odd count of input channels, the first of a network above all: a row of taps and its
// channels are written out side by side, so that no multiplication is lost to padding every tap.

func dotUnrolled(
    _ x: TensorView,
    _ weights: UnsafePointer<Float>,
    _ bias: UnsafePointer<Float>?,
    _ y: TensorView,
    _ g: ConvolutionGeometry,
    _ relu: Bool,
    _ plan: DotScratch.Unrolled,
    _ packed: UnsafeMutableRawPointer,
    _ scratch: UnsafeMutableRawPointer
) {
    let rows = UnrolledRows(x: x, g: g, plan: plan, width: y.width, scratch: scratch)
    // The weights of a row of taps, (kx, input channel), lie side by side already.
    var row = g
    row.inputChannels = g.kernelWidth * g.inputChannels
    row.kernelWidth = 1
    var job = DotClass(
        source: rows.view,
        sourceStep: g.stride,
        sourceColumnStep: 1,
        destination: y,
        destinationStep: 1,
        firstRow: 0,
        firstColumn: 0,
        rows: 0,
        columns: y.width,
        channels: g.outputChannels,
        bias: bias,
        relu: relu,
        accumulate: false,
        weights: packed.assumingMemoryBound(to: Int32.self),
        blockStride: DotScratch.blockBytes(depth: plan.depth, taps: g.kernelHeight) / 4
    )
    let step = 16 * DotScratch.blocksAtOnce(depth: plan.depth, taps: g.kernelHeight, outputs: g.outputChannels)
    var taps = TapTable()
    var ky = 0
    while ky < g.kernelHeight {
        taps.append(row: ky * g.dilation, column: 0, weights: ky * job.pairs * 16)
        ky += 1
    }
    while job.firstChannel < g.outputChannels {
        job.lastChannel = min(job.firstChannel + step, g.outputChannels)
        packForward(weights, row, job.firstChannel, job.lastChannel, packed.assumingMemoryBound(to: Int32.self))
        var image = 0
        while image < y.images {
            var first = 0
            while first < y.height {
                job.rows = min(plan.outputRows, y.height - first)
                let inputRows = (job.rows - 1) * g.stride + (g.kernelHeight - 1) * g.dilation + 1
                rows.fill(image: image, first: first * g.stride - g.padding, count: inputRows)
                let place = (image * y.height + first) * y.width * y.pixelStride
                job.destination = TensorView(
                    y.base + place,
                    images: 1,
                    height: job.rows,
                    width: y.width,
                    channels: y.channels,
                    pixelStride: y.pixelStride
                )
                dotGather(job, taps)
                first += job.rows
            }
            image += 1
        }
        job.firstChannel += step
    }
}

/// Source rows `[row][output column][depth]` in scratch memory.
struct UnrolledRows {
    let x: TensorView
    let g: ConvolutionGeometry
    let plan: DotScratch.Unrolled
    /// Columns of the output.
    let width: Int
    let scratch: UnsafeMutableRawPointer

    /// A source row between zeros.
    var padded: UnsafeMutablePointer<Element> { scratch.assumingMemoryBound(to: Element.self) }

    var view: TensorView {
        TensorView(
            scratch + DotScratch.aligned(2 * plan.paddedRow),
            images: 1,
            height: plan.rows,
            width: width,
            channels: plan.depth
        )
    }

    /// Writes out rows `first` ..< `first + count`, with zeros for those outside the image.
    func fill(image: Int, first: Int, count: Int) {
        let channels = g.inputChannels
        zero(padded, plan.paddedRow)
        let target = view.base
        var row = 0
        while row < count {
            let place = first + row
            let entries = target + row * width * plan.depth
            if place < 0 || place >= x.height {
                zero(entries, width * plan.depth)
            } else {
                copyRow(x.base + (image * x.height + place) * x.width * x.pixelStride)
                var column = 0
                while column < width {
                    let entry = entries + column * plan.depth
                    write(padded + column * g.stride * channels, entry)
                    if plan.depth != g.kernelWidth * channels { entry[plan.depth - 1] = 0 }
                    column += 1
                }
            }
            row += 1
        }
    }

    @inline(__always)
    func zero(_ target: UnsafeMutablePointer<Element>, _ count: Int) {
        var index = 0
        while index < count {
            target[index] = 0
            index += 1
        }
    }

    @inline(__always)
    func copyRow(_ source: UnsafePointer<Element>) {
        let channels = g.inputChannels
        let target = padded + g.padding * channels
        if x.pixelStride == channels {
            pleura_copy(source, target, 2 * x.width * channels)
            return
        }
        var pixel = 0
        while pixel < x.width {
            var channel = 0
            while channel < channels {
                target[pixel * channels + channel] = source[pixel * x.pixelStride + channel]
                channel += 1
            }
            pixel += 1
        }
    }

    /// The taps of one output column.
    @inline(__always)
    func write(_ source: UnsafePointer<Element>, _ entry: UnsafeMutablePointer<Element>) {
        let channels = g.inputChannels
        if g.dilation == 1 {
            // What is written past the end is overwritten by the next column, or lies in the slack.
            var index = 0
            while index < g.kernelWidth * channels {
                pleura_copy(source + index, entry + index, 16)
                index += 8
            }
            return
        }
        var kx = 0
        while kx < g.kernelWidth {
            var channel = 0
            while channel < channels {
                entry[kx * channels + channel] = source[kx * g.dilation * channels + channel]
                channel += 1
            }
            kx += 1
        }
    }
}
