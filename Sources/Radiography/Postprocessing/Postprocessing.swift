/// How probabilities become a mask.
package enum MaskRule: Sendable, Equatable {
    /// What is more probable than this.
    case threshold(Float)
    /// Nothing where fewer than `area` pixels are above `top`; else what is above `bottom`.
    case triplet(top: Float, area: Int, bottom: Float)
}

extension MaskRule {
    /// The level above which a map's pixels are the mask; nil where the mask is empty whatever they are.
    ///
    /// Areas count pixels of 1024 × 1024.
    package func level(for map: UnsafeBufferPointer<Float>, size: Int) -> Float? {
        switch self {
        case .threshold(let threshold): return threshold
        case .triplet(let top, let area, let bottom):
            guard area > 0 else { return bottom }
            let upsampler = MapUpsampler(size: size)
            var confident = 0
            upsampler.forEachColumn(of: map, above: top) { _, column in
                var count: Int32 = 0
                for y in 0..<upsampler.side where column[y] > top { count += 1 }
                confident += Int(count)
            }
            return confident < area ? nil : bottom
        }
    }
}

/// From a network's probabilities to the mask that is submitted, at 1024 × 1024.
package struct Postprocessing: Sendable, Equatable {
    package var rule: MaskRule
    /// Connected parts (also over corners) of fewer pixels are taken out; 0 keeps all.
    package var minimumComponentArea: Int
    /// A mask of fewer pixels, after that, becomes empty; 0 keeps all.
    package var minimumTotalArea: Int

    package init(rule: MaskRule, minimumComponentArea: Int = 0, minimumTotalArea: Int = 0) {
        self.rule = rule
        self.minimumComponentArea = minimumComponentArea
        self.minimumTotalArea = minimumTotalArea
    }

    /// The mask of a map of `size` · `size` probabilities, row-major.
    ///
    /// Areas count pixels of 1024 × 1024.
    ///
    /// A probability that is not a number is above nothing. Pure; any thread.
    package func mask(of map: UnsafeBufferPointer<Float>, size: Int) -> RunLengthMask {
        let side = RunLengthMask.challengeSide
        var mask =
            rule.level(for: map, size: size).map { RunLengthMask(map, size: size, above: $0) }
            ?? RunLengthMask(width: side, height: side)
        if minimumComponentArea > 1 { mask = mask.removingComponents(below: minimumComponentArea) }
        if mask.area < minimumTotalArea { mask = RunLengthMask(width: mask.width, height: mask.height) }
        return mask
    }

    package func mask(of map: ProbabilityMap) -> RunLengthMask {
        map.values.withUnsafeBufferPointer { mask(of: $0, size: map.size) }
    }

    /// The metric's counts of a map against the true mask of 1024 × 1024.
    package func counts(of map: UnsafeBufferPointer<Float>, size: Int, truth: RunLengthMask) -> ImageCounts {
        ImageCounts(prediction: mask(of: map, size: size), truth: truth)
    }

    package func counts(of map: ProbabilityMap, truth: RunLengthMask) -> ImageCounts {
        ImageCounts(prediction: mask(of: map), truth: truth)
    }
}

extension RunLengthMask {
    /// The pixels at 1024 × 1024 at which a map of `size` × `size` is above `threshold`.
    init(_ map: UnsafeBufferPointer<Float>, size: Int, above threshold: Float) {
        let side = Self.challengeSide
        self.init(width: side, height: side)
        MapUpsampler(size: size).forEachColumn(of: map, above: threshold) { x, column in
            var y = 0
            while y < side {
                while y < side && !(column[y] > threshold) { y += 1 }
                let start = y
                while y < side && column[y] > threshold { y += 1 }
                if y > start { append(Run(start: Int32(x * side + start), length: Int32(y - start))) }
            }
        }
    }

    /// The mask without its connected parts of fewer than `area` pixels.
    ///
    /// Pixels that touch at a corner are connected.
    package func removingComponents(below area: Int) -> RunLengthMask {
        // Runs cut at the ends of columns; `columnStarts[x]` is the first of column x.
        var pieces: [(x: Int, start: Int, end: Int)] = []
        for run in runs {
            var start = Int(run.start)
            while start < Int(run.end) {
                let x = start / height
                let end = min(Int(run.end), (x + 1) * height)
                pieces.append((x, start - x * height, end - x * height))
                start = end
            }
        }
        var parents = Array(pieces.indices)
        func root(_ piece: Int) -> Int {
            var piece = piece
            while parents[piece] != piece {
                parents[piece] = parents[parents[piece]]
                piece = parents[piece]
            }
            return piece
        }
        var previous = 0
        for piece in pieces.indices {
            let here = pieces[piece]
            // Skip what lies left of the column before this one, or above the piece in it.
            while previous < piece
                && (pieces[previous].x < here.x - 1
                    || (pieces[previous].x == here.x - 1 && pieces[previous].end < here.start))
            {
                previous += 1
            }
            var other = previous
            while other < piece && pieces[other].x == here.x - 1 && pieces[other].start <= here.end {
                parents[root(piece)] = root(other)
                other += 1
            }
        }
        var areas = [Int](repeating: 0, count: pieces.count)
        for piece in pieces.indices { areas[root(piece)] += pieces[piece].end - pieces[piece].start }
        var result = RunLengthMask(width: width, height: height)
        for piece in pieces.indices where areas[root(piece)] >= area {
            let here = pieces[piece]
            result.append(
                Run(start: Int32(here.x * height + here.start), length: Int32(here.end - here.start))
            )
        }
        return result
    }
}
