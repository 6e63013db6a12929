import Radiography

/// What was lost between radiographs and labels, and why it probably was: more than one in a hundred, or all of a kind.
package struct ShardingLoss: Sendable, Equatable {
    /// Radiographs that could be read, and those of them that are not in the set.
    package var images: Int
    package var lostImages: Int
    /// Labels, or masks, and those of them that no radiograph has got.
    package var labels: Int
    package var lostLabels: Int
    /// The set's positives and negatives.
    package var positives: Int
    package var negatives: Int
    /// The likely cause, as a sentence.
    package var cause: String
    /// Whether `--allow-missing` was given.
    package var isAllowed: Bool

    /// A set of fewer radiographs may well be of one kind.
    static let leastForBothKinds = 8

    /// One line for people.
    package var line: String {
        var parts: [String] = []
        if Self.isMuch(lostImages, of: images) {
            parts.append("\(lostImages) of \(images) radiographs have no usable label")
        }
        if Self.isMuch(lostLabels, of: labels) { parts.append("\(lostLabels) of \(labels) labels were not used") }
        if negatives == 0 { parts.append("all \(positives) radiographs of the set are positive") }
        if positives == 0 { parts.append("all \(negatives) radiographs of the set are negative") }
        let what = parts.joined(separator: ", and ")
        return "\(what.prefix(1).uppercased() + what.dropFirst()). \(cause)"
            + (isAllowed ? "" : " Mend that, or accept it with --allow-missing.")
    }

    static func isMuch(_ lost: Int, of all: Int) -> Bool { 100 * lost > all }
}

/// Counts what was rejected, and looks for the reason.
struct LossFinder {
    let options: ShardingOptions
    /// Radiographs that could be read.
    let images: Int
    /// Labels, or masks.
    let labels: Int
    /// Whether the label file has empty cells beside -1.
    let hasBlanksBesideNone: Bool
    /// Whether rows of the label file rise, and are not read as absolute.
    let mayBeAbsolute: Bool

    /// The loss, where it is more than may be lost unasked.
    func loss(_ rejected: [RejectedItem], positives: Int, negatives: Int) -> ShardingLoss? {
        var lostImages: Set<String> = []
        var lostLabels: Set<String> = []
        var kinds: [RejectedItem.Kind: Int] = [:]
        for item in rejected {
            switch item.kind {
            case .imageWithoutLabel, .conflictingID, .mask(.otherShape), .mask(.unclear): lostImages.insert(item.path)
            case .labelWithoutImage, .label, .mask(.format):
                lostLabels.insert(item.id ?? "\(item.path):\(item.row ?? 0)")
            default: continue
            }
            kinds[item.kind, default: 0] += 1
        }
        let isOneKind = positives + negatives >= ShardingLoss.leastForBothKinds && (positives == 0 || negatives == 0)
        let isMuch =
            ShardingLoss.isMuch(lostImages.count, of: images) || ShardingLoss.isMuch(lostLabels.count, of: labels)
        guard isMuch || isOneKind else { return nil }
        return ShardingLoss(
            images: images,
            lostImages: lostImages.count,
            labels: labels,
            lostLabels: lostLabels.count,
            positives: isOneKind ? positives : max(positives, 1),
            negatives: isOneKind ? negatives : max(negatives, 1),
            cause: cause(rejected, kinds, isMuch: isMuch, positives: positives, negatives: negatives),
            isAllowed: options.allowsMissing
        )
    }

    private func cause(
        _ rejected: [RejectedItem],
        _ kinds: [RejectedItem.Kind: Int],
        isMuch: Bool,
        positives: Int,
        negatives: Int
    ) -> String {
        func first(_ kind: RejectedItem.Kind) -> RejectedItem? { rejected.first { $0.kind == kind } }
        let table = options.labels ?? options.masks ?? ""
        let commonest = kinds.max { ($0.value, $0.key.name) < ($1.value, $1.key.name) }?.key
        guard isMuch, let commonest else {
            return positives == 0
                ? "No row or mask of \(table) marks anything: it may be the table of another part of the data, or masks of "
                    + "another value."
                : "\(table) may list positives alone; --missing-negative takes radiographs without a label as negatives."
        }
        let badRows = kinds.filter { if case .label = $0.key { true } else { false } }.values.reduce(0, +)
        if 2 * badRows >= kinds.values.reduce(0, +) - kinds[.imageWithoutLabel, default: 0], badRows > 0 {
            let example = rejected.first { if case .label = $0.kind { true } else { false } }
            if hasBlanksBesideNone {
                return
                    "\(table) has empty cells or NaN beside -1: write -1 in each row that means that nothing was found."
            }
            if mayBeAbsolute {
                return
                    "The starts of its runs rise: they may count from the image's beginning, and then need --rle absolute."
            }
            return "\(badRows) rows of \(table) are wrong, the first: \(example.map(\.reason) ?? "")."
        }
        let image = first(.imageWithoutLabel)
        if let image, let label = first(.labelWithoutImage) {
            return "Ids do not meet: a radiograph is called \(image.id ?? image.path), a label \(label.id ?? "")."
        }
        switch commonest {
        case .labelWithoutImage:
            return
                "The label \(first(commonest)?.id ?? "") and others have no file under \(options.input): it may hold a part of "
                + "the data."
        case .conflictingID:
            return "Files of other content share an id, which is the file's name or SOP instance UID, as "
                + "\(first(commonest)?.id ?? ""); give each its own name."
        case .mask(.otherShape), .mask(.unclear), .mask(.format):
            return "The first: \(first(commonest)?.reason ?? "")."
        default:
            let place = image.map { "\($0.id ?? $0.path) for one" } ?? ""
            return "\(table) says nothing of them (\(place)): it may be of another part of the data"
                + (negatives == 0
                    ? ", or list positives alone; --missing-negative takes radiographs without a label as negatives."
                    : ".")
        }
    }
}
