import CIntrinsics
import Kernels

// Convolutions forward and back to the input: both gather.
//
// The output pixels of a *class* read their taps at fixed offsets: forward there is one class; backward one for each
// (row mod stride, column mod stride), whose taps are those that reach it.

@Sendable func convolution(
    x: TensorView,
    weights: UnsafePointer<Float>,
    bias: UnsafePointer<Float>?,
    y: TensorView,
    geometry: ConvolutionGeometry,
    relu: Bool,
    scratch: UnsafeMutableRawPointer
) {
    let g = geometry
    if g.usesWinograd(for: .float32) {
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
                plan: g.winogradPlan(.forward, for: .float32, images: x.images, height: x.height, width: x.width),
                scratch: scratch.assumingMemoryBound(to: Float.self)
            )
        )
    } else if g.sumsInLanes {
        lanedConvolution(x, weights, bias, y, g, relu, scratch.assumingMemoryBound(to: Float.self))
    } else if g.foldsColumns {
        let copy = paddedCopy(x, g, scratch.assumingMemoryBound(to: Float.self))
        directConvolution(copy, weights, bias, y, g.folded, relu)
    } else {
        directConvolution(x, weights, bias, y, g, relu)
    }
}

func directConvolution(
    _ x: TensorView,
    _ weights: UnsafePointer<Float>,
    _ bias: UnsafePointer<Float>?,
    _ y: TensorView,
    _ g: ConvolutionGeometry,
    _ relu: Bool
) {
    let job = GatherClass(
        source: x,
        sourceStep: g.stride,
        destination: y,
        destinationStep: 1,
        firstRow: 0,
        firstColumn: 0,
        rows: y.height,
        columns: y.width,
        weights: weights,
        blockStride: g.taps * g.inputChannels * 16,
        depth: g.inputChannels,
        channels: g.outputChannels,
        bias: bias,
        relu: relu,
        accumulate: false
    )
    var taps = TapTable()
    var ky = 0
    while ky < g.kernelHeight {
        var kx = 0
        while kx < g.kernelWidth {
            taps.append(
                row: ky * g.dilation - g.padding,
                column: kx * g.dilation - g.padding,
                weights: (ky * g.kernelWidth + kx) * g.inputChannels * 16
            )
            kx += 1
        }
        ky += 1
    }
    gather(job, taps)
}

@Sendable func convolutionBackwardInput(
    dy: TensorView,
    weights: UnsafePointer<Float>,
    bias: UnsafePointer<Float>?,
    dx: TensorView,
    geometry: ConvolutionGeometry,
    relu: Bool,
    accumulate: Bool,
    scratch: UnsafeMutableRawPointer
) {
    let g = geometry
    let scratch = scratch.assumingMemoryBound(to: Float.self)
    if g.usesWinograd(for: .float32) {
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
                    for: .float32,
                    images: dx.images,
                    height: dx.height,
                    width: dx.width
                ),
                scratch: scratch
            )
        )
    } else {
        directBackwardInput(dy, weights, bias, dx, g, relu, accumulate, scratch)
    }
}

func directBackwardInput(
    _ dy: TensorView,
    _ weights: UnsafePointer<Float>,
    _ bias: UnsafePointer<Float>?,
    _ dx: TensorView,
    _ g: ConvolutionGeometry,
    _ relu: Bool,
    _ accumulate: Bool,
    _ scratch: UnsafeMutablePointer<Float>
) {
    let panels = TransposedPanels(g)
    var channel = 0
    while channel < g.inputChannels {
        let channels = min(panels.channels, g.inputChannels - channel)
        transposePanels(weights, g, channel: channel, channels: channels, scratch)
        var part = dx
        part.address += 4 * channel
        var job = GatherClass(
            source: dy,
            sourceStep: 1,
            destination: part,
            destinationStep: g.stride,
            firstRow: 0,
            firstColumn: 0,
            rows: 0,
            columns: 0,
            weights: UnsafePointer(scratch),
            blockStride: panels.blockStride,
            depth: g.outputChannels,
            channels: channels,
            bias: bias,
            relu: relu,
            accumulate: accumulate
        )
        if let bias { job.bias = bias + channel }
        gatherClasses(job, g)
        channel += channels
    }
}

/// The classes of a gradient to the input: each (row mod stride, column mod stride) with the taps that reach it.
func gatherClasses(_ whole: GatherClass, _ g: ConvolutionGeometry) {
    var job = whole
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
                            weights: (ky * g.kernelWidth + kx) * g.outputChannels * 16
                        )
                    }
                    kx += 1
                }
                ky += 1
            }
            gather(job, taps)
            job.firstColumn += 1
        }
        job.firstRow += 1
    }
}

/// The weights of input channels `channel` ..< `channel + channels` as `TransposedPanels` lays them out.
func transposePanels(
    _ weights: UnsafePointer<Float>,
    _ g: ConvolutionGeometry,
    channel: Int,
    channels: Int,
    _ target: UnsafeMutablePointer<Float>
) {
    let outputBlocks = ConvolutionGeometry.blocks(g.outputChannels)
    var done = 0
    while done < channels {
        let valid = min(16, channels - done)
        var tap = 0
        while tap < g.taps {
            // Rows past the last output channel are overwritten by the next tap, or fall into the slack.
            let to = target + (done / 16 * g.taps + tap) * g.outputChannels * 16
            var block = 0
            while block < outputBlocks {
                let from = weights + ((block * g.taps + tap) * g.inputChannels + channel + done) * 16
                transposeBlock(from, valid, to + block * 256)
                block += 1
            }
            tap += 1
        }
        done += 16
    }
}

/// The tiles of one class. Blocks of tiles go through all output channels, so that the weights are read once for a
/// block and the sources stay in the cache.
func gather(_ job: GatherClass, _ taps: TapTable) {
    let size = GatherTile.pixels
    let tiles = max(1, min(Int(PLEURA_TILES), Int(PLEURA_POINTERS) / max(1, taps.count * size)))
    let sources = UnsafeMutableRawPointer(pleura_sources()).assumingMemoryBound(to: UnsafePointer<Float>.self)
    let outputs = UnsafeMutableRawPointer(pleura_outputs()).assumingMemoryBound(
        to: UnsafeMutablePointer<Float>.self
    )
    let total = job.destination.images * job.rows * job.columns
    var first = 0
    while first < total {
        let count = min(tiles * size, total - first)
        job.locate(first: first, count: count, taps: taps, sources: sources, outputs: outputs)
        var channel = 0
        while channel < job.channels {
            let wide = GatherTile.blocks == 2 && channel + 16 < job.channels
            var tile = GatherTile(
                pointers: sources,
                outputs: outputs,
                weightOffsets: taps.weights,
                weights: job.weights + (job.isLaned ? channel : channel / 16) * job.blockStride,
                blockStride: job.blockStride,
                taps: taps.count,
                depth: job.depth,
                bias: job.bias,
                valid: 0,
                channels: job.channels - channel,
                relu: job.relu,
                accumulate: job.accumulate
            )
            if let bias = job.bias { tile.bias = bias + channel }
            var done = 0
            while done < count {
                tile.valid = min(size, count - done)
                if job.isLaned { tile.runLaned() } else if wide { tile.runWide() } else { tile.runNarrow() }
                tile.pointers += taps.count * size
                tile.outputs += size
                done += size
            }
            // The outputs advance with the channels.
            let step = job.isLaned ? 1 : wide ? 32 : 16
            var pixel = 0
            while pixel < count {
                outputs[pixel] += step
                pixel += 1
            }
            channel += step
        }
        first += count
    }
}

extension GatherTile {
    @inline(__always)
    borrowing func runWide() {
        #if AVX512
            GatherTile.wide(self)
        #else
            GatherTile.narrow(self)
        #endif
    }

    @inline(__always)
    borrowing func runNarrow() { GatherTile.narrow(self) }

    @inline(__always)
    borrowing func runLaned() { GatherTile.laned(self) }
}

/// The outputs (firstRow + r · destinationStep, firstColumn + c · destinationStep) for r < rows, c < columns of every
/// image; tap t of output (r, c) reads source (r · sourceStep + taps.rows[t], c · sourceStep + taps.columns[t]).
struct GatherClass {
    var source: TensorView
    var sourceStep: Int
    var destination: TensorView
    var destinationStep: Int
    var firstRow: Int
    var firstColumn: Int
    var rows: Int
    var columns: Int
    var weights: UnsafePointer<Float>
    var blockStride: Int
    var depth: Int
    var channels: Int
    var bias: UnsafePointer<Float>?
    var relu: Bool
    var accumulate: Bool
    /// Whether lanes are input channels: then output channels are computed one by one.
    var isLaned = false

    /// Fills `sources` (`[tiles][taps][pixels]`) and `outputs` (`[tiles · pixels]`) for outputs `first` ..< `first + count`
    /// of the class, counted over (image, r, c).
    func locate(
        first: Int,
        count: Int,
        taps: TapTable,
        sources: UnsafeMutablePointer<UnsafePointer<Float>>,
        outputs: UnsafeMutablePointer<UnsafeMutablePointer<Float>>
    ) {
        let size = GatherTile.pixels
        let zeros = pleura_zeros()
        let stride = source.pixelStride
        var image = first / (rows * columns)
        var r = (first - image * rows * columns) / columns
        var c = first - image * rows * columns - r * columns
        var table = sources
        var done = 0
        while done < count {
            // Pixels of the tile past the last read what the last one reads; their sums are dropped.
            var pixel = 0
            let valid = min(size, count - done)
            while pixel < size {
                if pixel == 0 || pixel < valid {
                    // A run of pixels in one row.
                    let run = min(valid - pixel, columns - c)
                    let imageBase = UnsafePointer(source.base) + image * source.height * source.width * stride
                    var tap = 0
                    while tap < taps.count {
                        let row = r * sourceStep + taps.rows[tap]
                        let column = c * sourceStep + taps.columns[tap]
                        let last = column + (run - 1) * sourceStep
                        let entries = table + tap * size + pixel
                        if row < 0 || row >= source.height {
                            var k = 0
                            while k < run {
                                entries[k] = zeros
                                k += 1
                            }
                        } else {
                            let start = imageBase + (row * source.width + column) * stride
                            let step = sourceStep * stride
                            if column >= 0 && last < source.width {
                                var k = 0
                                while k < run {
                                    entries[k] = start + k * step
                                    k += 1
                                }
                            } else {
                                var k = 0
                                while k < run {
                                    let place = column + k * sourceStep
                                    entries[k] = place >= 0 && place < source.width ? start + k * step : zeros
                                    k += 1
                                }
                            }
                        }
                        tap += 1
                    }
                    let row = firstRow + r * destinationStep
                    let output =
                        destination.base
                        + ((image * destination.height + row) * destination.width + firstColumn + c
                            * destinationStep)
                        * destination.pixelStride
                    var k = 0
                    while k < run {
                        outputs[done + pixel + k] = output + k * destinationStep * destination.pixelStride
                        k += 1
                    }
                    pixel += run
                    c += run
                    if c == columns {
                        c = 0
                        r += 1
                        if r == rows {
                            r = 0
                            image += 1
                        }
                    }
                } else {
                    var tap = 0
                    while tap < taps.count {
                        table[tap * size + pixel] = table[tap * size + valid - 1]
                        tap += 1
                    }
                    pixel += 1
                }
            }
            table += taps.count * size
            done += size
        }
    }
}
