import Kernels

// Convolutions of each channel with a kernel of its own. The lanes are channels.

/// The strip's outputs, whose taps all lie inside.
@inline(__always)
func depthwiseStrip(_ strip: Strip) {
    #if AVX512
        // Where neighbouring outputs share their sources, each source is loaded once for a row of taps.
        if strip.columnStep == strip.outputSourceStep {
            if strip.columns == 3 { return depthwiseSlide3(strip) }
            if strip.columns == 5 { return depthwiseSlide5(strip) }
        }
    #endif
    depthwiseInside(strip)
}

func depthwiseInside(_ s: Strip) {
    var channel = s.firstChannel
    while channel < s.lastChannel {
        var sums = StripSums()
        var sourceRow = s.source + channel
        var weightRow = s.weights + channel / 16 * s.blockStride
        var row = 0
        while row < s.rows {
            var source = sourceRow
            var weights = weightRow
            var column = 0
            while column < s.columns {
                sums.add(source, s.outputSourceStep, load(weights)) { load($0) }
                source += s.columnStep
                weights += s.weightColumnStep
                column += 1
            }
            sourceRow += s.rowStep
            weightRow += s.weightRowStep
            row += 1
        }
        sums.finish(s, channel)
        channel += 16
    }
}

/// The strip's first `count` outputs, where some taps lie outside.
@inline(__always)
func depthwiseEdge(_ strip: Strip, _ count: Int) {
    #if AVX512
        if strip.columnStep == strip.outputSourceStep {
            if strip.columns == 3 { return depthwiseSlide3Edge(strip, count) }
            if strip.columns == 5 { return depthwiseSlide5Edge(strip, count) }
        }
    #endif
    depthwiseAnyEdge(strip, count)
}

func depthwiseAnyEdge(_ s: Strip, _ count: Int) {
    var channel = s.firstChannel
    while channel < s.lastChannel {
        var sums = StripSums()
        var sourceRow = s.source + channel
        var weightRow = s.weights + channel / 16 * s.blockStride
        var row = 0
        while row < s.rows {
            var source = sourceRow
            var weights = weightRow
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
                ) { load($0) }
                source += s.columnStep
                weights += s.weightColumnStep
                place += s.tapColumns
                column += 1
            }
            sourceRow += s.rowStep
            weightRow += s.weightRowStep
            row += 1
        }
        sums.finish(s, channel, count)
        channel += 16
    }
}

#if AVX512
    func depthwiseSlide3(_ s: Strip) {
        depthwiseSlide(s, stripLength) { sums, source, weights in
            sums.slide(threeWeights(weights, s.weightColumnStep)) { load(source + $0 * s.outputSourceStep) }
        }
    }

    func depthwiseSlide5(_ s: Strip) {
        depthwiseSlide(s, stripLength) { sums, source, weights in
            sums.slide(fiveWeights(weights, s.weightColumnStep)) { load(source + $0 * s.outputSourceStep) }
        }
    }

    func depthwiseSlide3Edge(_ s: Strip, _ count: Int) {
        depthwiseSlide(s, count) { sums, source, weights in
            sums.slide(threeWeights(weights, s.weightColumnStep)) {
                s.isInside($0) ? load(source + $0 * s.outputSourceStep) : Lanes(repeating: 0)
            }
        }
    }

    func depthwiseSlide5Edge(_ s: Strip, _ count: Int) {
        depthwiseSlide(s, count) { sums, source, weights in
            sums.slide(fiveWeights(weights, s.weightColumnStep)) {
                s.isInside($0) ? load(source + $0 * s.outputSourceStep) : Lanes(repeating: 0)
            }
        }
    }

    /// Calls `row(sums, source, weights)` for each row of taps of each block of channels.
    @inline(__always)
    func depthwiseSlide(
        _ s: Strip,
        _ count: Int,
        _ row: (inout StripSums, UnsafePointer<Element>, UnsafePointer<Float>) -> Void
    ) {
        var channel = s.firstChannel
        while channel < s.lastChannel {
            var sums = StripSums()
            var source = s.source + channel
            var weights = s.weights + channel / 16 * s.blockStride
            var index = 0
            while index < s.rows {
                row(&sums, source, weights)
                source += s.rowStep
                weights += s.weightRowStep
                index += 1
            }
            sums.finish(s, channel, count)
            channel += 16
        }
    }

    @inline(__always)
    func threeWeights(_ weights: UnsafePointer<Float>, _ step: Int) -> (Lanes, Lanes, Lanes) {
        (load(weights), load(weights + step), load(weights + 2 * step))
    }

    @inline(__always)
    func fiveWeights(_ weights: UnsafePointer<Float>, _ step: Int) -> (Lanes, Lanes, Lanes, Lanes, Lanes) {
        (
            load(weights), load(weights + step), load(weights + 2 * step), load(weights + 3 * step),
            load(weights + 4 * step)
        )
    }
#endif
