import Kernels

#if AVX512
    /// Outputs of a strip: as many sums as the registers hold.
    let stripLength = 8

    /// The sums of a strip's outputs.
    struct StripSums {
        var a = Lanes(repeating: 0)
        var b = Lanes(repeating: 0)
        var c = Lanes(repeating: 0)
        var d = Lanes(repeating: 0)
        var e = Lanes(repeating: 0)
        var f = Lanes(repeating: 0)
        var g = Lanes(repeating: 0)
        var h = Lanes(repeating: 0)

        /// Adds to each output its `value` times w; `value` is that at a distance from `source`.
        @inline(__always)
        mutating func add(
            _ source: UnsafePointer<Element>,
            _ step: Int,
            _ w: Lanes,
            _ value: (UnsafePointer<Element>) -> Lanes
        ) {
            let second = source + 4 * step
            a = fma(value(source), w, a)
            b = fma(value(source + step), w, b)
            c = fma(value(source + 2 * step), w, c)
            d = fma(value(source + 3 * step), w, d)
            e = fma(value(second), w, e)
            f = fma(value(second + step), w, f)
            g = fma(value(second + 2 * step), w, g)
            h = fma(value(second + 3 * step), w, h)
        }

        /// The same where some sources lie outside and count as zero: output i reads column `column` + i · `columnStep` of `width`.
        @inline(__always)
        mutating func addInside(
            _ source: UnsafePointer<Element>,
            _ step: Int,
            column: Int,
            columnStep: Int,
            width: Int,
            _ w: Lanes,
            _ value: (UnsafePointer<Element>) -> Lanes
        ) {
            @inline(__always)
            func add(_ index: Int, _ sum: inout Lanes) {
                let place = column + index * columnStep
                let isInside = place >= 0 && place < width
                sum = fma(isInside ? value(source + index * step) : Lanes(repeating: 0), w, sum)
            }
            add(0, &a)
            add(1, &b)
            add(2, &c)
            add(3, &d)
            add(4, &e)
            add(5, &f)
            add(6, &g)
            add(7, &h)
        }

        /// Puts the sums of the first `count` outputs at `channel`.
        @inline(__always)
        func finish(_ strip: borrowing Strip, _ channel: Int, _ count: Int = stripLength) {
            if count == stripLength, strip.isPlain, channel + 16 <= strip.channels {
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
            while index < count {
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
#else
    /// Outputs of a strip: with 16 registers of 256 bits, four.
    let stripLength = 4

    /// The sums of a strip's outputs.
    struct StripSums {
        var a = Lanes(repeating: 0)
        var b = Lanes(repeating: 0)
        var c = Lanes(repeating: 0)
        var d = Lanes(repeating: 0)

        /// Adds to each output its `value` times w; `value` is that at a distance from `source`.
        @inline(__always)
        mutating func add(
            _ source: UnsafePointer<Element>,
            _ step: Int,
            _ w: Lanes,
            _ value: (UnsafePointer<Element>) -> Lanes
        ) {
            a = fma(value(source), w, a)
            b = fma(value(source + step), w, b)
            c = fma(value(source + 2 * step), w, c)
            d = fma(value(source + 3 * step), w, d)
        }

        /// The same where some sources lie outside and count as zero: output i reads column `column` + i · `columnStep` of `width`.
        @inline(__always)
        mutating func addInside(
            _ source: UnsafePointer<Element>,
            _ step: Int,
            column: Int,
            columnStep: Int,
            width: Int,
            _ w: Lanes,
            _ value: (UnsafePointer<Element>) -> Lanes
        ) {
            @inline(__always)
            func add(_ index: Int, _ sum: inout Lanes) {
                let place = column + index * columnStep
                let isInside = place >= 0 && place < width
                sum = fma(isInside ? value(source + index * step) : Lanes(repeating: 0), w, sum)
            }
            add(0, &a)
            add(1, &b)
            add(2, &c)
            add(3, &d)
        }

        /// Puts the sums of the first `count` outputs at `channel`.
        @inline(__always)
        func finish(_ strip: borrowing Strip, _ channel: Int, _ count: Int = stripLength) {
            if count == stripLength, strip.isPlain, channel + 16 <= strip.channels {
                let step = strip.outputStep
                let place = strip.output + channel
                storeLanes(a, place)
                storeLanes(b, place + step)
                storeLanes(c, place + 2 * step)
                storeLanes(d, place + 3 * step)
                return
            }
            // One call in a loop: the compiler stops inlining in functions of many blocks.
            var index = 0
            while index < count {
                strip.finish(index == 0 ? a : (index == 1 ? b : (index == 2 ? c : d)), index, channel)
                index += 1
            }
        }
    }
#endif
