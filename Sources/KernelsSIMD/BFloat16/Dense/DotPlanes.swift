import CIntrinsics
import Kernels

#if AVX512
    // Convolutions of stride 1 to at most 16 channels. With so few, tiles of (pixels × channels) would load more than they
    // multiply; here pixels are the lanes, and weights are broadcast. Source rows are split into planes, one for each pair
    // of channels, in a ring that holds the rows of a row of outputs.

    /// One register tile: sums of some channels and adjacent pixels of a row, each the chain over (tap, pair of
    /// channels) of dot steps.
    struct DotPlaneTile {
        /// For each tap: pair 0 of the source of the row's first output, and the pairs to the next plane.
        var sources: UnsafePointer<UnsafePointer<Int32>>
        var strides: UnsafePointer<Int>
        /// `[taps]`: offsets of the taps' weights from `weights`, in pairs.
        var weightOffsets: UnsafePointer<Int>
        /// `[taps][pairs][16]`, at the tile's first channel.
        var weights: UnsafePointer<Int32>
        var taps: Int
        var pairs: Int
        /// The tile's first output in its row.
        var column: Int
        /// `[channels][pixels]` of the tile.
        var sums: UnsafeMutablePointer<Float>

        /// Adds to the sums, for each pair of channels of each tap, what `add` does with the pixels and the weights.
        @inline(__always)
        func run<Tile: Sums>(_: Tile.Type, _ add: (inout Tile, UnsafePointer<Int32>, UnsafePointer<Int32>) -> Void) {
            var sums = Tile()
            var tap = 0
            while tap < taps {
                var x = sources[tap] + column
                let stride = strides[tap]
                var w = weights + weightOffsets[tap]
                var left = pairs
                repeat {
                    add(&sums, x, w)
                    x += stride
                    w += 16
                    left -= 1
                } while left > 0
                tap += 1
            }
            let target = self.sums
            sums.forEach { row, block, sum in storeLanes(sum, target + 16 * (row * Tile.blocks + block)) }
        }

        /// 8 channels × 32 pixels.
        @inline(never)
        static func eight(_ job: DotPlaneTile) {
            job.run(Eight<Row2>.self) { sums, x, w in sums.add(Row2.load(x, 64)) { repeatWord(w + $0) } }
        }

        /// 1 channel × 256 pixels, of which sixteen each are a row.
        @inline(never)
        static func one(_ job: DotPlaneTile) {
            job.run(Sixteen<Row1>.self) { sums, x, w in sums.add(repeatWord(w)) { loadWords(x + 16 * $0) } }
        }
    }

    /// The ring of planes and what else `dotPlanes` needs, in scratch memory.
    struct PlaneRing {
        let plan: DotScratch.Planes
        let source: TensorView
        /// `[rows][planes][slots]`.
        let rows: UnsafeMutablePointer<Int32>
        let zeros: UnsafeMutablePointer<Int32>
        /// 512 sums, then 16 · 8 pairs twice.
        let sums: UnsafeMutablePointer<Float>
        let words: UnsafeMutablePointer<Int32>

        init(_ plan: DotScratch.Planes, _ source: TensorView, _ scratch: UnsafeMutableRawPointer) {
            self.plan = plan
            self.source = source
            sums = scratch.assumingMemoryBound(to: Float.self)
            words = (scratch + 2048).assumingMemoryBound(to: Int32.self)
            zeros = words + 256
            rows = zeros + plan.slots + 256
            let end = plan.slots + 256 + plan.rows * plan.pairs * plan.slots
            var index = 0
            while index < end {
                UnsafeMutableRawPointer(zeros + index).storeBytes(of: Pairs(repeating: 0), as: Pairs.self)
                index += 16
            }
        }

        /// Planes of the source's row `row`, at column 0 of pair 0.
        func row(_ row: Int) -> UnsafeMutablePointer<Int32> {
            rows + row % plan.rows * plan.pairs * plan.slots + plan.left
        }

        func fill(image: Int, row: Int) {
            let pixels = UnsafePointer(source.base) + (image * source.height + row) * source.width * source.pixelStride
            var pair = 0
            while pair < plan.pairs {
                let planes = self.row(row) + pair * plan.slots
                let count = min(8, plan.pairs - pair)
                var column = 0
                while column < source.width {
                    pleura_split_planes(
                        pixels + column * source.pixelStride + 2 * pair,
                        source.pixelStride,
                        min(15, source.width - 1 - column),
                        planes + column,
                        plan.slots,
                        count
                    )
                    column += 16
                }
                var plane = 0
                while plane < count {
                    var slot = source.width
                    while slot < column {
                        planes[plane * plan.slots + slot] = 0
                        slot += 1
                    }
                    plane += 1
                }
                pair += 8
            }
            guard source.channels & 1 == 1 else { return }
            // The last pair has one channel; what lies beside it is another's.
            let last = self.row(row) + (plan.pairs - 1) * plan.slots
            var column = 0
            while column < source.width {
                last[column] &= 0xFFFF
                column += 1
            }
        }
    }

    /// The outputs of a class of stride 1, all its channels at once.
    func dotPlanes(_ job: DotClass, _ taps: TapTable, _ plan: DotScratch.Planes, _ scratch: UnsafeMutableRawPointer) {
        let ring = PlaneRing(plan, job.source, scratch)
        let table = UnsafeMutableRawPointer(pleura_sources())
        let sources = table.assumingMemoryBound(to: UnsafePointer<Int32>.self)
        let strides = (table + 8 * Int(PLEURA_TAPS)).assumingMemoryBound(to: Int.self)
        let y = job.destination
        var image = 0
        while image < y.images {
            var filled = 0
            var row = 0
            while row < y.height {
                let end = min(row + plan.lastRow + 1, job.source.height)
                filled = max(filled, row + plan.firstRow)
                while filled < end {
                    ring.fill(image: image, row: filled)
                    filled += 1
                }
                var tap = 0
                while tap < taps.count {
                    let place = row + taps.rows[tap]
                    let isInside = place >= 0 && place < job.source.height
                    let start = isInside ? ring.row(place) + taps.columns[tap] : ring.zeros
                    sources[tap] = UnsafePointer(start)
                    strides[tap] = isInside ? plan.slots : 0
                    tap += 1
                }
                var tile = DotPlaneTile(
                    sources: sources,
                    strides: strides,
                    weightOffsets: taps.weights,
                    weights: job.weights,
                    taps: taps.count,
                    pairs: plan.pairs,
                    column: 0,
                    sums: ring.sums
                )
                let output = y.base + (image * y.height + row) * y.width * y.pixelStride
                while tile.column < y.width {
                    job.prefetch(row: row, image: image, next: filled, column: tile.column)
                    tile.sums = ring.sums
                    tile.weights = job.weights
                    if job.channels == 1 && y.width - tile.column > 64 {
                        DotPlaneTile.one(tile)
                        job.finishOne(ring, output + tile.column * y.pixelStride, min(256, y.width - tile.column))
                        tile.column += 256
                    } else {
                        DotPlaneTile.eight(tile)
                        if job.channels > 8 {
                            tile.weights += 8
                            tile.sums += 256
                            DotPlaneTile.eight(tile)
                        }
                        job.finish(ring, output + tile.column * y.pixelStride, min(32, y.width - tile.column))
                        tile.column += 32
                    }
                }
                row += 1
            }
            image += 1
        }
    }

    extension DotClass {
        /// Asks for the next row of the source and of the destination, at the columns that the tile is at in this row:
        /// neither comes in a pattern that the processor foresees.
        @inline(__always)
        func prefetch(row: Int, image: Int, next: Int, column: Int) {
            if next < source.height && column < source.width {
                let pixel = (image * source.height + next) * source.width + column
                let pixels = min(channels == 1 ? 256 : 32, source.width - column)
                pleura_prefetch_range(source.base + pixel * source.pixelStride, 2 * pixels * source.pixelStride)
            }
            if row + 1 < destination.height {
                let pixel = (image * destination.height + row + 1) * destination.width + column
                let pixels = min(channels == 1 ? 256 : 32, destination.width - column)
                pleura_prefetch_range_to_write(
                    destination.base + pixel * destination.pixelStride,
                    2 * pixels * destination.pixelStride
                )
            }
        }

        /// Bias, relu: as `GatherTile.store` has them.
        @inline(__always)
        func finished(_ sum: Lanes, _ channel: Int) -> Lanes {
            var value = sum
            if let bias { value += Lanes(repeating: bias[channel]) }
            if relu { value = clampBelow(value) }
            return value
        }

        /// Finishes and stores the sums `[channels][32]` of `count` pixels.
        func finish(_ ring: PlaneRing, _ output: UnsafeMutablePointer<Element>, _ count: Int) {
            let step = destination.pixelStride
            var first = 0
            while first < count {
                let pixels = min(16, count - first)
                let place = output + first * step
                let old = ring.words + 128
                // Reads past the channels, as any load does.
                if accumulate { pleura_split_planes(place, step, pixels - 1, old, 16, 8) }
                var channel = 0
                while channel < channels {
                    let sums = ring.sums + channel * 32 + first
                    var even = finished(load(sums), channel)
                    var odd = channel + 1 < channels ? finished(load(sums + 32), channel + 1) : Lanes(repeating: 0)
                    if accumulate {
                        let pairs = loadPairs(old + channel * 8)
                        even = evenElements(pairs) + even
                        odd = oddElements(pairs) + odd
                    }
                    UnsafeMutableRawPointer(ring.words + channel * 8)
                        .storeBytes(of: pleura_round_pairs(even, odd), as: Pairs.self)
                    channel += 2
                }
                if channels == 16 {
                    pleura_join_planes(ring.words, place, step, pixels)
                } else {
                    let words = UnsafeMutableRawPointer(ring.words).assumingMemoryBound(to: Element.self)
                    var pixel = 0
                    while pixel < pixels {
                        channel = 0
                        while channel < channels {
                            place[pixel * step + channel] = words[channel / 2 * 32 + 2 * pixel + channel % 2]
                            channel += 1
                        }
                        pixel += 1
                    }
                }
                first += 16
            }
        }

        /// The same of one channel, sums `[count]`.
        func finishOne(_ ring: PlaneRing, _ output: UnsafeMutablePointer<Element>, _ count: Int) {
            let step = destination.pixelStride
            let old = UnsafeMutableRawPointer(ring.words).assumingMemoryBound(to: Element.self)
            var first = 0
            while first < count {
                let pixels = min(16, count - first)
                let place = output + first * step
                var value = finished(load(ring.sums + first), 0)
                if accumulate {
                    var pixel = 0
                    while pixel < pixels {
                        old[pixel] = place[pixel * step]
                        pixel += 1
                    }
                    value = load(old) + value
                }
                if step == 1 {
                    storeLanes(value, place, pixels)
                } else {
                    storeLanes(value, old)
                    var pixel = 0
                    while pixel < pixels {
                        place[pixel * step] = old[pixel]
                        pixel += 1
                    }
                }
                first += 16
            }
        }
    }

    @inline(__always)
    func evenElements(_ pairs: Pairs) -> Lanes { unsafeBitCast(pairs &<< 16, to: Lanes.self) }

    @inline(__always)
    func oddElements(_ pairs: Pairs) -> Lanes {
        unsafeBitCast(pairs & Pairs(repeating: Int32(bitPattern: 0xFFFF_0000)), to: Lanes.self)
    }
#endif
