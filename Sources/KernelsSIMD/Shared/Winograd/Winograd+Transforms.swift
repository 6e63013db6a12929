import CIntrinsics
import Kernels

/// Transforms the patches of tiles `firstTile` ..< `firstTile + count`. Patch t of the block, channels 16 b ..< goes to
/// `t / group · groupStride + t % group · packedLanes + b · blockStride` of each plane.
func winogradPatches(
    _ source: TensorView,
    tileRows: Int,
    tileColumns: Int,
    padding: Int,
    firstTile: Int,
    count: Int,
    target: UnsafeMutablePointer<Float>,
    group: Int,
    groupStride: Int,
    blockStride: Int,
    plane: Int
) {
    let stride = source.pixelStride
    let rowStride = source.width * stride
    let tilesPerImage = tileRows * tileColumns
    var image = firstTile / tilesPerImage
    var tileRow = (firstTile - image * tilesPerImage) / tileColumns
    var tileColumn = firstTile - image * tilesPerImage - tileRow * tileColumns
    let pointers = UnsafeMutableRawPointer(pleura_sources()).assumingMemoryBound(to: UnsafePointer<Element>.self)
    var place = target
    var inGroup = 0
    var done = 0
    while done < count {
        let row = 2 * tileRow - padding
        let column = 2 * tileColumn - padding
        let origin = source.base + (image * source.height + row) * rowStride + column * stride
        let inside = row >= 0 && row + 4 <= source.height && column >= 0 && column + 4 <= source.width
        if inside {
            var channel = 0
            var to = place
            while channel < source.channels {
                transformPatch(UnsafePointer(origin + channel), rowStride, stride, to, plane)
                to += blockStride
                channel += 16
            }
        } else {
            let zeros = zeroElements()
            var k = 0
            while k < 16 {
                let y = row + k / 4
                let x = column + k % 4
                let exists = y >= 0 && y < source.height && x >= 0 && x < source.width
                pointers[k] = exists ? UnsafePointer(origin + k / 4 * rowStride + k % 4 * stride) : zeros
                k += 1
            }
            var channel = 0
            var to = place
            while channel < source.channels {
                transformPatch(pointers, channel, to, plane)
                to += blockStride
                channel += 16
            }
        }
        place += packedLanes
        inGroup += 1
        if inGroup == group {
            inGroup = 0
            place += groupStride - packedLanes * group
        }
        tileColumn += 1
        if tileColumn == tileColumns {
            tileColumn = 0
            tileRow += 1
            if tileRow == tileRows {
                tileRow = 0
                image += 1
            }
        }
        done += 1
    }
}

@inline(__always)
func transformPatch(
    _ origin: UnsafePointer<Element>,
    _ rowStride: Int,
    _ stride: Int,
    _ target: UnsafeMutablePointer<Float>,
    _ plane: Int
) {
    let second = origin + rowStride
    let third = second + rowStride
    let fourth = third + rowStride
    let a = patchColumn(load(origin), load(second), load(third), load(fourth))
    let b = patchColumn(load(origin + stride), load(second + stride), load(third + stride), load(fourth + stride))
    let two = 2 * stride
    let c = patchColumn(load(origin + two), load(second + two), load(third + two), load(fourth + two))
    let three = 3 * stride
    let d = patchColumn(load(origin + three), load(second + three), load(third + three), load(fourth + three))
    storePatchRow(a.0, b.0, c.0, d.0, target, plane)
    storePatchRow(a.1, b.1, c.1, d.1, target + 4 * plane, plane)
    storePatchRow(a.2, b.2, c.2, d.2, target + 8 * plane, plane)
    storePatchRow(a.3, b.3, c.3, d.3, target + 12 * plane, plane)
}

@inline(__always)
func transformPatch(
    _ pointers: UnsafeMutablePointer<UnsafePointer<Element>>,
    _ channel: Int,
    _ target: UnsafeMutablePointer<Float>,
    _ plane: Int
) {
    let a = patchColumn(
        load(pointers[0] + channel),
        load(pointers[4] + channel),
        load(pointers[8] + channel),
        load(pointers[12] + channel)
    )
    let b = patchColumn(
        load(pointers[1] + channel),
        load(pointers[5] + channel),
        load(pointers[9] + channel),
        load(pointers[13] + channel)
    )
    let c = patchColumn(
        load(pointers[2] + channel),
        load(pointers[6] + channel),
        load(pointers[10] + channel),
        load(pointers[14] + channel)
    )
    let d = patchColumn(
        load(pointers[3] + channel),
        load(pointers[7] + channel),
        load(pointers[11] + channel),
        load(pointers[15] + channel)
    )
    storePatchRow(a.0, b.0, c.0, d.0, target, plane)
    storePatchRow(a.1, b.1, c.1, d.1, target + 4 * plane, plane)
    storePatchRow(a.2, b.2, c.2, d.2, target + 8 * plane, plane)
    storePatchRow(a.3, b.3, c.3, d.3, target + 12 * plane, plane)
}

/// Four elements of a patch: t0 = d0 - d2, t1 = d1 + d2, t2 = d2 - d1, t3 = d1 - d3.
@inline(__always)
func patchColumn(_ d0: Lanes, _ d1: Lanes, _ d2: Lanes, _ d3: Lanes) -> (Lanes, Lanes, Lanes, Lanes) {
    (d0 - d2, d1 + d2, d2 - d1, d1 - d3)
}

@inline(__always)
func storePatchRow(
    _ a: Lanes,
    _ b: Lanes,
    _ c: Lanes,
    _ d: Lanes,
    _ target: UnsafeMutablePointer<Float>,
    _ plane: Int
) {
    let t = patchColumn(a, b, c, d)
    storePacked(t.0, target)
    storePacked(t.1, target + plane)
    storePacked(t.2, target + 2 * plane)
    storePacked(t.3, target + 3 * plane)
}

/// Sixteen channels as the products take them: rounded where they are bfloat16.
@inline(__always)
func storePacked(_ value: Lanes, _ target: UnsafeMutablePointer<Float>) {
    storeLanes(value, UnsafeMutableRawPointer(target).assumingMemoryBound(to: Element.self))
}

@inline(__always)
func zeroElements() -> UnsafePointer<Element> {
    UnsafeRawPointer(pleura_zeros()).assumingMemoryBound(to: Element.self)
}

/// Transforms the weights of result channels `channel` ..< `channel + channels` and source channels `depth` ..<
/// `depth + depths` to panels of `ProductTile.width` result channels, the last one as wide as it needs.
func winogradWeights(_ job: borrowing WinogradJob, channel: Int, channels: Int, depth: Int, depths: Int) {
    let plan = job.plan
    let target = job.scratch + plan.weights.offset
    let raw = job.scratch + plan.transposition
    var done = 0
    while done < channels {
        let inPanel = done % ProductTile.width
        let panel = done - inPanel
        let width = min(ProductTile.width, WinogradPlan.rounded(channels - panel, 16))
        var to = target + panel * depths / packing + inPanel
        if job.transposed {
            let column = channel + done
            let valid = min(16, plan.channels - column)
            var k = 0
            while k < depths {
                let from = job.weights + ((depth + k) / 16 * 9 * job.inputChannels + column) * 16
                var tap = 0
                while tap < 9 {
                    transposeBlock(from + tap * job.inputChannels * 16, valid, raw + tap * 256)
                    tap += 1
                }
                let last = min(16, depths - k)
                var lane = 0
                while lane < last {
                    // Tap t of the gradient is tap 8 - t of the weights.
                    transformWeights(raw + 8 * 256 + lane * 16, -256, to, plan.weights.plane)
                    to += width
                    lane += packing
                }
                k += 16
            }
        } else {
            let from = job.weights + ((channel + done) / 16 * 9 * plan.depth + depth) * 16
            var k = 0
            while k < depths {
                transformWeights(from + k * 16, plan.depth * 16, to, plan.weights.plane)
                to += width
                k += packing
            }
        }
        done += 16
    }
}

typealias WeightColumn = (Lanes, Lanes, Lanes, Lanes)

/// Nine taps, transformed down their columns.
@inline(__always)
func weightColumns(_ taps: UnsafePointer<Float>, _ stride: Int) -> (WeightColumn, WeightColumn, WeightColumn) {
    (
        weightColumn(load(taps), load(taps + 3 * stride), load(taps + 6 * stride)),
        weightColumn(load(taps + stride), load(taps + 4 * stride), load(taps + 7 * stride)),
        weightColumn(load(taps + 2 * stride), load(taps + 5 * stride), load(taps + 8 * stride))
    )
}

/// u0 = g0, u1 = 0.5 · ((g0 + g2) + g1), u2 = 0.5 · ((g0 + g2) - g1), u3 = g2.
@inline(__always)
func weightColumn(_ g0: Lanes, _ g1: Lanes, _ g2: Lanes) -> (Lanes, Lanes, Lanes, Lanes) {
    let ends = g0 + g2
    let half = Lanes(repeating: 0.5)
    return (g0, half * (ends + g1), half * (ends - g1), g2)
}

/// Turns the products into result channels `channel` ..< `channel + channels` of tiles `firstTile` ..<.
func winogradOutputs(_ job: borrowing WinogradJob, firstTile: Int, count: Int, channel: Int, channels: Int) {
    let plan = job.plan
    let view = job.destination
    let plane = plan.products.plane
    let relu = job.relu
    let accumulate = job.accumulate
    let stride = view.pixelStride
    let rowStride = view.width * stride
    let tilesPerImage = plan.tileRows * plan.tileColumns
    var image = firstTile / tilesPerImage
    var tileRow = (firstTile - image * tilesPerImage) / plan.tileColumns
    var tileColumn = firstTile - image * tilesPerImage - tileRow * plan.tileColumns
    var products = job.scratch + plan.products.offset
    var done = 0
    while done < count {
        let below = 2 * tileRow + 1 < view.height
        let right = 2 * tileColumn + 1 < view.width
        let output =
            view.base + ((image * view.height + 2 * tileRow) * view.width + 2 * tileColumn) * stride + channel
        var c = 0
        while c < channels {
            let m = products + c
            let a = outputColumn(load(m), load(m + 4 * plane), load(m + 8 * plane), load(m + 12 * plane))
            let n = m + plane
            let b = outputColumn(load(n), load(n + 4 * plane), load(n + 8 * plane), load(n + 12 * plane))
            let o = n + plane
            let d = outputColumn(load(o), load(o + 4 * plane), load(o + 8 * plane), load(o + 12 * plane))
            let p = o + plane
            let e = outputColumn(load(p), load(p + 4 * plane), load(p + 8 * plane), load(p + 12 * plane))
            var top = outputColumn(a.0, b.0, d.0, e.0)
            var bottom = outputColumn(a.1, b.1, d.1, e.1)
            if let bias = job.bias {
                let shift = load(bias + channel + c)
                top = (top.0 + shift, top.1 + shift)
                bottom = (bottom.0 + shift, bottom.1 + shift)
            }
            if relu {
                top = (clampBelow(top.0), clampBelow(top.1))
                bottom = (clampBelow(bottom.0), clampBelow(bottom.1))
            }
            let to = output + c
            let left = channels - c
            if below && right && left >= 16 {
                // The lines of the tile four to the right, to be written soon.
                pleura_prefetch_to_write(to + 8 * stride)
                pleura_prefetch_to_write(to + 9 * stride)
                pleura_prefetch_to_write(to + rowStride + 8 * stride)
                pleura_prefetch_to_write(to + rowStride + 9 * stride)
                if accumulate {
                    top = (load(to) + top.0, load(to + stride) + top.1)
                    bottom = (load(to + rowStride) + bottom.0, load(to + rowStride + stride) + bottom.1)
                }
                storeLanes(top.0, to)
                storeLanes(top.1, to + stride)
                storeLanes(bottom.0, to + rowStride)
                storeLanes(bottom.1, to + rowStride + stride)
            } else {
                storeOutput(top.0, to, left, accumulate)
                if right { storeOutput(top.1, to + stride, left, accumulate) }
                if below { storeOutput(bottom.0, to + rowStride, left, accumulate) }
                if below && right { storeOutput(bottom.1, to + rowStride + stride, left, accumulate) }
            }
            c += 16
        }
        products += plan.channelBlock
        tileColumn += 1
        if tileColumn == plan.tileColumns {
            tileColumn = 0
            tileRow += 1
            if tileRow == plan.tileRows {
                tileRow = 0
                image += 1
            }
        }
        done += 1
    }
}

@inline(never)
func storeOutput(_ value: Lanes, _ output: UnsafeMutablePointer<Element>, _ count: Int, _ accumulate: Bool) {
    storeLanes(accumulate ? load(output) + value : value, output, count)
}

/// y0 = (m0 + m1) + m2, y1 = (m1 - m2) - m3.
@inline(__always)
func outputColumn(_ m0: Lanes, _ m1: Lanes, _ m2: Lanes, _ m3: Lanes) -> (Lanes, Lanes) {
    ((m0 + m1) + m2, (m1 - m2) - m3)
}

/// `[valid input channels][16 output channels]` → `[16 output channels][16 input channels]`, zeros past the valid.
func transposeBlock(_ from: UnsafePointer<Float>, _ valid: Int, _ to: UnsafeMutablePointer<Float>) {
    if valid == 16 {
        pleura_transpose(from, 16, to, 16)
        return
    }
    var index = 0
    while index < 256 {
        let input = index & 15
        to[index] = input < valid ? from[input * 16 + index / 16] : 0
        index += 1
    }
}
