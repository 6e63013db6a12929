import CIntrinsics
import Kernels

// Convolutions of groups of channels. Sixteen lanes are output channels. Where groups are narrower than the lanes,
// several stand in one vector, and a permutation gives each lane the input channel of its own group; where they are a
// multiple of the lanes, one input channel is broadcast to all.

/// How the lanes of a block of output channels find input channel i of their group.
enum GroupAccess {
    /// Groups of 2, 4 or 8: a permutation within the sixteen source channels at the block's place.
    case permutation
    /// One group for all lanes.
    case broadcast
    /// Lane by lane.
    case scattered

    @inline(__always)
    static func of(inputsPerGroup inputs: Int, outputsPerGroup outputs: Int) -> GroupAccess {
        if outputs % 16 == 0 { return .broadcast }
        if inputs == outputs && (inputs == 2 || inputs == 4 || inputs == 8) { return .permutation }
        return .scattered
    }
}

/// The element at `source` in all lanes.
@inline(__always)
func broadcast(_ source: UnsafePointer<Float>) -> Lanes { Lanes(repeating: source.pointee) }

@inline(__always)
func broadcast(_ source: UnsafePointer<UInt16>) -> Lanes {
    Lanes(repeating: Float(bitPattern: UInt32(source.pointee) << 16))
}

/// Element `input` of each lane's group; `source` is the pixel's first channel and `channel` the block's.
@inline(__always)
func scattered(_ source: UnsafePointer<Element>, _ s: borrowing Strip, _ channel: Int, _ input: Int) -> Lanes {
    var value = Lanes(repeating: 0)
    var lane = 0
    let count = min(16, s.channels - channel)
    while lane < count {
        let group = (channel + lane) / s.outputsPerGroup
        value[lane] = broadcast(source + group * s.inputsPerGroup + input)[0]
        lane += 1
    }
    return value
}

/// The strip's first `count` outputs.
func groupedStrip(_ strip: Strip, _ count: Int, isInside: Bool) {
    switch GroupAccess.of(inputsPerGroup: strip.inputsPerGroup, outputsPerGroup: strip.outputsPerGroup) {
    case .permutation:
        #if AVX512
            if strip.columns == 3 && strip.columnStep == strip.outputSourceStep {
                return isInside ? permutedSlide3(strip) : permutedSlide3Edge(strip, count)
            }
        #endif
        if isInside { permutedInside(strip) } else { permutedEdge(strip, count) }
    case .broadcast:
        #if AVX512
            if strip.columns == 3 && strip.columnStep == strip.outputSourceStep {
                return isInside ? broadcastSlide3(strip) : broadcastSlide3Edge(strip, count)
            }
        #endif
        if isInside { broadcastInside(strip) } else { broadcastEdge(strip, count) }
    case .scattered:
        scatteredEdge(strip, count)
    }
}

/// The outputs of one block of channels; `value` is the lanes' element of an input channel at a source.
@inline(__always)
func gatherInside(_ s: borrowing Strip, _ channel: Int, _ value: (UnsafePointer<Element>, Int) -> Lanes) {
    var sums = StripSums()
    var sourceRow = s.source
    var weightRow = s.weights + channel / 16 * s.blockStride
    var row = 0
    while row < s.rows {
        var input = 0
        while input < s.inputsPerGroup {
            var source = sourceRow
            var weights = weightRow + input * 16
            var column = 0
            while column < s.columns {
                sums.add(source, s.outputSourceStep, load(weights)) { value($0, input) }
                source += s.columnStep
                weights += s.weightColumnStep
                column += 1
            }
            input += 1
        }
        sourceRow += s.rowStep
        weightRow += s.weightRowStep
        row += 1
    }
    sums.finish(s, channel)
}

/// The same where some taps lie outside.
@inline(__always)
func gatherEdge(
    _ s: borrowing Strip,
    _ channel: Int,
    _ count: Int,
    _ value: (UnsafePointer<Element>, Int) -> Lanes
) {
    var sums = StripSums()
    var sourceRow = s.source
    var weightRow = s.weights + channel / 16 * s.blockStride
    var row = 0
    while row < s.rows {
        var input = 0
        while input < s.inputsPerGroup {
            var source = sourceRow
            var weights = weightRow + input * 16
            var place = s.firstColumn
            var column = 0
            while column < s.columns {
                sums.addInside(
                    source,
                    s.outputSourceStep,
                    column: place,
                    columnStep: s.outputColumns,
                    width: s.width,
                    load(weights)
                ) { value($0, input) }
                source += s.columnStep
                weights += s.weightColumnStep
                place += s.tapColumns
                column += 1
            }
            input += 1
        }
        sourceRow += s.rowStep
        weightRow += s.weightRowStep
        row += 1
    }
    sums.finish(s, channel, count)
}

func permutedInside(_ s: Strip) {
    let size = s.inputsPerGroup
    var channel = s.firstChannel
    while channel < s.lastChannel {
        gatherInside(s, channel) { source, input in
            pleura_permute(load(source + channel), pleura_group_lanes(size, input))
        }
        channel += 16
    }
}

func permutedEdge(_ s: Strip, _ count: Int) {
    let size = s.inputsPerGroup
    var channel = s.firstChannel
    while channel < s.lastChannel {
        gatherEdge(s, channel, count) { source, input in
            pleura_permute(load(source + channel), pleura_group_lanes(size, input))
        }
        channel += 16
    }
}

func broadcastInside(_ s: Strip) {
    var channel = s.firstChannel
    while channel < s.lastChannel {
        let first = channel / s.outputsPerGroup * s.inputsPerGroup
        gatherInside(s, channel) { source, input in broadcast(source + first + input) }
        channel += 16
    }
}

func broadcastEdge(_ s: Strip, _ count: Int) {
    var channel = s.firstChannel
    while channel < s.lastChannel {
        let first = channel / s.outputsPerGroup * s.inputsPerGroup
        gatherEdge(s, channel, count) { source, input in broadcast(source + first + input) }
        channel += 16
    }
}

func scatteredEdge(_ s: Strip, _ count: Int) {
    var channel = s.firstChannel
    while channel < s.lastChannel {
        gatherEdge(s, channel, count) { source, input in scattered(source, s, channel, input) }
        channel += 16
    }
}

#if AVX512
    /// Outputs that share their sources; `value` is the lanes' element of an input channel at the source of a number.
    @inline(__always)
    func gatherSlide3(
        _ s: borrowing Strip,
        _ channel: Int,
        _ count: Int,
        _ value: (UnsafePointer<Element>, Int, Int) -> Lanes
    ) {
        var sums = StripSums()
        var source = s.source
        var weightRow = s.weights + channel / 16 * s.blockStride
        var row = 0
        while row < s.rows {
            var input = 0
            while input < s.inputsPerGroup {
                let first = source
                sums.slide(threeWeights(weightRow + input * 16, s.weightColumnStep)) { value(first, $0, input) }
                input += 1
            }
            source += s.rowStep
            weightRow += s.weightRowStep
            row += 1
        }
        sums.finish(s, channel, count)
    }

    func permutedSlide3(_ s: Strip) {
        let size = s.inputsPerGroup
        var channel = s.firstChannel
        while channel < s.lastChannel {
            gatherSlide3(s, channel, stripLength) { source, index, input in
                pleura_permute(
                    load(source + index * s.outputSourceStep + channel),
                    pleura_group_lanes(size, input)
                )
            }
            channel += 16
        }
    }

    func permutedSlide3Edge(_ s: Strip, _ count: Int) {
        let size = s.inputsPerGroup
        var channel = s.firstChannel
        while channel < s.lastChannel {
            gatherSlide3(s, channel, count) { source, index, input in
                s.isInside(index)
                    ? pleura_permute(
                        load(source + index * s.outputSourceStep + channel),
                        pleura_group_lanes(size, input)
                    ) : Lanes(repeating: 0)
            }
            channel += 16
        }
    }

    func broadcastSlide3(_ s: Strip) {
        var channel = s.firstChannel
        while channel < s.lastChannel {
            let first = channel / s.outputsPerGroup * s.inputsPerGroup
            gatherSlide3(s, channel, stripLength) { source, index, input in
                broadcast(source + index * s.outputSourceStep + first + input)
            }
            channel += 16
        }
    }

    func broadcastSlide3Edge(_ s: Strip, _ count: Int) {
        var channel = s.firstChannel
        while channel < s.lastChannel {
            let first = channel / s.outputsPerGroup * s.inputsPerGroup
            gatherSlide3(s, channel, count) { source, index, input in
                s.isInside(index)
                    ? broadcast(source + index * s.outputSourceStep + first + input) : Lanes(repeating: 0)
            }
            channel += 16
        }
    }
#endif
