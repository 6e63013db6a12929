import Foundation
package import Radiography
import Sharding

/// On which of the patient's sides a mask lies.
package enum Laterality: String, Sendable {
    case left
    case right
    case both

    /// The share of a mask that a side must have to count.
    static let leastShare = 0.1

    /// Which of the patient's sides the two halves of an image are.
    package struct Layout: Sendable, Equatable {
        /// Whether the halves are above and below instead of left and right.
        let isTurned: Bool
        /// The side at the left, or above.
        let first: Laterality
        let second: Laterality
        /// Whether the header says so; else it is how radiographs are shown.
        package let isFromHeader: Bool

        /// By DICOM's Patient Orientation, the directions in which rows and columns of the image go (PS3.3 C.7.6.1.1.1);
        /// without it, the patient's right is at the image's left, unless the view position says that the view is lateral.
        ///
        /// Nil where no half is a side of the patient.
        package init?(orientation: String?, view: String?) {
            let directions = (orientation ?? "").split(separator: "\\", omittingEmptySubsequences: false)
                .map { $0.filter { $0 != " " }.first }
            func sides(_ direction: Character?) -> (Laterality, Laterality)? {
                switch direction {
                case "L": (.right, .left)
                case "R": (.left, .right)
                default: nil
                }
            }
            if directions.count == 2, directions[0] != nil, directions[1] != nil {
                guard let found = sides(directions[0]) ?? sides(directions[1]) else { return nil }
                isTurned = sides(directions[0]) == nil
                (first, second) = found
                isFromHeader = true
                return
            }
            if let view, ["LL", "RL", "LAT", "LATERAL"].contains(view.uppercased()) { return nil }
            isTurned = false
            (first, second) = (.right, .left)
            isFromHeader = false
        }
    }

    /// The side or sides of a mask, row by row, on a radiograph of this size; nil where it is empty.
    package init?(of mask: [UInt8], grid: PixelGrid, layout: Layout) {
        // Twice the pixel's place, so that a middle column of an odd width counts half for either.
        var (first, second) = (0, 0)
        let length = layout.isTurned ? grid.height : grid.width
        for y in 0..<grid.height {
            for x in 0..<grid.width where mask[y * grid.width + x] != 0 {
                let place = 2 * (layout.isTurned ? y : x) + 1
                if place <= length { first += 1 }
                if place >= length { second += 1 }
            }
        }
        let sum = Double(first + second)
        guard sum > 0 else { return nil }
        switch (Double(first) >= Self.leastShare * sum, Double(second) >= Self.leastShare * sum) {
        case (true, false): self = layout.first
        case (false, true): self = layout.second
        default: self = .both
        }
    }
}

/// What is predicted of one radiograph: a row of `predictions.csv`, and one of `submission.csv`.
package struct PredictionRow: Sendable {
    package var id: String
    package var path: String
    /// The largest of the map.
    package var probability: Float
    /// Pixels of the mask on the radiograph's own grid.
    package var area: Int
    /// The area of a pixel in mm²; nil where the spacing is not known.
    package var pixelArea: Double?
    package var laterality: Laterality?
    /// Whether the header told left from right; nil where there is no laterality.
    package var isLateralityFromHeader: Bool?
    package var rule: MaskRule
    package var grid: PixelGrid
    /// The mask's file below the output folder; nil where none is written.
    package var maskFile: String?
    /// The mask in the challenge's text.
    package var encoded: String

    /// Whether a pneumothorax is predicted.
    package var isPositive: Bool { encoded != "-1" }

    /// What pictures say of it.
    var legend: PictureLegend {
        PictureLegend(
            id: id,
            probability: probability,
            area: area,
            squareMillimetres: pixelArea.map { Double(area) * $0 },
            side: laterality.map { $0 == .both ? "both sides" : "patient's \($0.rawValue)" },
            rule: rule.argument
        )
    }

    /// The first line of `predictions.csv`.
    package static let header =
        "id,path,probability,area_pixels,area_mm2,laterality,laterality_from,rule,rows,columns,mask\n"

    /// The row of `predictions.csv`.
    var line: String {
        let from = laterality == nil ? "" : isLateralityFromHeader.map { $0 ? "header" : "assumed" } ?? ""
        let fields = [
            id, path, String(format: "%.6f", Double(probability)), String(area),
            pixelArea.map { String(format: "%.2f", Double(area) * $0) } ?? "", laterality?.rawValue ?? "", from,
            rule.argument, String(grid.height), String(grid.width), maskFile ?? "",
        ]
        return fields.map(RejectedItem.quoted).joined(separator: ",") + "\n"
    }

    /// The table of rows in the order of the ids' bytes.
    static func table(_ rows: [PredictionRow]) -> String { rows.reduce(into: header) { $0 += $1.line } }

    /// The challenge's file: a row for each image, in the order of the ids' bytes.
    static func submission(_ rows: [PredictionRow]) -> String {
        rows.reduce(into: "ImageId,EncodedPixels\n") { $0 += RejectedItem.quoted($1.id) + "," + $1.encoded + "\n" }
    }

    /// The area of a pixel in mm², where both spacings are lengths.
    package static func pixelArea(_ row: Double?, _ column: Double?) -> Double? {
        guard let row, let column, row > 0, column > 0, (row * column).isFinite else { return nil }
        return row * column
    }
}
