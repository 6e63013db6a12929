extension PhantomRenderer {
    /// Draws spine, ribs, collar bones, shoulder blades and upper arms.
    func drawBones(_ anatomy: PhantomAnatomy) {
        var draws = PhantomDraws(seed: seed, part: .bones, position: index)
        let strength = draws.uniform(0.75, 1.2) * (anatomy.patient.age > 65 ? 0.85 : 1)
        drawSpine(anatomy.pose, strength: strength, draws: &draws)
        drawRibs(anatomy.pose, strength: strength, draws: &draws)
        drawCollarBones(anatomy, strength: strength, draws: &draws)
        drawShoulders(anatomy, strength: strength, draws: &draws)
    }

    private func drawSpine(_ pose: PhantomPose, strength: Float, draws: inout PhantomDraws) {
        let unit = pose.halfWidth
        let step = draws.uniform(0.082, 0.092)
        let bend = draws.uniform(-0.03, 0.03)
        var v: Float = -0.42 + draws.uniform(0, step)
        while v < 1.9 {
            let u = bend * (v - 0.5)
            let width = 0.085 + 0.02 * max(0, min(1, v))
            // A vertebra is a rounded box: a short fat stroke; a lighter disc of cartilage lies between two.
            canvas.stroke(
                [pose(u - width * 0.75, v), pose(u + width * 0.75, v)],
                profile: .bone,
                on: canvas.density,
                halfWidth: step * 0.44 * pose.height,
                amplitude: 0.075 * strength
            )
            for side in [Float(-1), 1] {
                canvas.disc(
                    at: pose(u + side * width * 0.72, v - 0.01),
                    radius: 0.018 * unit,
                    profile: .bone,
                    amplitude: 0.05 * strength,
                    on: canvas.density
                )
            }
            canvas.disc(
                at: pose(u, v + 0.028),
                radius: 0.022 * unit,
                profile: .bone,
                amplitude: 0.05 * strength,
                on: canvas.density
            )
            v += step
        }
    }

    private func drawRibs(_ pose: PhantomPose, strength: Float, draws: inout PhantomDraws) {
        let spacing = draws.uniform(0.088, 0.100)
        let start = draws.uniform(-0.03, 0.02)
        let slope = draws.uniform(0.8, 1.25)
        let calcified = draws.uniform(0.4, 1.0)
        for side in [Float(-1), 1] {
            let shift = draws.uniform(-0.012, 0.012)
            for number in 0..<11 {
                let n = Float(number)
                let v0 = start + shift + spacing * n + 0.006 * draws.uniform(-1, 1)
                let drop = (0.055 + 0.017 * n) * slope
                let lateral = v0 + drop
                let wall = PhantomAnatomy.lateralBorder(lateral) + 0.012
                let width = (0.024 + 0.0012 * min(n, 6)) * pose.halfWidth * draws.uniform(0.92, 1.08)
                let amplitude = 0.125 * strength * (number == 0 ? 1.1 : 1) * draws.uniform(0.9, 1.1)
                let back = PhantomCurve.bezier(
                    PhantomPoint(side * 0.11, v0),
                    PhantomPoint(side * wall * 0.55, v0 - 0.035 - 0.002 * n),
                    PhantomPoint(side * wall * 0.97, v0 + drop * 0.25),
                    PhantomPoint(side * wall, lateral),
                    steps: 18
                )
                guard number < 8 else {
                    canvas.stroke(
                        pose(back),
                        profile: .bone,
                        on: canvas.density,
                        halfWidth: { width * (1 - 0.25 * $0) },
                        amplitude: { amplitude * (0.75 + 0.35 * $0) }
                    )
                    continue
                }
                // The front part runs down and inwards, broader and fainter, and ends where the cartilage begins.
                let end = lateral + (0.09 + 0.018 * n) * slope
                let front = PhantomCurve.bezier(
                    PhantomPoint(side * wall, lateral),
                    PhantomPoint(side * wall * 1.0, lateral + 0.05),
                    PhantomPoint(side * wall * 0.80, end - 0.015),
                    PhantomPoint(side * (0.36 + 0.02 * n), end + 0.01),
                    steps: 18
                )
                canvas.stroke(
                    pose(back + front.dropFirst()),
                    profile: .bone,
                    on: canvas.density,
                    halfWidth: { width * (1 - 0.5 * smoothStep(0, 0.5, $0) * 0.5 + 0.5 * smoothStep(0.5, 1, $0)) },
                    amplitude: { t in
                        let back = 0.75 + 0.35 * min(1, 2 * t)
                        let front = 1 - 0.55 * smoothStep(0.5, 0.95, t)
                        return amplitude * back * front * (1 - smoothStep(0.92, 1, t) * (1 - 0.6 * calcified))
                    }
                )
            }
        }
    }

    private func drawCollarBones(_ anatomy: PhantomAnatomy, strength: Float, draws: inout PhantomDraws) {
        let pose = anatomy.pose
        let lift = anatomy.isPortable ? draws.uniform(-0.09, -0.02) : draws.uniform(-0.03, 0.03)
        for side in [Float(-1), 1] {
            let tilt = draws.uniform(-0.02, 0.02)
            let points = [
                PhantomPoint(side * 0.13, 0.125 + lift * 0.3), PhantomPoint(side * 0.34, 0.105 + lift),
                PhantomPoint(side * 0.62, 0.055 + lift + tilt), PhantomPoint(side * 0.92, 0.015 + lift + tilt),
                PhantomPoint(side * 1.22, -0.03 + lift + 2 * tilt),
            ]
            let width = draws.uniform(0.034, 0.042) * pose.halfWidth
            canvas.stroke(
                pose(PhantomCurve.open(points, steps: 8)),
                profile: .bone,
                on: canvas.density,
                halfWidth: { width * (1.15 - 0.5 * smoothStep(0, 0.5, $0) + 0.4 * smoothStep(0.6, 1, $0)) },
                amplitude: { _ in 0.15 * strength }
            )
        }
    }

    private func drawShoulders(_ anatomy: PhantomAnatomy, strength: Float, draws: inout PhantomDraws) {
        let pose = anatomy.pose
        let unit = pose.halfWidth
        for (number, side) in [Float(-1), 1].enumerated() {
            let blade = anatomy.scapulae[number]
            canvas.stroke(
                blade + blade.prefix(1),
                profile: .line,
                on: canvas.density,
                halfWidth: 0.014 * unit,
                amplitude: 0.055 * strength
            )
            let head = PhantomPoint(side * draws.uniform(1.30, 1.36), draws.uniform(0.03, 0.08))
            let hang = draws.uniform(0.02, 0.30)
            canvas.stroke(
                [pose(head.x, head.y), pose(side * (abs(head.x) + 0.10 + hang), head.y + 0.95)],
                profile: .bone,
                on: canvas.density,
                halfWidth: { unit * (0.145 - 0.075 * smoothStep(0, 0.25, $0)) },
                amplitude: { _ in 0.16 * strength }
            )
        }
    }
}
