import CIntrinsics
import Kernels

/// The pixels of x and dy that a chunk of tiles reads and the tiles before it do not: in each, two rows where the chunk
/// lies in one row of tiles, else all rows it covers. Places past the memory are no harm: fetching does not fault.
struct Ahead {
    private let input: UnsafeRawPointer
    private let inputRow: Int
    private let gradient: UnsafeRawPointer
    private let gradientRow: Int
    private let inputBytes: Int
    private let bytes: Int
    private let isOneRow: Bool
    private var done = 0

    init(_ job: borrowing WinogradGradientJob, firstTile: Int, count: Int, inputBytes: Int, bytes: Int) {
        let plan = job.plan
        let row = firstTile / plan.tileColumns
        let column = firstTile - row * plan.tileColumns
        let image = row / plan.tileRows
        let tileRow = row - image * plan.tileRows
        let x = job.x
        let dy = job.dy
        inputRow = elementBytes * x.width * x.pixelStride
        gradientRow = elementBytes * dy.width * dy.pixelStride
        let inputPixel = 2 * column - plan.padding + 2
        input =
            UnsafeRawPointer(x.address) + (image * x.height + 2 * tileRow - plan.padding + 2) * inputRow
            + inputPixel * elementBytes * x.pixelStride
        gradient =
            UnsafeRawPointer(dy.address) + (image * dy.height + 2 * tileRow) * gradientRow
            + 2 * column * elementBytes * dy.pixelStride
        self.inputBytes = inputBytes
        self.bytes = bytes
        isOneRow = count <= plan.tileColumns
    }

    /// The place of the next `count` bytes.
    mutating func take(_ count: Int) -> UnsafeRawPointer {
        let isInput = done < inputBytes
        let from = isInput ? input : gradient
        let row = isInput ? inputRow : gradientRow
        let whole = isInput ? inputBytes : bytes - inputBytes
        var offset = isInput ? done : done - inputBytes
        if isOneRow && 2 * offset >= whole { offset += row - whole / 2 }
        done += count
        return from + offset
    }
}

struct WinogradGradientJob {
    var x: TensorView
    var dy: TensorView
    var dw: UnsafeMutablePointer<Float>
    var plan: WinogradGradientPlan
    var scratch: UnsafeMutablePointer<Float>
}

func winogradGradient(_ job: borrowing WinogradGradientJob) {
    let plan = job.plan
    let inputs = job.x.channels
    let outputs = job.dy.channels
    let tiles = plan.tiles
    var input = 0
    while input < inputs {
        let depth = min(plan.depthBlock, inputs - input)
        var source = job.x
        source.address += elementBytes * input
        source.channels = depth
        var tile = 0
        while tile < tiles {
            let count = min(plan.chunk, tiles - tile)
            winogradPatches(source, plan, firstTile: tile, count: count, target: job.scratch + plan.patches.offset)
            if input == 0 || !plan.isSingle { winogradGradients(job, firstTile: tile, count: count) }
            if !plan.isSingle { winogradSums(job, depth: depth, tile: tile, count: count, output: 0, outputs) }
            tile += count
        }
        if plan.isSingle {
            var output = 0
            while output < outputs {
                let part = min(32, outputs - output)
                winogradSums(job, depth: depth, tile: 0, count: tiles, output: output, part)
                winogradGradientOutputs(job, input: input, depth: depth, output: output, part)
                output += 32
            }
        } else {
            winogradGradientOutputs(job, input: input, depth: depth, output: 0, outputs)
        }
        input += depth
    }
}

/// The sixteen products of tiles `tile` ..< `tile + count` for output channels `output` ..< `output + outputs`.
func winogradSums(
    _ job: borrowing WinogradGradientJob,
    depth: Int,
    tile: Int,
    count: Int,
    output: Int,
    _ outputs: Int
) {
    let plan = job.plan
    let block = plan.depthBlock
    let end = tile + count
    let words = (count + packing - 1) / packing
    // The next chunk's x and dy are fetched by the register tiles, each its part of them.
    let runs = (count + WinogradGradientPlan.run - 1) / WinogradGradientPlan.run
    let calls = 16 * runs * ((depth + 15) / 16) * ((outputs + ProductTile.width - 1) / ProductTile.width)
    let fetchesInput = depth == job.x.channels
    let inputBytes = fetchesInput ? 4 * elementBytes * count * job.x.pixelStride : 0
    let bytes = end < plan.tiles ? inputBytes + 4 * elementBytes * count * job.dy.pixelStride : 0
    var next = Ahead(job, firstTile: end, count: count, inputBytes: inputBytes, bytes: bytes)
    var p = 0
    while p < 16 {
        let patches = job.scratch + plan.patches.offset + p * plan.patches.plane
        let gradients = job.scratch + plan.gradients.offset + p * plan.gradients.plane
        let sums = job.scratch + plan.sums.offset + p * plan.sums.plane
        let chains = job.scratch + plan.chains.offset + p * plan.chains.plane
        var done = 0
        while done < outputs {
            let wide = ProductTile.width == 32 && done + 16 < outputs
            let stride = wide ? 32 : 16
            var input = 0
            while input < depth {
                let place = done * block + input * stride
                // The sums of a block of input channels stay in the first cache while the runs pass by.
                var start = 0
                while start < count {
                    let tiles = (min(WinogradGradientPlan.run, count - start) + packing - 1) / packing
                    let last = min(tile + start + WinogradGradientPlan.run, end)
                    let job = GradientTile(
                        patches: UnsafeRawPointer(patches + input * words + start / packing * 16),
                        gradients: UnsafeRawPointer(gradients + (output + done) * words + start / packing * stride),
                        sums: sums + place,
                        chains: chains + place,
                        tiles: tiles,
                        stride: stride,
                        continues: (tile + start) % WinogradGradientPlan.run != 0,
                        finishes: last % WinogradGradientPlan.run == 0 || last == plan.tiles,
                        adds: tile + start >= WinogradGradientPlan.run,
                        ahead: next.take(bytes / calls),
                        aheadStep: bytes / calls / (tiles * GradientTile.tilesOfBlock(wide: wide))
                    )
                    GradientTile.runBlock(job, wide: wide)
                    start += WinogradGradientPlan.run
                }
                input += 16
            }
            done += ProductTile.width
        }
        p += 1
    }
}

/// w0 = y0, w1 = y0 + y1, w2 = y0 - y1, w3 = -y1.
@inline(__always)
func gradientColumn(_ y0: Lanes, _ y1: Lanes) -> (Lanes, Lanes, Lanes, Lanes) { (y0, y0 + y1, y0 - y1, -y1) }

/// Turns the sums of input channels `input` ..< `input + depth` and output channels `output` ..< into weights.
func winogradGradientOutputs(
    _ job: borrowing WinogradGradientJob,
    input: Int,
    depth: Int,
    output: Int,
    _ outputs: Int
) {
    let plan = job.plan
    let plane = plan.sums.plane
    let inputs = job.x.channels
    var done = 0
    while done < outputs {
        let inPanel = done % ProductTile.width
        let panel = done - inPanel
        let width = min(ProductTile.width, WinogradPlan.rounded(outputs - panel, 16))
        let from = job.scratch + plan.sums.offset + panel * plan.depthBlock + inPanel
        let to = job.dw + ((output + done) / 16 * 9 * inputs + input) * 16
        let left = outputs - done
        var k = 0
        while k < depth {
            let m = from + k * width
            let a = tapColumn(load(m), load(m + 4 * plane), load(m + 8 * plane), load(m + 12 * plane))
            let n = m + plane
            let b = tapColumn(load(n), load(n + 4 * plane), load(n + 8 * plane), load(n + 12 * plane))
            let o = n + plane
            let c = tapColumn(load(o), load(o + 4 * plane), load(o + 8 * plane), load(o + 12 * plane))
            let p = o + plane
            let d = tapColumn(load(p), load(p + 4 * plane), load(p + 8 * plane), load(p + 12 * plane))
            let place = to + k * 16
            storeTaps(tapColumn(a.0, b.0, c.0, d.0), place, inputs * 16, left)
            storeTaps(tapColumn(a.1, b.1, c.1, d.1), place + 3 * inputs * 16, inputs * 16, left)
            storeTaps(tapColumn(a.2, b.2, c.2, d.2), place + 6 * inputs * 16, inputs * 16, left)
            k += 1
        }
        done += 16
    }
}

@inline(__always)
func storeTaps(_ taps: (Lanes, Lanes, Lanes), _ place: UnsafeMutablePointer<Float>, _ stride: Int, _ left: Int) {
    storeLanes(taps.0, place)
    storeLanes(taps.1, place + stride)
    storeLanes(taps.2, place + 2 * stride)
    if left < 16 {
        var lane = left
        while lane < 16 {
            place[lane] = 0
            place[stride + lane] = 0
            place[2 * stride + lane] = 0
            lane += 1
        }
    }
}

/// g0 = u0 + 0.5 · (u1 + u2), g1 = 0.5 · (u1 - u2), g2 = 0.5 · (u1 + u2) + u3.
@inline(__always)
func tapColumn(_ u0: Lanes, _ u1: Lanes, _ u2: Lanes, _ u3: Lanes) -> (Lanes, Lanes, Lanes) {
    let half = Lanes(repeating: 0.5)
    let even = half * (u1 + u2)
    return (u0 + even, half * (u1 - u2), even + u3)
}
