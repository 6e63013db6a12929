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

/// The strip's outputs, `length` of them: `stripLength`, 4 or 1.
func groupedStrip(_ strip: Strip, _ length: Int) {
    switch GroupAccess.of(inputsPerGroup: strip.inputsPerGroup, outputsPerGroup: strip.outputsPerGroup) {
    case .permutation:
        if length == stripLength {
            #if AVX512
                if strip.columns == 3 && strip.columnStep == strip.outputSourceStep {
                    return permutedSlide3(strip)
                } else if strip.columns == 3 && strip.columnStep == -strip.outputSourceStep {
                    return permutedSlide3(strip.reversed(length: length))
                } else {
                    return permutedLong(strip)
                }
            #else
                return permutedFour(strip)
            #endif
        } else if length == 4 {
            permutedFour(strip)
        } else {
            permutedOne(strip)
        }
    case .broadcast:
        if length == stripLength {
            #if AVX512
                if strip.columns == 3 && strip.columnStep == strip.outputSourceStep {
                    return broadcastSlide3(strip)
                } else if strip.columns == 3 && strip.columnStep == -strip.outputSourceStep {
                    return broadcastSlide3(strip.reversed(length: length))
                } else {
                    return broadcastLong(strip)
                }
            #else
                return broadcastFour(strip)
            #endif
        } else if length == 4 {
            broadcastFour(strip)
        } else {
            broadcastOne(strip)
        }
    case .scattered:
        var output = strip
        var index = 0
        while index < length {
            scatteredOne(output)
            output.source += strip.outputSourceStep
            output.output += strip.outputStep
            index += 1
        }
    }
}

/// One output; `value` is the lanes' element of an input channel at a source.
@inline(__always)
func gatherOne(_ s: borrowing Strip, _ channel: Int, _ value: (UnsafePointer<Element>, Int) -> Lanes) {
    var sum = Lanes(repeating: 0)
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
                sum = fma(value(source, input), load(weights), sum)
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
    s.finish(sum, 0, channel)
}

/// Four outputs.
@inline(__always)
func gatherFour(_ s: borrowing Strip, _ channel: Int, _ value: (UnsafePointer<Element>, Int) -> Lanes) {
    let zero = Lanes(repeating: 0)
    let step = s.outputSourceStep
    var sum = (zero, zero, zero, zero)
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
                let w = load(weights)
                sum.0 = fma(value(source, input), w, sum.0)
                sum.1 = fma(value(source + step, input), w, sum.1)
                sum.2 = fma(value(source + 2 * step, input), w, sum.2)
                sum.3 = fma(value(source + 3 * step, input), w, sum.3)
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
    s.finish(sum, channel)
}

func permutedOne(_ s: Strip) {
    let size = s.inputsPerGroup
    var channel = 0
    while channel < s.channels {
        gatherOne(s, channel) { source, input in
            pleura_permute(load(source + channel), pleura_group_lanes(size, input))
        }
        channel += 16
    }
}

func permutedFour(_ s: Strip) {
    let size = s.inputsPerGroup
    var channel = 0
    while channel < s.channels {
        gatherFour(s, channel) { source, input in
            pleura_permute(load(source + channel), pleura_group_lanes(size, input))
        }
        channel += 16
    }
}

func broadcastOne(_ s: Strip) {
    var channel = 0
    while channel < s.channels {
        let first = channel / s.outputsPerGroup * s.inputsPerGroup
        gatherOne(s, channel) { source, input in broadcast(source + first + input) }
        channel += 16
    }
}

func broadcastFour(_ s: Strip) {
    var channel = 0
    while channel < s.channels {
        let first = channel / s.outputsPerGroup * s.inputsPerGroup
        gatherFour(s, channel) { source, input in broadcast(source + first + input) }
        channel += 16
    }
}

func scatteredOne(_ s: Strip) {
    var channel = 0
    while channel < s.channels {
        gatherOne(s, channel) { source, input in scattered(source, s, channel, input) }
        channel += 16
    }
}

#if AVX512
    /// Eight outputs.
    @inline(__always)
    func gatherEight(_ s: borrowing Strip, _ channel: Int, _ value: (UnsafePointer<Element>, Int) -> Lanes) {
        let step = s.outputSourceStep
        var sum = EightLanes()
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
                    let w = load(weights)
                    let second = source + 4 * step
                    sum.a = fma(value(source, input), w, sum.a)
                    sum.b = fma(value(source + step, input), w, sum.b)
                    sum.c = fma(value(source + 2 * step, input), w, sum.c)
                    sum.d = fma(value(source + 3 * step, input), w, sum.d)
                    sum.e = fma(value(second, input), w, sum.e)
                    sum.f = fma(value(second + step, input), w, sum.f)
                    sum.g = fma(value(second + 2 * step, input), w, sum.g)
                    sum.h = fma(value(second + 3 * step, input), w, sum.h)
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
        sum.finish(s, channel)
    }

    /// Eight outputs that share their sources.
    @inline(__always)
    func gatherSlide3(_ s: borrowing Strip, _ channel: Int, _ value: (UnsafePointer<Element>, Int) -> Lanes) {
        let step = s.outputSourceStep
        let next = s.weightColumnStep
        var sum = EightLanes()
        var source = s.source
        var weightRow = s.weights + channel / 16 * s.blockStride
        var row = 0
        while row < s.rows {
            var input = 0
            while input < s.inputsPerGroup {
                let weights = weightRow + input * 16
                let w = (load(weights), load(weights + next), load(weights + 2 * next))
                let first = source
                sum.slide(w) { value(first + $0 * step, input) }
                input += 1
            }
            source += s.rowStep
            weightRow += s.weightRowStep
            row += 1
        }
        sum.finish(s, channel)
    }

    func permutedLong(_ s: Strip) {
        let size = s.inputsPerGroup
        var channel = 0
        while channel < s.channels {
            gatherEight(s, channel) { source, input in
                pleura_permute(load(source + channel), pleura_group_lanes(size, input))
            }
            channel += 16
        }
    }

    func permutedSlide3(_ s: Strip) {
        let size = s.inputsPerGroup
        var channel = 0
        while channel < s.channels {
            gatherSlide3(s, channel) { source, input in
                pleura_permute(load(source + channel), pleura_group_lanes(size, input))
            }
            channel += 16
        }
    }

    func broadcastLong(_ s: Strip) {
        var channel = 0
        while channel < s.channels {
            let first = channel / s.outputsPerGroup * s.inputsPerGroup
            gatherEight(s, channel) { source, input in broadcast(source + first + input) }
            channel += 16
        }
    }

    func broadcastSlide3(_ s: Strip) {
        var channel = 0
        while channel < s.channels {
            let first = channel / s.outputsPerGroup * s.inputsPerGroup
            gatherSlide3(s, channel) { source, input in broadcast(source + first + input) }
            channel += 16
        }
    }
#endif
