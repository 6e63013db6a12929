import CIntrinsics
import Kernels

// Over bfloat16 the gradient to the weights takes tiles in pairs: a word holds a value of tile 2i and that of 2i + 1,
// zeros where there is no such tile.

/// A tile, counted over (image, tile row, tile column).
struct TileCursor {
    var image: Int
    var row: Int
    var column: Int
    let rows: Int
    let columns: Int

    init(_ tile: Int, rows: Int, columns: Int) {
        image = tile / (rows * columns)
        row = (tile - image * rows * columns) / columns
        column = tile - image * rows * columns - row * columns
        self.rows = rows
        self.columns = columns
    }

    @inline(__always)
    mutating func advance() {
        column += 1
        if column < columns { return }
        column = 0
        row += 1
        if row < rows { return }
        row = 0
        image += 1
    }
}

/// Transforms the patches of tiles `firstTile` ..< `firstTile + count` to `[⌈channels / 16⌉][pairs][16]` in each plane.
func winogradPatches(
    _ source: TensorView,
    _ plan: WinogradGradientPlan,
    firstTile: Int,
    count: Int,
    target: UnsafeMutablePointer<Float>
) {
    let pointers = UnsafeMutableRawPointer(pleura_sources()).assumingMemoryBound(to: UnsafePointer<Element>.self)
    let other = pointers + 16
    let even = pleura_block_sums()
    let plane = plan.patches.plane
    let pairs = (count + 1) / 2
    var cursor = TileCursor(firstTile, rows: plan.tileRows, columns: plan.tileColumns)
    var pair = 0
    while pair < pairs {
        locatePatch(source, cursor, plan.padding, pointers)
        cursor.advance()
        if 2 * pair + 1 < count {
            locatePatch(source, cursor, plan.padding, other)
            cursor.advance()
        } else {
            var k = 0
            while k < 16 {
                other[k] = zeroElements()
                k += 1
            }
        }
        var to = target + 16 * pair
        var channel = 0
        while channel < source.channels {
            let a = patchColumns(pointers, channel)
            keepPatchRow(a.0.0, a.1.0, a.2.0, a.3.0, even)
            keepPatchRow(a.0.1, a.1.1, a.2.1, a.3.1, even + 64)
            keepPatchRow(a.0.2, a.1.2, a.2.2, a.3.2, even + 128)
            keepPatchRow(a.0.3, a.1.3, a.2.3, a.3.3, even + 192)
            let b = patchColumns(other, channel)
            joinPatchRow(even, patchColumn(b.0.0, b.1.0, b.2.0, b.3.0), to, plane)
            joinPatchRow(even + 64, patchColumn(b.0.1, b.1.1, b.2.1, b.3.1), to + 4 * plane, plane)
            joinPatchRow(even + 128, patchColumn(b.0.2, b.1.2, b.2.2, b.3.2), to + 8 * plane, plane)
            joinPatchRow(even + 192, patchColumn(b.0.3, b.1.3, b.2.3, b.3.3), to + 12 * plane, plane)
            to += 16 * pairs
            channel += 16
        }
        pair += 1
    }
}

/// Where the sixteen pixels of a tile's patch stand.
@inline(__always)
func locatePatch(
    _ source: TensorView,
    _ tile: TileCursor,
    _ padding: Int,
    _ pointers: UnsafeMutablePointer<UnsafePointer<Element>>
) {
    let stride = source.pixelStride
    let rowStride = source.width * stride
    let row = 2 * tile.row - padding
    let column = 2 * tile.column - padding
    var place = UnsafePointer(source.base) + (tile.image * source.height + row) * rowStride + column * stride
    let columnsInside = column >= 0 && column + 4 <= source.width
    var k = 0
    while k < 4 {
        let inside = row + k >= 0 && row + k < source.height
        if inside && columnsInside {
            pointers[4 * k] = place
            pointers[4 * k + 1] = place + stride
            pointers[4 * k + 2] = place + 2 * stride
            pointers[4 * k + 3] = place + 3 * stride
        } else {
            var l = 0
            while l < 4 {
                let exists = inside && column + l >= 0 && column + l < source.width
                pointers[4 * k + l] = exists ? place + l * stride : zeroElements()
                l += 1
            }
        }
        place += rowStride
        k += 1
    }
}

typealias PatchColumn = (Lanes, Lanes, Lanes, Lanes)

/// A patch, transformed down its columns.
@inline(__always)
func patchColumns(
    _ pointers: UnsafeMutablePointer<UnsafePointer<Element>>,
    _ channel: Int
) -> (PatchColumn, PatchColumn, PatchColumn, PatchColumn) {
    (
        patchColumn(pointers, channel), patchColumn(pointers + 1, channel), patchColumn(pointers + 2, channel),
        patchColumn(pointers + 3, channel)
    )
}

@inline(__always)
func patchColumn(_ pointers: UnsafeMutablePointer<UnsafePointer<Element>>, _ channel: Int) -> PatchColumn {
    patchColumn(
        load(pointers[0] + channel),
        load(pointers[4] + channel),
        load(pointers[8] + channel),
        load(pointers[12] + channel)
    )
}

@inline(__always)
func keepPatchRow(_ a: Lanes, _ b: Lanes, _ c: Lanes, _ d: Lanes, _ target: UnsafeMutablePointer<Float>) {
    let t = patchColumn(a, b, c, d)
    storeLanes(t.0, target)
    storeLanes(t.1, target + 16)
    storeLanes(t.2, target + 32)
    storeLanes(t.3, target + 48)
}

@inline(__always)
func joinPatchRow(
    _ even: UnsafeMutablePointer<Float>,
    _ odd: PatchColumn,
    _ target: UnsafeMutablePointer<Float>,
    _ plane: Int
) {
    storePairs(load(even), odd.0, target)
    storePairs(load(even + 16), odd.1, target + plane)
    storePairs(load(even + 32), odd.2, target + 2 * plane)
    storePairs(load(even + 48), odd.3, target + 3 * plane)
}

/// Where the four gradients of a tile stand.
struct GradientPlaces {
    var a: UnsafePointer<Element>
    var b: UnsafePointer<Element>
    var c: UnsafePointer<Element>
    var d: UnsafePointer<Element>

    @inline(__always)
    init() {
        a = zeroElements()
        b = a
        c = a
        d = a
    }

    @inline(__always)
    init(_ view: TensorView, _ tile: TileCursor) {
        let stride = view.pixelStride
        let below = 2 * tile.row + 1 < view.height
        let right = 2 * tile.column + 1 < view.width
        a = UnsafePointer(
            view.base + ((tile.image * view.height + 2 * tile.row) * view.width + 2 * tile.column) * stride
        )
        b = right ? a + stride : zeroElements()
        c = below ? a + view.width * stride : zeroElements()
        d = below && right ? a + (view.width + 1) * stride : zeroElements()
    }

    /// The transformed columns.
    @inline(__always)
    func columns(_ channel: Int) -> (PatchColumn, PatchColumn) {
        (
            gradientColumn(load(a + channel), load(c + channel)),
            gradientColumn(load(b + channel), load(d + channel))
        )
    }
}

/// Transforms the gradients of tiles `firstTile` ..< `firstTile + count` to panels `[pairs][ProductTile.width]`.
func winogradGradients(_ job: borrowing WinogradGradientJob, firstTile: Int, count: Int) {
    let view = job.dy
    let plane = job.plan.gradients.plane
    let target = job.scratch + job.plan.gradients.offset
    let pairs = (count + 1) / 2
    var cursor = TileCursor(firstTile, rows: job.plan.tileRows, columns: job.plan.tileColumns)
    var pair = 0
    while pair < pairs {
        let even = GradientPlaces(view, cursor)
        cursor.advance()
        var odd = GradientPlaces()
        if 2 * pair + 1 < count {
            odd = GradientPlaces(view, cursor)
            cursor.advance()
        }
        var channel = 0
        while channel < view.channels {
            let inPanel = channel % ProductTile.width
            let panel = channel - inPanel
            let width = min(ProductTile.width, WinogradPlan.rounded(view.channels - panel, 16))
            let to = target + panel * pairs + pair * width + inPanel
            let x = even.columns(channel)
            let y = odd.columns(channel)
            joinGradientRow((x.0.0, x.1.0), (y.0.0, y.1.0), to, plane)
            joinGradientRow((x.0.1, x.1.1), (y.0.1, y.1.1), to + 4 * plane, plane)
            joinGradientRow((x.0.2, x.1.2), (y.0.2, y.1.2), to + 8 * plane, plane)
            joinGradientRow((x.0.3, x.1.3), (y.0.3, y.1.3), to + 12 * plane, plane)
            channel += 16
        }
        pair += 1
    }
}

@inline(__always)
func joinGradientRow(
    _ even: (Lanes, Lanes),
    _ odd: (Lanes, Lanes),
    _ target: UnsafeMutablePointer<Float>,
    _ plane: Int
) {
    let u = gradientColumn(even.0, even.1)
    let v = gradientColumn(odd.0, odd.1)
    storePairs(u.0, v.0, target)
    storePairs(u.1, v.1, target + plane)
    storePairs(u.2, v.2, target + 2 * plane)
    storePairs(u.3, v.3, target + 3 * plane)
}

// MARK: Weights

/// The sixteen transformed weights of nine taps, `stride` elements apart, in pairs with those of the next source channel.
@inline(__always)
func transformWeights(
    _ taps: UnsafePointer<Float>,
    _ stride: Int,
    _ target: UnsafeMutablePointer<Float>,
    _ plane: Int
) {
    let even = weightColumns(taps, stride)
    let odd = weightColumns(taps + 16, stride)
    storeWeightRow((even.0.0, even.1.0, even.2.0), (odd.0.0, odd.1.0, odd.2.0), target, plane)
    storeWeightRow((even.0.1, even.1.1, even.2.1), (odd.0.1, odd.1.1, odd.2.1), target + 4 * plane, plane)
    storeWeightRow((even.0.2, even.1.2, even.2.2), (odd.0.2, odd.1.2, odd.2.2), target + 8 * plane, plane)
    storeWeightRow((even.0.3, even.1.3, even.2.3), (odd.0.3, odd.1.3, odd.2.3), target + 12 * plane, plane)
}

@inline(__always)
func storeWeightRow(
    _ even: (Lanes, Lanes, Lanes),
    _ odd: (Lanes, Lanes, Lanes),
    _ target: UnsafeMutablePointer<Float>,
    _ plane: Int
) {
    let u = weightColumn(even.0, even.1, even.2)
    let v = weightColumn(odd.0, odd.1, odd.2)
    storePairs(u.0, v.0, target)
    storePairs(u.1, v.1, target + plane)
    storePairs(u.2, v.2, target + 2 * plane)
    storePairs(u.3, v.3, target + 3 * plane)
}

/// Rounds and stores the pairs (even, odd).
@inline(__always)
func storePairs(_ even: Lanes, _ odd: Lanes, _ target: UnsafeMutablePointer<Float>) {
    UnsafeMutableRawPointer(target).storeBytes(of: pleura_round_pairs(even, odd), as: Pairs.self)
}
