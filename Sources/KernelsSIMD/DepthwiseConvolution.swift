import Kernels

// Convolutions of each channel with a kernel of its own. The lanes are channels.

/// The strip's outputs, `length` of them: `stripLength`, 4 or 1.
@inline(__always)
func depthwiseStrip(_ strip: Strip, _ length: Int) {
    if length == stripLength {
        // Where neighbouring outputs share their sources, each source is loaded once for a row of taps.
        if strip.columns == 3 && strip.columnStep == strip.outputSourceStep {
            depthwiseSlide3(strip)
        } else if strip.columns == 3 && strip.columnStep == -strip.outputSourceStep {
            depthwiseSlide3(strip.reversed(length: length))
        } else if strip.columns == 5 && strip.columnStep == strip.outputSourceStep {
            depthwiseSlide5(strip)
        } else if strip.columns == 5 && strip.columnStep == -strip.outputSourceStep {
            depthwiseSlide5(strip.reversed(length: length))
        } else {
            depthwiseLong(strip)
        }
    } else if length == 4 {
        depthwiseFour(strip)
    } else {
        depthwiseOne(strip)
    }
}

func depthwiseOne(_ s: Strip) {
    var channel = 0
    while channel < s.channels {
        var sum = Lanes(repeating: 0)
        var sourceRow = s.source + channel
        var weightRow = s.weights + channel / 16 * s.blockStride
        var row = 0
        while row < s.rows {
            var source = sourceRow
            var weights = weightRow
            var column = 0
            while column < s.columns {
                sum = fma(load(source), load(weights), sum)
                source += s.columnStep
                weights += s.weightColumnStep
                column += 1
            }
            sourceRow += s.rowStep
            weightRow += s.weightRowStep
            row += 1
        }
        s.finish(sum, 0, channel)
        channel += 16
    }
}

func depthwiseFour(_ s: Strip) {
    let step = s.outputSourceStep
    var channel = 0
    while channel < s.channels {
        let zero = Lanes(repeating: 0)
        var sum = (zero, zero, zero, zero)
        var sourceRow = s.source + channel
        var weightRow = s.weights + channel / 16 * s.blockStride
        var row = 0
        while row < s.rows {
            var source = sourceRow
            var weights = weightRow
            var column = 0
            while column < s.columns {
                let w = load(weights)
                sum.0 = fma(load(source), w, sum.0)
                sum.1 = fma(load(source + step), w, sum.1)
                sum.2 = fma(load(source + 2 * step), w, sum.2)
                sum.3 = fma(load(source + 3 * step), w, sum.3)
                source += s.columnStep
                weights += s.weightColumnStep
                column += 1
            }
            sourceRow += s.rowStep
            weightRow += s.weightRowStep
            row += 1
        }
        s.finish(sum, channel)
        channel += 16
    }
}

#if AVX512
    func depthwiseLong(_ s: Strip) {
        let step = s.outputSourceStep
        var channel = 0
        while channel < s.channels {
            var sum = EightLanes()
            var sourceRow = s.source + channel
            var weightRow = s.weights + channel / 16 * s.blockStride
            var row = 0
            while row < s.rows {
                var source = sourceRow
                var weights = weightRow
                var column = 0
                while column < s.columns {
                    let w = load(weights)
                    sum.a = fma(load(source), w, sum.a)
                    sum.b = fma(load(source + step), w, sum.b)
                    sum.c = fma(load(source + 2 * step), w, sum.c)
                    sum.d = fma(load(source + 3 * step), w, sum.d)
                    let second = source + 4 * step
                    sum.e = fma(load(second), w, sum.e)
                    sum.f = fma(load(second + step), w, sum.f)
                    sum.g = fma(load(second + 2 * step), w, sum.g)
                    sum.h = fma(load(second + 3 * step), w, sum.h)
                    source += s.columnStep
                    weights += s.weightColumnStep
                    column += 1
                }
                sourceRow += s.rowStep
                weightRow += s.weightRowStep
                row += 1
            }
            sum.finish(s, channel)
            channel += 16
        }
    }

    /// Sums of the eight outputs of a strip.
    struct EightLanes {
        var a = Lanes(repeating: 0)
        var b = Lanes(repeating: 0)
        var c = Lanes(repeating: 0)
        var d = Lanes(repeating: 0)
        var e = Lanes(repeating: 0)
        var f = Lanes(repeating: 0)
        var g = Lanes(repeating: 0)
        var h = Lanes(repeating: 0)

        @inline(__always)
        func finish(_ strip: borrowing Strip, _ channel: Int) {
            if strip.isPlain, channel + 16 <= strip.channels {
                let step = strip.outputStep
                let place = strip.output + channel
                let second = place + 4 * step
                storeLanes(a, place)
                storeLanes(b, place + step)
                storeLanes(c, place + 2 * step)
                storeLanes(d, place + 3 * step)
                storeLanes(e, second)
                storeLanes(f, second + step)
                storeLanes(g, second + 2 * step)
                storeLanes(h, second + 3 * step)
                return
            }
            // One call in a loop: the compiler stops inlining in functions of many blocks.
            var index = 0
            while index < 8 {
                let sum: Lanes
                switch index {
                case 0: sum = a
                case 1: sum = b
                case 2: sum = c
                case 3: sum = d
                case 4: sum = e
                case 5: sum = f
                case 6: sum = g
                default: sum = h
                }
                strip.finish(sum, index, channel)
                index += 1
            }
        }

        /// Adds the products of sources 0 ..< 10 with a row of three weights, each source once.
        @inline(__always)
        mutating func slide(_ w: (Lanes, Lanes, Lanes), _ source: (Int) -> Lanes) {
            var v = source(0)
            a = fma(v, w.0, a)
            v = source(1)
            a = fma(v, w.1, a)
            b = fma(v, w.0, b)
            v = source(2)
            a = fma(v, w.2, a)
            b = fma(v, w.1, b)
            c = fma(v, w.0, c)
            v = source(3)
            b = fma(v, w.2, b)
            c = fma(v, w.1, c)
            d = fma(v, w.0, d)
            v = source(4)
            c = fma(v, w.2, c)
            d = fma(v, w.1, d)
            e = fma(v, w.0, e)
            v = source(5)
            d = fma(v, w.2, d)
            e = fma(v, w.1, e)
            f = fma(v, w.0, f)
            v = source(6)
            e = fma(v, w.2, e)
            f = fma(v, w.1, f)
            g = fma(v, w.0, g)
            v = source(7)
            f = fma(v, w.2, f)
            g = fma(v, w.1, g)
            h = fma(v, w.0, h)
            v = source(8)
            g = fma(v, w.2, g)
            h = fma(v, w.1, h)
            v = source(9)
            h = fma(v, w.2, h)
        }

        /// The same with five weights and sources 0 ..< 12.
        @inline(__always)
        mutating func slide(_ w: (Lanes, Lanes, Lanes, Lanes, Lanes), _ source: (Int) -> Lanes) {
            var v = source(0)
            a = fma(v, w.0, a)
            v = source(1)
            a = fma(v, w.1, a)
            b = fma(v, w.0, b)
            v = source(2)
            a = fma(v, w.2, a)
            b = fma(v, w.1, b)
            c = fma(v, w.0, c)
            v = source(3)
            a = fma(v, w.3, a)
            b = fma(v, w.2, b)
            c = fma(v, w.1, c)
            d = fma(v, w.0, d)
            v = source(4)
            a = fma(v, w.4, a)
            b = fma(v, w.3, b)
            c = fma(v, w.2, c)
            d = fma(v, w.1, d)
            e = fma(v, w.0, e)
            v = source(5)
            b = fma(v, w.4, b)
            c = fma(v, w.3, c)
            d = fma(v, w.2, d)
            e = fma(v, w.1, e)
            f = fma(v, w.0, f)
            v = source(6)
            c = fma(v, w.4, c)
            d = fma(v, w.3, d)
            e = fma(v, w.2, e)
            f = fma(v, w.1, f)
            g = fma(v, w.0, g)
            v = source(7)
            d = fma(v, w.4, d)
            e = fma(v, w.3, e)
            f = fma(v, w.2, f)
            g = fma(v, w.1, g)
            h = fma(v, w.0, h)
            v = source(8)
            e = fma(v, w.4, e)
            f = fma(v, w.3, f)
            g = fma(v, w.2, g)
            h = fma(v, w.1, h)
            v = source(9)
            f = fma(v, w.4, f)
            g = fma(v, w.3, g)
            h = fma(v, w.2, h)
            v = source(10)
            g = fma(v, w.4, g)
            h = fma(v, w.3, h)
            v = source(11)
            h = fma(v, w.4, h)
        }
    }

    func depthwiseSlide3(_ s: Strip) {
        let step = s.outputSourceStep
        let next = s.weightColumnStep
        var channel = 0
        while channel < s.channels {
            var sum = EightLanes()
            var source = s.source + channel
            var weights = s.weights + channel / 16 * s.blockStride
            var row = 0
            while row < s.rows {
                let w = (load(weights), load(weights + next), load(weights + 2 * next))
                let first = source
                sum.slide(w) { load(first + $0 * step) }
                source += s.rowStep
                weights += s.weightRowStep
                row += 1
            }
            sum.finish(s, channel)
            channel += 16
        }
    }

    func depthwiseSlide5(_ s: Strip) {
        let step = s.outputSourceStep
        let next = s.weightColumnStep
        var channel = 0
        while channel < s.channels {
            var sum = EightLanes()
            var source = s.source + channel
            var weights = s.weights + channel / 16 * s.blockStride
            var row = 0
            while row < s.rows {
                let w = (
                    load(weights), load(weights + next), load(weights + 2 * next), load(weights + 3 * next),
                    load(weights + 4 * next)
                )
                let first = source
                sum.slide(w) { load(first + $0 * step) }
                source += s.rowStep
                weights += s.weightRowStep
                row += 1
            }
            sum.finish(s, channel)
            channel += 16
        }
    }
#else
    // With 16 registers of 256 bits, four outputs are what fits.
    @inline(__always)
    func depthwiseLong(_ s: Strip) { depthwiseFour(s) }

    @inline(__always)
    func depthwiseSlide3(_ s: Strip) { depthwiseFour(s) }

    @inline(__always)
    func depthwiseSlide5(_ s: Strip) { depthwiseFour(s) }
#endif
