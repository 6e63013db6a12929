import Radiography

/// Decides what the numbers of a label file count, by how its rows look where nobody has said it.
struct LabelReading {
    var format: RunLengthFormat
    /// Whether masks have their radiographs' sizes.
    var isImageFrame: Bool
    /// What was assumed beyond the challenge's format, as sentences.
    var notes: [String] = []

    /// Rows of which it cannot be told what they count.
    struct Unclear: Error {
        var message: String
        var items: [RejectedItem]
    }

    /// So many rows with several runs must show it, before it is believed that runs count from the image's beginning.
    private static let rowsThatShow = 4

    /// `sizes` are the widths and heights of the radiographs, by the table's ids.
    init(
        _ table: LabelTable,
        options: ShardingOptions,
        sizes: [String: ShardingPlan.MaskSize]
    ) throws(Unclear) {
        format = RunLengthFormat(numbering: .relative, order: options.runOrder)
        isImageFrame = options.runFrame == .image
        format.numbering = try numbering(table, options)
        if options.runFrame == .auto { isImageFrame = try isCountedInImages(table, options, sizes) }
        if table.blankRows > 0 && !table.saysNone {
            notes.append(
                "\(table.blankRows) rows of \(table.path) have an empty cell or NaN and none has -1: they are taken as "
                    + "radiographs without a finding."
            )
        }
    }

    private static func rows(_ table: LabelTable) -> [(id: String, number: Int, runs: RunLengthNumbers)] {
        table.images.flatMap { image in
            image.rows.compactMap { row in
                if case .runs(let runs) = row.cell { (image.id, row.number, runs) } else { nil }
            }
        }
    }

    private mutating func numbering(
        _ table: LabelTable,
        _ options: ShardingOptions
    ) throws(Unclear) -> RunLengthFormat.Numbering {
        let rows = Self.rows(table)
        let absolute = RunLengthFormat.Numbering.absolute(first: rows.contains { $0.runs.first == 0 } ? 0 : 1)
        switch options.runNumbering {
        case .relative: return .relative
        case .absolute: return absolute
        case .auto: break
        }
        let several = rows.filter { $0.runs.count > 1 }
        let rising = several.filter(\.runs.rises)
        // Gaps rise by chance in a row or two; starts rise in all rows but damaged ones.
        if 10 * rising.count <= several.count { return .relative }
        let show = "\(rising.count) of the \(several.count) rows with several runs"
        if several.count >= Self.rowsThatShow, 10 * rising.count >= 9 * several.count {
            let from = absolute == .absolute(first: 0) ? "0" : "1"
            notes.append(
                "The runs of \(table.path) look absolute: their starts rise in \(show). They are taken to count from the "
                    + "image's beginning, its first pixel being \(from). (--rle relative or absolute decides it.)"
            )
            return absolute
        }
        throw Unclear(
            message:
                "Cannot tell what the runs of \(table.path) count: their starts rise in \(show), as absolute runs do and "
                + "gaps rarely. Give --rle absolute where they count from the image's beginning, or --rle relative where each "
                + "counts from the end of the run before it.",
            items: rising.map { row in
                RejectedItem(
                    .label(.badRuns),
                    path: table.path,
                    row: row.number,
                    id: row.id,
                    reason: "its starts rise: they may be absolute, that is, counted from the beginning, and not gaps"
                )
            }
        )
    }

    /// Whether masks are counted in their radiographs and not in 1024 × 1024.
    ///
    /// Neighbouring columns of a mask hold neighbouring runs: the usual distance of their starts is the height of what
    /// they are counted in (or its width, along the rows).
    private mutating func isCountedInImages(
        _ table: LabelTable,
        _ options: ShardingOptions,
        _ sizes: [String: ShardingPlan.MaskSize]
    ) throws(Unclear) -> Bool {
        let side = RunLengthMask.challengeSide
        var (challenge, along, across, outside, undecided) = (0, 0, 0, 0, 0)
        for row in Self.rows(table) {
            guard let size = sizes[row.id], size.width != side || size.height != side else { continue }
            if row.runs.end(format.numbering) > side * side { outside += 1 }
            guard let pitch = row.runs.pitch(format.numbering) else {
                undecided += 1
                continue
            }
            func isNear(_ length: Int) -> Bool { abs(pitch - length) * 50 <= length }
            let (own, other) = format.order == .columns ? (size.height, size.width) : (size.width, size.height)
            if isNear(side) { challenge += 1 } else if isNear(own) { along += 1 } else if isNear(other) { across += 1 }
        }
        let votes = challenge + along + across
        // Rows that leave 1024 × 1024 and look like nothing are wrong in another way, and refused one by one.
        guard votes > 0 else { return false }
        if across > challenge + along {
            let order = format.order == .columns ? "rows" : "columns"
            throw Unclear(
                message:
                    "The runs of \(table.path) look as if pixels were numbered along the \(order) of each radiograph: "
                    + "in \(across) of \(votes) rows, neighbouring runs are as far apart as that. Give --rle-order \(order) "
                    + "--rle-size image, or --rle-size 1024 where they are the challenge's.",
                items: []
            )
        }
        if along > challenge, 5 * along >= 4 * votes {
            notes.append(
                "The runs of \(table.path) count pixels of the radiographs themselves, not of \(side) × \(side): "
                    + "\(along) of \(votes) rows show it. (--rle-size image or 1024 decides it.)"
            )
            return true
        }
        if along > challenge || along > 0 && outside > 0 {
            throw Unclear(
                message:
                    "Cannot tell in what the runs of \(table.path) count: \(outside) rows go beyond \(side) × \(side) "
                    + "pixels, \(along) look as if they counted in the radiograph itself, and \(challenge) in "
                    + "\(side) × \(side). Give --rle-size image or --rle-size 1024.",
                items: []
            )
        }
        return false
    }
}
