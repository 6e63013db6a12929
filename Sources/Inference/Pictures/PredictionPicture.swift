package import Radiography

/// What the legend of a picture says of a prediction.
package struct PictureLegend: Sendable {
    /// The radiograph's id.
    package var id: String
    package var probability: Float
    /// In pixels of the radiograph's own grid.
    package var area: Int
    package var squareMillimetres: Double?
    /// On which side of the patient the mask lies, in words.
    package var side: String?
    /// The rule that made the mask, in words.
    package var rule: String

    package init(
        id: String,
        probability: Float,
        area: Int,
        squareMillimetres: Double? = nil,
        side: String? = nil,
        rule: String
    ) {
        self.id = id
        self.probability = probability
        self.area = area
        self.squareMillimetres = squareMillimetres
        self.side = side
        self.rule = rule
    }
}

/// Draws predictions over radiographs.
package enum PredictionPicture {
    /// Sides below are enlarged, since outlines and texts need some pixels, and sides above made smaller.
    static let sides = 512...2048
    /// The predicted outline: orange.
    package static let outlineColor = RGB(255, 110, 30)
    /// The smallest probability that is coloured.
    package static let leastShown: Float = 0.05
    private static let textColor = RGB(235, 235, 235)
    private static let noteColor = RGB(150, 150, 150)
    private static let warning = "not for diagnosis"

    /// The radiograph as pictures show it: at its own size within `sides`, or, where only the `square` is known that it
    /// was padded to, at the square's resolution.
    package static func radiograph(_ whole: GrayImage?, square: GrayImage, grid: PixelGrid) -> GrayImage {
        // A long strip of a film would be padded to a square that takes gigabytes.
        if let whole, grid.side * grid.side <= RadiographReader.maximumPixels {
            let shown = grid.fitted(atLeast: sides.lowerBound, atMost: sides.upperBound)
            return shown == grid ? whole : shown.image(in: whole.squared(to: shown.side))
        }
        let most = min(sides.upperBound, max(sides.lowerBound, square.width))
        let shown = grid.fitted(atLeast: sides.lowerBound, atMost: most)
        return shown.image(in: square.squared(to: shown.side))
    }

    /// The radiograph with the outline of its mask, inside of the mask's border, and a legend below.
    ///
    /// `mask`, row by row and 0 where nothing is, has the size of `image`.
    package static func overlay(_ image: GrayImage, mask: [UInt8], legend: PictureLegend) -> ColorImage {
        var facts: [Piece] = []
        if legend.area > 0 {
            facts.append(.swatch(outlineColor, "predicted pneumothorax"))
            let area = "\(grouped(legend.area)) pixels"
            facts.append(.text(area + (legend.squareMillimetres.map { " = \(grouped(Int($0.rounded()))) mm2" } ?? "")))
            if let side = legend.side { facts.append(.text(side)) }
        } else {
            facts.append(.text("no pneumothorax predicted"))
        }
        facts += [.text("probability \(fixed(legend.probability))"), .text(legend.rule)]
        let strip = Strip(width: image.width, pieces: facts + [.note(legend.id), .note(warning)])
        var picture = ColorImage(image, margin: strip.height)
        let line = max(1, max(image.width, image.height) / 512)
        for (index, isOutline) in outline(mask, width: image.width, height: image.height, line: line).enumerated()
        where isOutline { picture.paint(index, outlineColor) }
        strip.draw(on: &picture, top: image.height)
        return picture
    }

    /// The radiograph with the probabilities from 5 % on in the colours of `ColorScale`, and the scale below.
    ///
    /// `values`, row by row, have the size of `image`.
    package static func heatMap(_ image: GrayImage, values: [Float], legend: PictureLegend) -> ColorImage {
        let pieces: [Piece] = [
            .text("probability of a pneumothorax"), .note("no colour below 5 %"),
            .text("largest \(fixed(legend.probability))"), .note(legend.id), .note(warning),
        ]
        let strip = Strip(width: image.width, pieces: pieces)
        let bar = Bar(width: image.width, scale: strip.scale)
        var picture = ColorImage(image, margin: bar.height + strip.height)
        for (index, value) in values.enumerated() where value >= leastShown {
            picture.paint(index, ColorScale.color(value))
        }
        bar.draw(on: &picture, top: image.height)
        strip.draw(on: &picture, top: image.height + bar.height)
        return picture
    }

    /// The pixels of a mask that lie within `line` steps of its border or of the image's.
    private static func outline(_ mask: [UInt8], width: Int, height: Int, line: Int) -> [Bool] {
        // The mask and what is left of it, with an empty border that spares a look at the edges.
        let stride = width + 2
        var inner = [Bool](repeating: false, count: stride * (height + 2))
        for y in 0..<height {
            for x in 0..<width where mask[y * width + x] != 0 { inner[(y + 1) * stride + x + 1] = true }
        }
        var left = inner.indices.filter { inner[$0] }
        for _ in 0..<line {
            let edge = left.filter { !(inner[$0 - 1] && inner[$0 + 1] && inner[$0 - stride] && inner[$0 + stride]) }
            for pixel in edge { inner[pixel] = false }
            left = left.filter { inner[$0] }
        }
        return (0..<width * height).map { mask[$0] != 0 && !inner[($0 / width + 1) * stride + $0 % width + 1] }
    }

    private static func fixed(_ value: Float) -> String {
        let hundredths = Int((min(1, max(0, value)) * 100).rounded())
        return "\(hundredths / 100).\(hundredths % 100 < 10 ? "0" : "")\(hundredths % 100)"
    }

    private static func grouped(_ number: Int) -> String {
        var text = ""
        for (place, digit) in String(number).reversed().enumerated() {
            if place > 0 && place % 3 == 0 { text.append(",") }
            text.append(digit)
        }
        return String(text.reversed())
    }

    // MARK: Legends

    /// A part of a legend, which stands on one line.
    private enum Piece {
        case text(String)
        case note(String)
        case swatch(RGB, String)

        var text: String {
            switch self {
            case .text(let text), .note(let text), .swatch(_, let text): text
            }
        }

        /// Points in front of the text.
        var lead: Int {
            if case .swatch = self { return 10 }
            return 0
        }
    }

    /// Lines of text below a picture.
    private struct Strip {
        let scale: Int
        private let lines: [[(piece: Piece, x: Int)]]
        private static let gap = 12
        private static let lineHeight = 12
        private static let border = 6

        init(width: Int, pieces: [Piece]) {
            scale = max(1, width / 420)
            let room = width / scale - 2 * Self.border
            var lines: [[(Piece, Int)]] = [[]]
            var x = 0
            for piece in pieces {
                let fitting = Self.shortened(piece, to: (room - piece.lead) / PixelFont.advance)
                let length = fitting.lead + fitting.text.count * PixelFont.advance
                if x > 0 && x + length > room {
                    lines.append([])
                    x = 0
                }
                lines[lines.count - 1].append((fitting, x))
                x += length + Self.gap
            }
            self.lines = lines
        }

        /// The end of a text is what tells ids apart.
        private static func shortened(_ piece: Piece, to count: Int) -> Piece {
            guard piece.text.count > count else { return piece }
            let text = ".." + piece.text.suffix(max(1, count - 2))
            switch piece {
            case .text: return .text(text)
            case .note: return .note(text)
            case .swatch(let color, _): return .swatch(color, text)
            }
        }

        var height: Int { scale * (lines.count * Self.lineHeight + Self.border) }

        func draw(on picture: inout ColorImage, top: Int) {
            for (number, line) in lines.enumerated() {
                let y = top + scale * (Self.border + number * Self.lineHeight)
                for (piece, x) in line {
                    var left = scale * (Self.border + x)
                    if case .swatch(let color, _) = piece {
                        picture.fill(x: left..<left + 7 * scale, y: y..<y + 7 * scale, color)
                        left += piece.lead * scale
                    }
                    var color = textColor
                    if case .note = piece { color = noteColor }
                    picture.write(piece.text, x: left, y: y, scale: scale, color)
                }
            }
        }
    }

    /// The scale of colours with its numbers.
    private struct Bar {
        let width: Int
        let scale: Int
        private static let border = 6
        private static let thickness = 8

        var height: Int { scale * (Self.border + Self.thickness + 3 + PixelFont.height) }

        func draw(on picture: inout ColorImage, top: Int) {
            let left = scale * Self.border
            let length = max(1, width - 2 * left)
            let y = top + scale * Self.border
            func place(_ value: Float) -> Int { left + Int((value * Float(length - 1)).rounded()) }
            for x in 0..<length {
                let value = Float(x) / Float(max(1, length - 1))
                // What is not coloured in the picture is not coloured here.
                let color = value < leastShown ? RGB(60, 60, 60) : ColorScale.color(value)
                picture.fill(x: left + x..<left + x + 1, y: y..<y + scale * Self.thickness, color)
            }
            for percent in [5, 25, 50, 75, 100] {
                let x = place(Float(percent) / 100)
                picture.fill(
                    x: x..<x + max(1, scale / 2),
                    y: y + scale * Self.thickness..<y + scale * (Self.thickness + 2),
                    textColor
                )
                let text = "\(percent) %"
                let size = text.count * PixelFont.advance * scale
                let from = min(max(left, x - size / 2), left + length - size)
                picture.write(text, x: from, y: y + scale * (Self.thickness + 3), scale: scale, textColor)
            }
        }
    }
}
