import CIntrinsics
import Kernels

/// A Winograd convolution: forward, or back to the input with the weights flipped and transposed.
struct WinogradJob {
    var source: TensorView
    var destination: TensorView
    var weights: UnsafePointer<Float>
    var bias: UnsafePointer<Float>?
    /// Those of the storage layout.
    var inputChannels: Int
    var transposed: Bool
    var relu: Bool
    var accumulate: Bool
    var plan: WinogradPlan
    var scratch: UnsafeMutablePointer<Float>
}

/// Blocks of tiles go through all weights; see `WinogradPlan`.
func winograd(_ job: borrowing WinogradJob) {
    let plan = job.plan
    let tiles = plan.tiles
    if plan.keepsWeights {
        winogradWeights(job, channel: 0, channels: plan.channels, depth: 0, depths: plan.depth)
    }
    // Past the pointers of a patch at the image's edge.
    let ahead = UnsafeMutableRawPointer(pleura_sources()).assumingMemoryBound(to: UnsafeRawPointer.self) + 16
    var tile = 0
    while tile < tiles {
        let count = min(plan.tileBlock, tiles - tile)
        winogradPatches(
            job.source,
            tileRows: plan.tileRows,
            tileColumns: plan.tileColumns,
            padding: plan.padding,
            firstTile: tile,
            count: count,
            target: job.scratch + plan.patches.offset,
            group: ProductTile.size,
            groupStride: WinogradPlan.rounded(plan.depth, 16) / packing * ProductTile.size,
            blockStride: packedLanes * ProductTile.size,
            plane: plan.patches.plane
        )
        var channel = 0
        while channel < plan.channels {
            let channels = min(plan.channelBlock, plan.channels - channel)
            if plan.keepsWeights {
                let panels = job.scratch + plan.weights.offset + channel * plan.depth / packing
                var done = 0
                while done < count {
                    let part = min(plan.productBlock, count - done)
                    let first = tile + plan.tileBlock + done
                    let streams = channel == 0 ? aheadPixels(job.source, plan, firstTile: first, part, ahead) : 0
                    winogradProducts(
                        job,
                        panels,
                        firstTile: done,
                        count: part,
                        channels: channels,
                        depth: 0,
                        plan.depth,
                        ahead,
                        streams
                    )
                    winogradOutputs(job, firstTile: tile + done, count: part, channel: channel, channels: channels)
                    done += part
                }
            } else {
                var depth = 0
                while depth < plan.depth {
                    let depths = min(plan.depthBlock, plan.depth - depth)
                    winogradWeights(job, channel: channel, channels: channels, depth: depth, depths: depths)
                    let panels = job.scratch + plan.weights.offset
                    let streams = aheadWeights(job, channel: channel, depth: depth, ahead)
                    winogradProducts(
                        job,
                        panels,
                        firstTile: 0,
                        count: count,
                        channels: channels,
                        depth: depth,
                        depths,
                        ahead,
                        streams
                    )
                    depth += depths
                }
                winogradOutputs(job, firstTile: tile, count: count, channel: channel, channels: channels)
            }
            channel += plan.channelBlock
        }
        tile += count
    }
}

/// The sixteen products of `count` tiles from `firstTile` of the block on, over source channels `depth` ..<
/// `depth + depths`.
func winogradProducts(
    _ job: borrowing WinogradJob,
    _ panels: UnsafeMutablePointer<Float>,
    firstTile: Int,
    count: Int,
    channels: Int,
    depth: Int,
    _ depths: Int,
    _ ahead: UnsafePointer<UnsafeRawPointer>,
    _ streams: Int
) {
    let plan = job.plan
    let size = ProductTile.size
    var next = 0
    let groupStride = WinogradPlan.rounded(plan.depth, 16) / packing * size
    let stride = plan.channelBlock
    var p = 0
    while p < 16 {
        let patches =
            job.scratch + plan.patches.offset + p * plan.patches.plane + firstTile / size * groupStride + depth
            / packing * size
        let weights = panels + p * plan.weights.plane
        let products = job.scratch + plan.products.offset + p * plan.products.plane
        var done = 0
        while done < count {
            var channel = 0
            while channel < channels {
                let start = UnsafeRawPointer(patches + done / size * groupStride)
                let tile = ProductTile(
                    patches: start,
                    weights: UnsafeRawPointer(weights + channel * depths / packing),
                    products: products + done * stride + channel,
                    stride: stride,
                    depth: depths / packing,
                    continues: depth > 0,
                    ahead: next + 3 <= streams
                        ? (ahead[next], ahead[next + 1], ahead[next + 2]) : (start, start, start),
                    aheadStep: plan.keepsWeights ? 64 / packing : 64
                )
                next += 3
                ProductTile.run(tile, tiles: count - done, wide: channel + 16 < channels)
                channel += ProductTile.width
            }
            done += size
        }
        p += 1
    }
}

/// Streams of lines: the pixels that `count` tiles from `firstTile` on read and their neighbours to the left and above
/// do not. They may lie outside the memory: what fetches them does not fault.
func aheadPixels(
    _ source: TensorView,
    _ plan: WinogradPlan,
    firstTile: Int,
    _ count: Int,
    _ ahead: UnsafeMutablePointer<UnsafeRawPointer>
) -> Int {
    let stride = source.pixelStride
    let tilesPerImage = plan.tileRows * plan.tileColumns
    var image = firstTile / tilesPerImage
    var tileRow = (firstTile - image * tilesPerImage) / plan.tileColumns
    var tileColumn = firstTile - image * tilesPerImage - tileRow * plan.tileColumns
    var done = 0
    while done < count {
        let row = image * source.height + 2 * tileRow - plan.padding + 2
        let pixel = row * source.width + 2 * tileColumn - plan.padding + 2
        let place = source.base + pixel * stride
        ahead[4 * done] = UnsafeRawPointer(place)
        ahead[4 * done + 1] = UnsafeRawPointer(place + stride)
        ahead[4 * done + 2] = UnsafeRawPointer(place + source.width * stride)
        ahead[4 * done + 3] = UnsafeRawPointer(place + source.width * stride + stride)
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
    return 4 * count
}

/// Streams of lines: the weights that are transformed after those of result channels `channel` ..< and source channels
/// `depth` ..<.
func aheadWeights(
    _ job: borrowing WinogradJob,
    channel: Int,
    depth: Int,
    _ ahead: UnsafeMutablePointer<UnsafeRawPointer>
) -> Int {
    let plan = job.plan
    var firstDepth = depth + plan.depthBlock
    var firstChannel = channel
    if firstDepth >= plan.depth {
        firstDepth = 0
        firstChannel += plan.channelBlock
        if firstChannel >= plan.channels { return 0 }
    }
    // Rows of lines of 16 weights: for each block of output channels and tap the input channels.
    let lines = job.transposed ? plan.channelBlock : plan.depthBlock
    let blocks = (job.transposed ? plan.depthBlock : plan.channelBlock) / 16
    let block = (job.transposed ? firstDepth : firstChannel) / 16
    let input = job.transposed ? firstChannel : firstDepth
    let length = max(1, plan.depthBlock / 16)
    let streams = min(lines / length * 9 * blocks, Int(PLEURA_POINTERS) - 16)
    var stream = 0
    while stream < streams {
        let row = stream / (lines / length)
        let part = stream - row * (lines / length)
        ahead[stream] = UnsafeRawPointer(
            job.weights + ((block * 9 + row) * job.inputChannels + input + part * length) * 16
        )
        stream += 1
    }
    return streams
}
