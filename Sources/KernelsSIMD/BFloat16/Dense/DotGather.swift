import CIntrinsics
import Kernels

/// The tiles of one class. Blocks of tiles go through all of its channels, so that the sources stay in the cache.
func dotGather(_ job: DotClass, _ taps: TapTable) {
    let count = job.lastChannel - job.firstChannel
    let isTall = count <= 16
    let size = isTall ? GatherTile.tallPixels : GatherTile.pixels
    let most = min(Int(PLEURA_TILES * PLEURA_TILE_PIXELS) / size, Int(PLEURA_POINTERS) / max(1, taps.count * size))
    let tiles = max(1, most)
    let sources = UnsafeMutableRawPointer(pleura_sources()).assumingMemoryBound(to: UnsafePointer<Int32>.self)
    let outputs = UnsafeMutableRawPointer(pleura_outputs())
        .assumingMemoryBound(to: UnsafeMutablePointer<Element>.self)
    let total = job.destination.images * job.rows * job.columns
    var first = 0
    while first < total {
        let pixels = min(tiles * size, total - first)
        job.locate(first: first, count: pixels, size: size, taps: taps, sources: sources, outputs: outputs)
        var channel = 0
        while channel < count {
            #if AVX512
                let isWide = count - channel > 16
            #else
                let isWide = false
            #endif
            var tile = GatherTile(
                pointers: sources,
                outputs: outputs,
                weightOffsets: taps.weights,
                weights: job.weights + channel / 16 * job.blockStride,
                blockStride: job.blockStride,
                taps: taps.count,
                depth: job.pairs,
                bias: job.bias,
                valid: 0,
                channels: count - channel,
                relu: job.relu,
                accumulate: job.accumulate
            )
            if let bias = job.bias { tile.bias = bias + job.firstChannel + channel }
            var done = 0
            while done < pixels {
                tile.valid = min(size, pixels - done)
                tile.run(isWide: isWide, isTall: isTall)
                tile.pointers += taps.count * size
                tile.outputs += size
                done += size
            }
            // The outputs advance with the channels.
            let step = isWide ? 32 : 16
            var pixel = 0
            while pixel < pixels {
                outputs[pixel] += step
                pixel += 1
            }
            channel += step
        }
        first += pixels
    }
}

extension GatherTile {
    #if AVX512
        @inline(never)
        static func tall(_ job: GatherTile) { job.run(TwentyFour<Row1>.self) }
    #endif

    @inline(__always)
    func run(isWide: Bool, isTall: Bool) {
        #if AVX512
            if isTall {
                GatherTile.tall(self)
            } else if isWide {
                GatherTile.wide(self)
            } else {
                GatherTile.narrow(self)
            }
        #else
            GatherTile.narrow(self)
        #endif
    }
}

extension DotClass {
    /// Fills `sources` (`[tiles][taps][size]`) and `outputs` (`[tiles · size]`, at `firstChannel`) for outputs `first` ..<
    /// `first + count` of the class, counted over (image, r, c).
    func locate(
        first: Int,
        count: Int,
        size: Int,
        taps: TapTable,
        sources: UnsafeMutablePointer<UnsafePointer<Int32>>,
        outputs: UnsafeMutablePointer<UnsafeMutablePointer<Element>>
    ) {
        let zeros = UnsafeRawPointer(pleura_zeros()).assumingMemoryBound(to: Int32.self)
        var image = first / (rows * columns)
        var r = (first - image * rows * columns) / columns
        var c = first - image * rows * columns - r * columns
        var table = sources
        var done = 0
        while done < count {
            // Pixels of the tile past the last read what the last one reads; their sums are dropped.
            let valid = min(size, count - done)
            var pixel = 0
            while pixel < valid {
                // A run of pixels in one row.
                let run = min(valid - pixel, columns - c)
                var tap = 0
                while tap < taps.count {
                    locate(
                        run,
                        image,
                        row: r * sourceStep + taps.rows[tap],
                        column: c * sourceColumnStep + taps.columns[tap],
                        zeros,
                        table + tap * size + pixel
                    )
                    tap += 1
                }
                let row = image * destination.height + firstRow + r * destinationStep
                let column = firstColumn + c * destinationStep
                let output =
                    destination.base + (row * destination.width + column) * destination.pixelStride + firstChannel
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
            }
            while pixel < size {
                var tap = 0
                while tap < taps.count {
                    table[tap * size + pixel] = table[tap * size + valid - 1]
                    tap += 1
                }
                pixel += 1
            }
            table += taps.count * size
            done += size
        }
    }

    /// The sources of `run` pixels for one tap, from (row, column) on.
    @inline(__always)
    private func locate(
        _ run: Int,
        _ image: Int,
        row: Int,
        column: Int,
        _ zeros: UnsafePointer<Int32>,
        _ entries: UnsafeMutablePointer<UnsafePointer<Int32>>
    ) {
        var k = 0
        if row < 0 || row >= source.height {
            while k < run {
                entries[k] = zeros
                k += 1
            }
            return
        }
        let place = ((image * source.height + row) * source.width + column) * source.pixelStride
        let start = UnsafeRawPointer(source.base + place)
        let step = 2 * sourceColumnStep * source.pixelStride
        if column >= 0 && column + (run - 1) * sourceColumnStep < source.width {
            while k < run {
                entries[k] = (start + k * step).assumingMemoryBound(to: Int32.self)
                k += 1
            }
            return
        }
        while k < run {
            let inside = column + k * sourceColumnStep >= 0 && column + k * sourceColumnStep < source.width
            entries[k] = inside ? (start + k * step).assumingMemoryBound(to: Int32.self) : zeros
            k += 1
        }
    }
}
