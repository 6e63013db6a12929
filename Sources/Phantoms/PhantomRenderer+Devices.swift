import Numerics

/// The letters of the markers that radiographers lay on the cassette, 5 × 7 dots, a row a byte.
private let glyphs: [Character: [UInt8]] = [
    "A": [0x0E, 0x11, 0x11, 0x1F, 0x11, 0x11, 0x11], "B": [0x1E, 0x11, 0x11, 0x1E, 0x11, 0x11, 0x1E],
    "C": [0x0E, 0x11, 0x10, 0x10, 0x10, 0x11, 0x0E], "E": [0x1F, 0x10, 0x10, 0x1E, 0x10, 0x10, 0x1F],
    "H": [0x11, 0x11, 0x11, 0x1F, 0x11, 0x11, 0x11], "I": [0x0E, 0x04, 0x04, 0x04, 0x04, 0x04, 0x0E],
    "J": [0x07, 0x02, 0x02, 0x02, 0x02, 0x12, 0x0C], "K": [0x11, 0x12, 0x14, 0x18, 0x14, 0x12, 0x11],
    "L": [0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x1F], "M": [0x11, 0x1B, 0x15, 0x15, 0x11, 0x11, 0x11],
    "N": [0x11, 0x19, 0x15, 0x13, 0x11, 0x11, 0x11], "O": [0x0E, 0x11, 0x11, 0x11, 0x11, 0x11, 0x0E],
    "P": [0x1E, 0x11, 0x11, 0x1E, 0x10, 0x10, 0x10], "R": [0x1E, 0x11, 0x11, 0x1E, 0x14, 0x12, 0x11],
    "S": [0x0F, 0x10, 0x10, 0x0E, 0x01, 0x01, 0x1E], "T": [0x1F, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04],
    "U": [0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x0E], " ": [0, 0, 0, 0, 0, 0, 0],
]

extension PhantomRenderer {
    /// Draws tubes, lines and electrodes.
    ///
    /// Both classes have them equally often.
    func drawDevices(_ anatomy: PhantomAnatomy) {
        var draws = PhantomDraws(seed: seed, part: .devices, position: index)
        let pose = anatomy.pose
        let isPortable = anatomy.isPortable
        if draws.chance(isPortable ? 0.35 : 0.01) {
            let end = draws.uniform(0.20, 0.30)
            tube([(0.01, -0.8), (-0.01, -0.2), (0.0, end)], width: 0.014, amplitude: 0.16, pose: pose, draws: &draws)
        }
        if draws.chance(isPortable ? 0.35 : 0.02) {
            let end = draws.uniform(1.0, 1.25)
            tube(
                [(0.03, -0.8), (0.02, 0.1), (0.03, 0.6), (0.10, 0.95), (0.28, end)],
                width: 0.008,
                amplitude: 0.17,
                pose: pose,
                draws: &draws
            )
        }
        if draws.chance(isPortable ? 0.4 : 0.06) {
            let side: Float = draws.chance(0.7) ? -1 : 1
            let outer = draws.uniform(0.5, 1.1)
            tube(
                [(side * outer, 0.25), (side * 0.6, 0.05), (side * 0.25, 0.12), (-0.12, 0.30), (-0.13, 0.48)],
                width: 0.005,
                amplitude: 0.2,
                pose: pose,
                draws: &draws
            )
        }
        if draws.chance(isPortable ? 0.14 : 0.03) {
            let side: Float = draws.chance(0.5) ? -1 : 1
            let entry = draws.uniform(0.45, 0.9)
            let end = draws.uniform(0.05, 0.4)
            tube(
                [
                    (side * 1.5, entry + 0.3), (side * 1.02, entry), (side * 0.75, (entry + end) / 2),
                    (side * 0.55, end),
                ],
                width: 0.013,
                amplitude: 0.2,
                pose: pose,
                draws: &draws
            )
        }
        let electrodes = draws.chance(isPortable ? 0.55 : 0.05) ? 2 + draws.integer(below: 3) : 0
        for _ in 0..<electrodes {
            let side: Float = draws.chance(0.5) ? -1 : 1
            let place = PhantomPoint(side * draws.uniform(0.45, 1.0), draws.uniform(-0.02, 0.85))
            canvas.disc(
                at: pose(place.x, place.y),
                radius: 0.016 * pose.halfWidth * 2,
                profile: .bone,
                amplitude: 0.35,
                on: canvas.density
            )
            let away = place + PhantomPoint(side * draws.uniform(0.2, 0.7), draws.uniform(0.1, 0.6))
            tube(
                [
                    (place.x, place.y), ((place.x + away.x) / 2, place.y + draws.uniform(-0.1, 0.2)), (away.x, away.y),
                    (side * 1.6, away.y + 0.5),
                ],
                width: 0.0035,
                amplitude: 0.22,
                pose: pose,
                draws: &draws
            )
        }
    }

    private func tube(
        _ points: [(Float, Float)],
        width: Float,
        amplitude: Float,
        pose: PhantomPose,
        draws: inout PhantomDraws
    ) {
        let path = points.map { PhantomPoint($0.0 + draws.uniform(-0.03, 0.03), $0.1 + draws.uniform(-0.015, 0.015)) }
        let curve = pose(PhantomCurve.open(path, steps: 10))
        canvas.stroke(
            curve,
            profile: width > 0.007 ? .tube : .rod,
            on: canvas.density,
            halfWidth: width * pose.halfWidth * 1.3,
            amplitude: amplitude
        )
    }

    /// Draws the side marker and, on portable images, words; the letters go to the scratch plane.
    ///
    /// Both classes have them equally often.
    func drawMarkers(_ anatomy: PhantomAnatomy) {
        var draws = PhantomDraws(seed: seed, part: .markers, position: index)
        let isLeft = draws.chance(0.65)
        let dot = draws.uniform(0.0038, 0.0062)
        let x = isLeft ? draws.uniform(0.88, 0.94) : draws.uniform(0.03, 0.08)
        let y = draws.uniform(0.03, 0.14)
        let angle = draws.chance(0.3) ? draws.uniform(-0.5, 0.5) : 0
        let isRinged = draws.chance(0.3)
        let isShown = draws.chance(0.92)
        if isShown && isRinged {
            let middle = PhantomPoint(x, y) + PhantomPoint(2.2, 3) * dot
            canvas.disc(at: middle, radius: 5.5 * dot, profile: .bone, amplitude: 0.3, on: canvas.density)
        }
        // Strokes use the scratch plane, so letters come last.
        canvas.scratch.clear()
        if isShown {
            write(isLeft ? "L" : "R", at: PhantomPoint(x, y), dot: dot, angle: angle, amplitude: 2.5)
        }
        guard anatomy.isPortable else { return }
        let words = ["AP", "PORTABLE", "AP PORTABLE", "ERECT", "SUPINE"]
        let word = words[draws.integer(below: words.count)]
        let small = draws.uniform(0.0024, 0.0034)
        let place = PhantomPoint(draws.uniform(0.03, 0.7), draws.uniform(0.015, 0.05))
        if draws.chance(0.6) { write(word, at: place, dot: small, angle: 0, amplitude: 2.5) }
    }

    /// Writes a word in dots of `dot` image sides, from its top left corner on.
    private func write(_ text: String, at start: PhantomPoint, dot: Float, angle: Float, amplitude: Float) {
        let c = Float(Mathematics.cos(Double(angle)))
        let s = Float(Mathematics.sin(Double(angle)))
        for (number, letter) in text.enumerated() {
            guard let rows = glyphs[letter] else { continue }
            for (y, row) in rows.enumerated() {
                var x = 0
                while x < 5 {
                    guard row & (0x10 >> UInt8(x)) != 0 else {
                        x += 1
                        continue
                    }
                    let first = x
                    while x < 5 && row & (0x10 >> UInt8(x)) != 0 { x += 1 }
                    let left = PhantomPoint(Float(number * 6 + first), Float(y)) * dot
                    let right = PhantomPoint(Float(number * 6 + x) - 0.9, Float(y)) * dot
                    let a = start + PhantomPoint(c * left.x - s * left.y, s * left.x + c * left.y)
                    let b = start + PhantomPoint(c * right.x - s * right.y, s * right.x + c * right.y)
                    canvas.raise(canvas.scratch, from: a, to: b, widths: (dot * 0.75, dot * 0.75), amplitude: amplitude)
                }
            }
        }
    }
}
