extension RunLengthMask {
    /// A mask that a file has.
    package init(_ picture: MaskPicture) {
        self.init(
            runs: picture.runs.map { Run(start: $0.x, length: $0.y) },
            width: picture.width,
            height: picture.height
        )
    }

    /// The mask in the middle of the smallest square that holds it, as `GrayImage.paddedToSquare` places its image.
    package func paddedToSquare() -> RunLengthMask {
        guard width != height else { return self }
        let side = max(width, height)
        let left = (side - width) / 2
        let top = (side - height) / 2
        var result = RunLengthMask(width: side, height: side)
        forEachColumnSpan { x, rows in
            result.append(
                Run(start: Int32((x + left) * side + top + rows.lowerBound), length: Int32(rows.count))
            )
        }
        return result
    }

    /// The mask at `side` × `side` by the area rule of `downscaled(to:)`; a mask that is not empty stays so.
    ///
    /// What is too small to fill half of a pixel anywhere sets the pixel in its middle: a finding must not become none.
    package func resampled(to side: Int) -> RunLengthMask {
        if width == side && height == side { return self }
        let result = RunLengthMask(rowMajor: downscaled(to: side), width: side, height: side)
        guard result.isEmpty, let run = runs.max(by: { $0.length < $1.length }) else { return result }
        let middle = Int(run.start) + Int(run.length) / 2
        let x = middle / height * side / width
        let y = middle % height * side / height
        return RunLengthMask(runs: [Run(start: Int32(x * side + y), length: 1)], width: side, height: side)
    }

    /// The mask turned over its diagonal: what was numbered along the rows is numbered down the columns.
    package func transposed() -> RunLengthMask {
        // The raster of this mask by rows is that of the other by columns.
        let raster = rowMajor()
        var result = RunLengthMask(width: height, height: width)
        var start = -1
        for index in 0...raster.count {
            let isSet = index < raster.count && raster[index] != 0
            if isSet && start < 0 { start = index }
            if !isSet && start >= 0 {
                result.append(Run(start: Int32(start), length: Int32(index - start)))
                start = -1
            }
        }
        return result
    }
}
