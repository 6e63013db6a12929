import CIntrinsics
import Kernels

// Over `Float` a word of the sixteen products is a value of one tile or channel.

/// Transforms the patches of tiles `firstTile` ..< `firstTile + count` to `[⌈channels / 16⌉][tiles][16]` in each plane.
func winogradPatches(
    _ source: TensorView,
    _ plan: WinogradGradientPlan,
    firstTile: Int,
    count: Int,
    target: UnsafeMutablePointer<Float>
) {
    winogradPatches(
        source,
        tileRows: plan.tileRows,
        tileColumns: plan.tileColumns,
        padding: plan.padding,
        firstTile: firstTile,
        count: count,
        target: target,
        group: Int.max,
        groupStride: 0,
        blockStride: 16 * count,
        plane: plan.patches.plane
    )
}

/// Transforms the gradients of tiles `firstTile` ..< `firstTile + count` to panels `[tiles][ProductTile.width]`.
func winogradGradients(_ job: borrowing WinogradGradientJob, firstTile: Int, count: Int) {
    let view = job.dy
    let tiles = job.plan
    let plane = job.plan.gradients.plane
    let stride = view.pixelStride
    let rowStride = view.width * stride
    let tilesPerImage = tiles.tileRows * tiles.tileColumns
    var image = firstTile / tilesPerImage
    var tileRow = (firstTile - image * tilesPerImage) / tiles.tileColumns
    var tileColumn = firstTile - image * tilesPerImage - tileRow * tiles.tileColumns
    let target = job.scratch + job.plan.gradients.offset
    let zeros = pleura_zeros()
    var done = 0
    while done < count {
        let below = 2 * tileRow + 1 < view.height
        let right = 2 * tileColumn + 1 < view.width
        let a = UnsafePointer(
            view.base + ((image * view.height + 2 * tileRow) * view.width + 2 * tileColumn) * stride
        )
        let b = right ? a + stride : zeros
        let c = below ? a + rowStride : zeros
        let d = below && right ? a + rowStride + stride : zeros
        var channel = 0
        while channel < view.channels {
            let inPanel = channel % ProductTile.width
            let panel = channel - inPanel
            let width = min(ProductTile.width, WinogradPlan.rounded(view.channels - panel, 16))
            let to = target + panel * count + done * width + inPanel
            let left = gradientColumn(load(a + channel), load(c + channel))
            let rest = gradientColumn(load(b + channel), load(d + channel))
            storeGradientRow(left.0, rest.0, to, plane)
            storeGradientRow(left.1, rest.1, to + 4 * plane, plane)
            storeGradientRow(left.2, rest.2, to + 8 * plane, plane)
            storeGradientRow(left.3, rest.3, to + 12 * plane, plane)
            channel += 16
        }
        tileColumn += 1
        if tileColumn == tiles.tileColumns {
            tileColumn = 0
            tileRow += 1
            if tileRow == tiles.tileRows {
                tileRow = 0
                image += 1
            }
        }
        done += 1
    }
}

@inline(__always)
func storeGradientRow(_ a: Lanes, _ b: Lanes, _ target: UnsafeMutablePointer<Float>, _ plane: Int) {
    let w = gradientColumn(a, b)
    storeLanes(w.0, target)
    storeLanes(w.1, target + plane)
    storeLanes(w.2, target + 2 * plane)
    storeLanes(w.3, target + 3 * plane)
}

// MARK: Weights

/// The sixteen transformed weights of nine taps, `stride` elements apart.
@inline(__always)
func transformWeights(
    _ taps: UnsafePointer<Float>,
    _ stride: Int,
    _ target: UnsafeMutablePointer<Float>,
    _ plane: Int
) {
    let columns = weightColumns(taps, stride)
    storeWeightRow(columns.0.0, columns.1.0, columns.2.0, target, plane)
    storeWeightRow(columns.0.1, columns.1.1, columns.2.1, target + 4 * plane, plane)
    storeWeightRow(columns.0.2, columns.1.2, columns.2.2, target + 8 * plane, plane)
    storeWeightRow(columns.0.3, columns.1.3, columns.2.3, target + 12 * plane, plane)
}

@inline(__always)
func storeWeightRow(_ a: Lanes, _ b: Lanes, _ c: Lanes, _ target: UnsafeMutablePointer<Float>, _ plane: Int) {
    let u = weightColumn(a, b, c)
    storeLanes(u.0, target)
    storeLanes(u.1, target + plane)
    storeLanes(u.2, target + 2 * plane)
    storeLanes(u.3, target + 3 * plane)
}
