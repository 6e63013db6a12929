extension RunLengthMask {
    /// The mask of a row-major raster; every byte but 0 counts as set.
    ///
    /// `rowMajor` holds `width` · `height` bytes.
    package init(rowMajor: [UInt8], width: Int, height: Int) {
        self.init(width: width, height: height)
        precondition(rowMajor.count == width * height, "\(rowMajor.count) bytes for \(width)×\(height) pixels")
        // Columns are copied in strips of 64 bytes, a cache line, so that each line of the raster is fetched once.
        let strip = 64
        var columns = [UInt8](repeating: 0, count: strip * height)
        for firstColumn in stride(from: 0, to: width, by: strip) {
            let count = min(strip, width - firstColumn)
            rowMajor.withUnsafeBufferPointer { source in
                columns.withUnsafeMutableBufferPointer { target in
                    for y in 0..<height {
                        let row = y * width + firstColumn
                        for x in 0..<count { target[x * height + y] = source[row + x] }
                    }
                }
            }
            columns.withUnsafeBufferPointer {
                appendRuns(of: UnsafeBufferPointer(rebasing: $0[..<(count * height)]), from: firstColumn * height)
            }
        }
    }

    /// Adds the runs of a stretch of column-major bytes that begins at pixel `offset`.
    private mutating func appendRuns(of bytes: UnsafeBufferPointer<UInt8>, from offset: Int) {
        let count = bytes.count
        var index = 0
        while index < count {
            if bytes[index] == 0 {
                index += 1
                continue
            }
            let start = index
            while index < count && bytes[index] != 0 { index += 1 }
            append(Run(start: Int32(offset + start), length: Int32(index - start)))
        }
    }

    /// The row-major raster: `width` · `height` bytes, 1 where set and 0 elsewhere.
    package func rowMajor() -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: width * height) { target, count in
            target.initialize(repeating: 0)
            forEachColumnSpan { x, rows in
                for y in rows { target[y * width + x] = 1 }
            }
            count = width * height
        }
    }

    /// The mask at `size` × `size` pixels as a row-major raster of 0 and 1, by the exact area rule.
    ///
    /// A pixel is set where at least half of its area is covered by set pixels of this mask. The arithmetic is in
    /// integers (areas in units of 1 / `size`² of a source pixel), so the result is the same everywhere; `size` may be
    /// smaller or larger than the mask and need not divide it.
    package func downscaled(to size: Int) -> [UInt8] {
        precondition(size > 0 && size <= 1 << 15, "a mask of \(size)×\(size) pixels")
        if runs.isEmpty { return [UInt8](repeating: 0, count: size * size) }
        if size == width && size == height { return rowMajor() }
        var covered = [Int](repeating: 0, count: size * size)
        covered.withUnsafeMutableBufferPointer { covered in
            forEachColumnSpan { x, rows in
                // In units where a source pixel is `size` long, a target pixel is `width` wide and `height` high.
                let left = x * size
                let right = left + size
                let top = rows.lowerBound * size
                let bottom = rows.upperBound * size
                for targetX in left / width...(right - 1) / width {
                    let across = min(right, (targetX + 1) * width) - max(left, targetX * width)
                    for targetY in top / height...(bottom - 1) / height {
                        let down = min(bottom, (targetY + 1) * height) - max(top, targetY * height)
                        covered[targetY * size + targetX] += across * down
                    }
                }
            }
        }
        let pixelArea = width * height
        return covered.map { 2 * $0 >= pixelArea ? 1 : 0 }
    }

    /// Calls `body` with each run, cut at the ends of columns: the column and the rows in it.
    func forEachColumnSpan(_ body: (_ x: Int, _ rows: Range<Int>) -> Void) {
        for run in runs {
            var start = Int(run.start)
            let end = Int(run.end)
            while start < end {
                let x = start / height
                let columnEnd = min(end, (x + 1) * height)
                body(x, start - x * height..<columnEnd - x * height)
                start = columnEnd
            }
        }
    }
}
