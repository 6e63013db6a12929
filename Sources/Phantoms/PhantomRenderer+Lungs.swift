import Numerics

extension PhantomRenderer {
    /// Draws the vessels and bronchi of both lungs as trees from the hila, and folds of skin.
    func drawMarkings(_ anatomy: PhantomAnatomy) {
        var draws = PhantomDraws(seed: seed, part: .vessels, position: index)
        let strength = draws.uniform(0.7, 1.15)
        for lung in anatomy.lungs {
            let hilum = anatomy.pose(lung.side * draws.uniform(0.20, 0.26), draws.uniform(0.43, 0.50))
            let count = 9 + draws.integer(below: 3)
            for branch in 0..<count {
                // Directions fan out from straight up over the chest wall to straight down.
                let turn = (Float(branch) + draws.uniform(0.1, 0.9)) / Float(count)
                let angle = Double(mix(-1.50, 1.45, turn))
                let direction = PhantomPoint(
                    lung.side * Float(Mathematics.cos(angle)),
                    Float(Mathematics.sin(angle))
                )
                let length = draws.uniform(0.035, 0.07)
                grow(
                    from: hilum,
                    direction: direction,
                    length: length,
                    width: draws.uniform(0.0050, 0.0085),
                    depth: 0,
                    strength: strength,
                    draws: &draws
                )
            }
            drawHilum(hilum, lung: lung, strength: strength, draws: &draws)
        }
    }

    private func grow(
        from start: PhantomPoint,
        direction: PhantomPoint,
        length: Float,
        width: Float,
        depth: Int,
        strength: Float,
        draws: inout PhantomDraws
    ) {
        guard depth < 8 else { return }
        // Two pieces with a slight bend between them.
        let bend = draws.uniform(-0.45, 0.45)
        let turned = rotated(direction, by: bend)
        let middle = start + direction * (length * 0.5)
        let end = middle + turned * (length * 0.5)
        let narrowed = width * 0.88
        // What is thinner lets more through.
        let amplitude = strength * (0.045 + 0.10 * min(1, width / 0.007))
        canvas.raise(
            canvas.markings,
            from: start,
            to: middle,
            widths: (width, mix(width, narrowed, 0.5)),
            amplitude: amplitude
        )
        canvas.raise(
            canvas.markings,
            from: middle,
            to: end,
            widths: (mix(width, narrowed, 0.5), narrowed),
            amplitude: amplitude
        )
        let fork = draws.uniform(0.30, 0.75)
        let share = draws.uniform(0.58, 0.85)
        let shrink = draws.uniform(0.80, 0.98)
        let isStraight = draws.chance(0.5)
        let major = rotated(turned, by: isStraight ? fork * 0.35 : -fork * 0.35)
        let minor = rotated(turned, by: isStraight ? -fork : fork)
        grow(
            from: end,
            direction: major,
            length: length * shrink,
            width: narrowed * 0.86,
            depth: depth + 1,
            strength: strength,
            draws: &draws
        )
        grow(
            from: end,
            direction: minor,
            length: length * shrink * 0.9,
            width: narrowed * share * 0.85,
            depth: depth + 1,
            strength: strength,
            draws: &draws
        )
    }

    private func rotated(_ d: PhantomPoint, by angle: Float) -> PhantomPoint {
        // A short turn: the series is exact enough, and the length is put right.
        let c = 1 - angle * angle / 2
        let s = angle - angle * angle * angle / 6
        let turned = PhantomPoint(c * d.x - s * d.y, s * d.x + c * d.y)
        return turned / max(1e-6, turned.length)
    }

    private func drawHilum(_ hilum: PhantomPoint, lung: PhantomLung, strength: Float, draws: inout PhantomDraws) {
        for _ in 0..<5 {
            let offset = PhantomPoint(lung.side * draws.uniform(-0.01, 0.03), draws.uniform(-0.04, 0.05))
            canvas.disc(
                at: hilum + offset,
                radius: draws.uniform(0.012, 0.026),
                profile: .line,
                amplitude: 0.10 * strength,
                on: canvas.markings
            )
        }
        // A bronchus seen end-on: a ring.
        canvas.disc(
            at: hilum + PhantomPoint(lung.side * 0.02, -0.02),
            radius: 0.008,
            profile: .bone,
            amplitude: 0.08 * strength,
            on: canvas.markings
        )
    }

    /// Draws folds of skin: edges that run over a lung like a pleural line, but with markings on both sides.
    ///
    /// Both classes have them equally often, so that a line alone does not tell a pneumothorax.
    func drawFolds(_ anatomy: PhantomAnatomy, decoy: [PhantomPoint]) {
        var draws = PhantomDraws(seed: seed, part: .fold, position: index)
        let isFolded = draws.chance(0.22)
        let isDecoy = draws.chance(0.5)
        let strength = draws.uniform(0.05, 0.11)
        let side: Float = draws.chance(0.5) ? 1 : -1
        let top = PhantomPoint(side * draws.uniform(0.45, 1.1), draws.uniform(-0.1, 0.25))
        let bottom = PhantomPoint(side * draws.uniform(0.5, 0.95), draws.uniform(0.6, 1.1))
        let bulge = PhantomPoint(side * draws.uniform(0.6, 1.0), draws.uniform(0.3, 0.6))
        let width = draws.uniform(0.025, 0.06)
        guard isFolded else { return }
        if isDecoy && decoy.count > 2 {
            canvas.stroke(
                decoy,
                profile: .line,
                on: canvas.density,
                halfWidth: 0.0017,
                amplitude: strength * 1.1
            )
        } else {
            canvas.stroke(
                anatomy.pose(PhantomCurve.open([top, bulge, bottom], steps: 12)),
                profile: .fold,
                on: canvas.density,
                halfWidth: { _ in width },
                amplitude: { strength * smoothStep(0, 0.15, $0) * (1 - smoothStep(0.8, 1, $0)) }
            )
        }
    }
}
