import Numerics

/// Draws one phantom: adds up what attenuates the rays, then exposes.
///
/// The same code and the same random numbers draw both classes; a positive differs only in that the lung is cut off at
/// the visceral pleura (no markings, no tissue outside it) and has the pleura's line there.
struct PhantomRenderer {
    let seed: UInt64
    let index: Int
    let canvas: PhantomCanvas

    /// How the class shows, and how the image was taken.
    private struct Exposure {
        var lungDensity: (Float, Float)
        var contrast: Float
        var gamma: Float
        var fog: Float
        var noise: Float
        var blur: Float
        var grain: Float
        var unevenness: Float
        var gas: Float
        var pleura: Float
        var pleuraWidth: Float
        var apexLucency: Float
        var collimation: (isShown: Bool, angle: Float, margin: Float)

        init(seed: UInt64, index: Int, isPortable: Bool) {
            var draws = PhantomDraws(seed: seed, part: .exposure, position: index)
            let base = draws.uniform(0.22, 0.36) + (isPortable ? 0.05 : 0)
            lungDensity = (base + draws.uniform(-0.05, 0.05), base + draws.uniform(-0.05, 0.05))
            contrast = draws.uniform(0.7, 1.7)
            gamma = draws.uniform(1.05, 1.5)
            fog = draws.uniform(0.0, 0.05) + (isPortable ? draws.uniform(0, 0.06) : 0)
            noise = draws.uniform(1.2, 3.2)
            blur = draws.uniform(0.5, 1.1)
            grain = draws.uniform(0.04, 0.07)
            unevenness = draws.uniform(0.02, 0.045)
            gas = draws.uniform(0.75, 1)
            pleura = draws.uniform(0.10, 0.16)
            pleuraWidth = draws.uniform(0.0014, 0.0022)
            apexLucency = draws.uniform(0, 0.3)
            collimation = (draws.chance(0.15), 0.03 * draws.normal(), draws.uniform(0.0, 0.05))
        }
    }

    /// Draws the phantom of `anatomy` with air at `collapse`, or none, as grey values 0...255 on the canvas's density.
    func render(_ anatomy: PhantomAnatomy, collapse: PhantomCollapse?, decoy: [PhantomPoint]) {
        canvas.density.clear()
        canvas.markings.clear()
        let exposure = Exposure(seed: seed, index: index, isPortable: anatomy.isPortable)
        drawBones(anatomy)
        drawAirways(anatomy)
        drawMarkings(anatomy)
        drawFolds(anatomy, decoy: decoy)
        drawDevices(anatomy)
        drawMarkers(anatomy)
        compose(anatomy, collapse: collapse, exposure: exposure)
        blur(canvas.density, variance: blurVariance(exposure.blur))
        addNoise(exposure.noise)
    }

    private func drawAirways(_ anatomy: PhantomAnatomy) {
        let pose = anatomy.pose
        let trachea = pose(
            PhantomCurve.open(
                [PhantomPoint(-0.01, -0.7), PhantomPoint(0, -0.1), PhantomPoint(-0.02, 0.33)],
                steps: 6
            )
        )
        canvas.stroke(trachea, profile: .rod, on: canvas.density, halfWidth: 0.055 * pose.halfWidth, amplitude: -0.13)
        for (side, end) in [(Float(-1), PhantomPoint(-0.24, 0.43)), (1, PhantomPoint(0.27, 0.46))] {
            canvas.stroke(
                pose(PhantomCurve.open([PhantomPoint(-0.02, 0.32), PhantomPoint(side * 0.09, 0.38), end], steps: 5)),
                profile: .rod,
                on: canvas.density,
                halfWidth: { (0.042 - 0.015 * $0) * pose.halfWidth },
                amplitude: { _ in -0.09 }
            )
        }
        // Gas in the stomach, under the left dome.
        var draws = PhantomDraws(seed: seed, part: .opacities, position: index | 1 << 30)
        if draws.chance(0.6) {
            let u = draws.uniform(0.35, 0.65)
            let v = anatomy.domes[1] + draws.uniform(0.06, 0.11)
            let width = draws.uniform(0.06, 0.16)
            canvas.stroke(
                pose([PhantomPoint(u - width, v), PhantomPoint(u + width, v - 0.01)]),
                profile: .rod,
                on: canvas.density,
                halfWidth: draws.uniform(0.05, 0.10) * pose.halfWidth,
                amplitude: -draws.uniform(0.08, 0.2)
            )
        }
    }

    /// The variance of the blur in pixels for a deviation given in pixels of 1024.
    private func blurVariance(_ deviation: Float) -> Float {
        let scaled = deviation * Float(canvas.size) / 1024
        return scaled * scaled
    }

    // MARK: - Composition

    private func compose(_ anatomy: PhantomAnatomy, collapse: PhantomCollapse?, exposure: Exposure) {
        let size = canvas.size
        let texture = PhantomTexture(seed: seed, image: index, anatomy: anatomy)
        let fields = PhantomFields(anatomy: anatomy, collapse: collapse)
        var reader = PhantomFields.Reader(fields: fields, texture: texture, size: size)
        let tone = ToneCurve(contrast: exposure.contrast, gamma: exposure.gamma, fog: exposure.fog)
        let pose = anatomy.pose
        let pixel = 1 / Float(size)
        let edge = max(0.0012, 0.6 * pixel)
        let lineWidth = max(exposure.pleuraWidth, 0.8 * pixel)
        let lineAmplitude = exposure.pleura * min(1, exposure.pleuraWidth / (0.8 * pixel) * 1.25)
        let female: Float = anatomy.patient.isFemale ? 0.16 : 0
        for y in 0..<size {
            reader.read(row: y)
            let density = canvas.density.values + y * size
            let markings = canvas.markings.values + y * size
            let marker = canvas.scratch.values + y * size
            let py = (Float(y) + 0.5) * pixel
            for x in 0..<size {
                let px = (Float(x) + 0.5) * pixel
                let place = pose.thorax(PhantomPoint(px, py))
                let body = reader.body[x]
                let lung = reader.lung[x]
                let air = reader.air[x]
                let heart = reader.heart[x]
                let tissue = reader.tissue[x]

                // Soft tissue: a rounded body, thinner at the neck, thicker at the belly.
                let depth = rounded(body, 0.07)
                let level = 0.74 + 0.30 * smoothStep(0.55, 1.15, place.y) - 0.12 * smoothStep(0.15, -0.35, place.y)
                var sum = depth * (level + 0.12 * anatomy.patient.habitus + exposure.unevenness * tissue)
                // The breasts: soft crescents over the lower lungs.
                let breast = PhantomPoint((abs(place.x) - 0.62) / 0.52, (place.y - 0.72) / 0.26)
                let fall = 1 - breast.lengthSquared
                if fall > 0 { sum += (female + 0.03) * depth * fall.squareRoot() * smoothStep(0, 0.15, fall) }

                // The cavity of the lung: what of it is lung tissue, and what is air.
                let cavity = rounded(lung, 0.085) * smoothStep(0, 0.012, lung)
                let gas = exposure.gas * smoothStep(-edge, edge, air)
                let here = place.x < 0 ? exposure.lungDensity.0 : exposure.lungDensity.1
                let zone = here * (1 - exposure.apexLucency * smoothStep(0.6, 0.0, place.y))
                let grain = exposure.grain * reader.parenchyma[x] * (0.35 + 0.65 * zone / 0.3)
                let filled = min(1.1, zone + grain + reader.opacity[x])
                let lungShare = (1 - gas) * filled
                // A given mask may lie over the heart: there the air shows all the same.
                let shadow = rounded(heart, 0.05) * (1 - 0.8 * gas)
                sum -= 0.60 * cavity * (1 - lungShare) * (1 - 0.86 * shadow)
                let soft = smoothStep(0, 0.02, lung)
                sum += markings[x] * (1 - gas) * soft * (0.35 + 0.65 * cavity) * (1 - 0.6 * shadow)

                // The pleura between lung and air, not along the chest wall.
                let n = air / lineWidth
                if n > -1 && n < 1 {
                    let s = 1 - n * n
                    sum += lineAmplitude * s * s * smoothStep(0.004, 0.011, lung)
                }

                // Heart and great vessels, spine and liver.
                sum += 0.10 * shadow * depth
                sum += reader.scapula[x] > 0 ? 0.07 * smoothStep(0, 0.012, reader.scapula[x]) : 0
                // The chest wall is seen edge-on just outside the lungs.
                let rim = lung + 0.012
                if rim > -0.02 && rim < 0.02 { sum += 0.07 * (1 - abs(rim) * 50) * depth }
                sum += density[x] * (0.15 + 0.85 * depth)
                if marker[x] > 0 { sum = max(sum, min(1, marker[x]) * 1.6) }
                density[x] = tone(max(0, sum))
            }
        }
        if exposure.collimation.isShown {
            collimate(angle: exposure.collimation.angle, margin: exposure.collimation.margin)
        }
    }

    /// The thickness of a round body at the depth `d` under its outline: 0 at the edge, 1 from `width` on.
    @inline(__always)
    private func rounded(_ d: Float, _ width: Float) -> Float {
        let t = max(0, min(1, d / width))
        return (t * (2 - t)).squareRoot()
    }

    /// Blackens what lies outside a slightly turned rectangle, as the collimator's leaves do.
    private func collimate(angle: Float, margin: Float) {
        let size = canvas.size
        let c = Float(Mathematics.cos(Double(angle)))
        let s = Float(Mathematics.sin(Double(angle)))
        let half = 0.5 - margin
        for y in 0..<size {
            let dy = (Float(y) + 0.5) / Float(size) - 0.5
            let row = canvas.density.values + y * size
            for x in 0..<size {
                let dx = (Float(x) + 0.5) / Float(size) - 0.5
                let inside = half - max(abs(c * dx + s * dy), abs(c * dy - s * dx))
                if inside < 0.002 { row[x] *= smoothStep(-0.002, 0.002, inside) }
            }
        }
    }

    // MARK: - Detector

    /// Blurs with the weights (a, 1 - 2a, a) along both axes, as often as the variance needs.
    private func blur(_ plane: PhantomPlane, variance: Float) {
        let passes = max(1, Int((variance / 0.45).rounded(.up)))
        let a = variance / Float(passes) / 2
        guard a > 0.01 else { return }
        let size = plane.size
        let other = canvas.scratch.values
        let values = plane.values
        let center = 1 - 2 * a
        for _ in 0..<passes {
            for y in 0..<size {
                let row = values + y * size
                let target = other + y * size
                target[0] = row[0] * (1 - a) + row[1] * a
                for x in 1..<size - 1 { target[x] = a * (row[x - 1] + row[x + 1]) + center * row[x] }
                target[size - 1] = row[size - 1] * (1 - a) + row[size - 2] * a
            }
            for y in 0..<size {
                let above = other + max(0, y - 1) * size
                let row = other + y * size
                let below = other + min(size - 1, y + 1) * size
                let target = values + y * size
                for x in 0..<size { target[x] = a * (above[x] + below[x]) + center * row[x] }
            }
        }
    }

    /// Adds the noise of few quanta: about normal, the sum of the four bytes of a word for each pixel.
    private func addNoise(_ deviation: Float) {
        let sequence = PhantomDraws(seed: seed, part: .noise, position: index).sequence
        let count = canvas.size * canvas.size
        // Four uniform bytes have the deviation 2 · 73.9.
        let scale = deviation / 147.8
        let values = canvas.density.values
        for block in 0..<(count + 3) / 4 {
            let words = sequence.words(block: block)
            let low = words & SIMD4(repeating: 0x00FF_00FF)
            let high = (words &>> 8) & SIMD4(repeating: 0x00FF_00FF)
            let pairs = low &+ high
            let sums = (pairs & SIMD4(repeating: 0xFFFF)) &+ (pairs &>> 16)
            for lane in 0..<min(4, count - 4 * block) {
                let value = values[4 * block + lane]
                // Dark parts, where the dose is high, are less noisy.
                values[4 * block + lane] = value + (Float(sums[lane]) - 510) * scale * (0.55 + 0.0022 * value)
            }
        }
    }
}

/// The film's answer: grey values for attenuations, from a table.
private struct ToneCurve {
    private let table: [Float]
    private static let top: Float = 2.5
    private static let steps = 1024

    init(contrast: Float, gamma: Float, fog: Float) {
        let white = 1 - Mathematics.exp(Double(-contrast) * 1.6)
        table = (0...Self.steps + 1).map { step in
            let density = Double(Float(step) * Self.top / Float(Self.steps))
            let raised = density > 0 ? Mathematics.pow(density, Double(gamma)) : 0
            let bright = (1 - Mathematics.exp(Double(-contrast) * raised)) / white
            return min(252, 250 * (fog + (1 - fog) * Float(bright)))
        }
    }

    @inline(__always)
    func callAsFunction(_ density: Float) -> Float {
        let place = min(Float(Self.steps), density * (Float(Self.steps) / Self.top))
        let cell = Int(place)
        let below = table[cell]
        return below + (table[cell + 1] - below) * (place - Float(cell))
    }
}
