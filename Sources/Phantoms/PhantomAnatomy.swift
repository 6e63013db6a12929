import Numerics

/// What stays with a patient from image to image.
struct PhantomPatient: Equatable, Sendable {
    /// The patient's number: that of the first image.
    var number: Int
    var isFemale: Bool
    var age: Int
    /// 0 lean, 1 stout.
    var habitus: Float
    /// Width of the heart's shadow over that of the thorax.
    var heartRatio: Float
    /// Width of the thorax over its height.
    var aspect: Float

    /// The patient of image `index`.
    ///
    /// Images come in groups of eight; in a group, each image after the first belongs, with probability 0.45, to the
    /// patient of the image before. So the patient is a function of the seed and the index alone.
    init(seed: UInt64, image index: Int) {
        let group = index - index % 8
        var first = group
        var fates = PhantomDraws(seed: seed, part: .patients, position: group / 8)
        for image in group..<group + 8 {
            let isSame = fates.chance(0.45)
            if image > index { break }
            if image == group || !isSame { first = image }
        }
        var draws = PhantomDraws(seed: seed, part: .patient, position: first)
        number = first
        isFemale = draws.chance(0.45)
        age = max(3, min(92, Int((48 + 17 * draws.normal()).rounded())))
        habitus = draws.uniform(0, 1)
        heartRatio = draws.uniform(0.42, 0.58)
        aspect = draws.uniform(0.92, 1.12)
    }
}

/// One lung: the contour of its cavity, as a curve around a point from which all of the contour can be seen.
struct PhantomLung {
    /// The middle, in image coordinates; directions to points of the contour are taken from here.
    var middle: PhantomPoint
    /// The contour of the cavity, in image coordinates, closed.
    var contour: [PhantomPoint]
    /// -1 for the lung at the left of the image, 1 for the other.
    var side: Float
}

/// The contours of one phantom, in image coordinates.
struct PhantomAnatomy {
    var pose: PhantomPose
    var isPortable: Bool
    var patient: PhantomPatient
    var lungs: [PhantomLung]
    var body: [PhantomPoint]
    var mediastinum: [PhantomPoint]
    var scapulae: [[PhantomPoint]]
    /// The levels (v) of the two domes of the diaphragm.
    var domes: [Float]

    /// Draws the pose and contours of image `index`.
    ///
    /// `variant` is 0, or the number of a further try at the same image.
    init(seed: UInt64, image index: Int, patient: PhantomPatient, variant: Int = 0) {
        self.patient = patient
        var kind = PhantomDraws(seed: seed, part: .kind, position: index)
        isPortable = kind.chance(0.4)
        let pose = Self.pose(seed: seed, index: index, patient: patient, isPortable: isPortable, variant: variant)
        self.pose = pose
        var draws = PhantomDraws(seed: seed, part: .contours, position: index &* 64 &+ variant)
        // Both classes breathe alike: a portable image is taken in less deep a breath.
        let breath = isPortable ? draws.uniform(-0.08, 0.02) : draws.uniform(-0.03, 0.05)
        domes = [0.80 + breath + draws.uniform(-0.02, 0.02), 0.835 + breath + draws.uniform(-0.02, 0.02)]
        lungs = []
        for (number, side) in [Float(-1), 1].enumerated() {
            let outline = Self.lungOutline(dome: domes[number], side: side, draws: &draws)
            let contour = PhantomCurve.wobbled(pose(outline), amplitude: 0.008, draws: &draws)
            lungs.append(PhantomLung(middle: pose(side * 0.52, 0.50), contour: contour, side: side))
        }
        body = pose(Self.bodyOutline(habitus: patient.habitus, draws: &draws))
        let ratio = patient.heartRatio * (isPortable ? 1.1 : 1)
        mediastinum = pose(Self.mediastinumOutline(heartRatio: ratio, draws: &draws))
        let lift = draws.uniform(-0.05, 0.05)
        // Portable images are taken with the arms down: the shoulder blades lie over the lungs.
        let inward: Float = isPortable ? draws.uniform(0.02, 0.12) : draws.uniform(-0.10, 0.04)
        scapulae = [Float(-1), 1].map { side in
            let points = [
                (1.02, 0.0), (1.28, 0.03), (1.20, 0.18), (1.06, 0.42), (0.96, 0.53), (0.90, 0.40), (0.93, 0.15),
            ]
            return pose(
                PhantomCurve.closed(
                    points.map { PhantomPoint(side * (Float($0.0) - inward), Float($0.1) + lift) },
                    corners: [0, 4],
                    steps: 5
                )
            )
        }
    }

    private static func pose(
        seed: UInt64,
        index: Int,
        patient: PhantomPatient,
        isPortable: Bool,
        variant: Int
    ) -> PhantomPose {
        var draws = PhantomDraws(seed: seed, part: .pose, position: index &* 64 &+ variant)
        let width = draws.uniform(0.36, 0.43) * (isPortable ? 0.95 : 1)
        let height = 2 * width / patient.aspect * draws.uniform(0.80, 0.94) * (isPortable ? 0.92 : 1)
        let angle = Double(draws.normal() * (isPortable ? 0.05 : 0.025))
        let center = PhantomPoint(0.5 + 0.025 * draws.normal(), 0.47 + 0.03 * draws.normal())
        let turn = draws.normal() * (isPortable ? 0.05 : 0.03)
        return PhantomPose(
            center: center,
            halfWidth: width,
            height: height,
            cosine: Float(Mathematics.cos(angle)),
            sine: Float(Mathematics.sin(angle)),
            turn: turn
        )
    }

    /// The distance of the lung's lateral border from the midline (u) at the level v.
    static func lateralBorder(_ v: Float) -> Float {
        let levels: [Float] = [0.0, 0.05, 0.16, 0.33, 0.55, 0.78, 1.0]
        let borders: [Float] = [0.44, 0.61, 0.76, 0.88, 0.955, 0.99, 1.0]
        if v >= 1 { return 1 }
        if v <= 0 { return 0.44 }
        let above = (0..<6).last { levels[$0] <= v } ?? 0
        return mix(borders[above], borders[above + 1], (v - levels[above]) / (levels[above + 1] - levels[above]))
    }

    /// One lung cavity in thorax coordinates: apex, chest wall, costophrenic angle, dome, mediastinal border.
    private static func lungOutline(dome: Float, side: Float, draws: inout PhantomDraws) -> [PhantomPoint] {
        let angle = min(1.02, dome + draws.uniform(0.12, 0.18))
        var points: [(Float, Float)] = [
            (0.25, 0.045), (0.43, 0.0), (0.60, 0.05), (0.755, 0.16), (0.875, 0.33), (0.95, 0.55), (0.985, 0.76),
            (0.995, angle), (0.88, dome + 0.045), (0.68, dome + 0.002), (0.47, dome - 0.012), (0.29, dome + 0.03),
            (0.19, dome + 0.075), (0.165, 0.72), (0.15, 0.52), (0.17, 0.32), (0.165, 0.16),
        ]
        for i in points.indices {
            points[i].0 += draws.uniform(-0.012, 0.012)
            points[i].1 += draws.uniform(-0.008, 0.008)
        }
        return PhantomCurve.closed(points.map { PhantomPoint(side * $0.0, $0.1) }, corners: [7, 12], steps: 7)
    }

    private static func bodyOutline(habitus: Float, draws: inout PhantomDraws) -> [PhantomPoint] {
        let wall = mix(1.06, 1.26, habitus)
        let shoulder = draws.uniform(-0.16, -0.06)
        let neck = draws.uniform(0.30, 0.38)
        let points: [(Float, Float)] = [
            (neck, -0.9), (neck, -0.34), (neck + 0.10, -0.22), (0.85, shoulder - 0.02), (1.28, shoulder + 0.04),
            (1.48, shoulder + 0.16), (1.50, 0.30), (wall + 0.10, 0.36), (wall + 0.02, 0.48), (wall, 0.75),
            (wall - 0.01, 1.05), (wall + 0.02, 1.9),
        ]
        let right = points.map { PhantomPoint($0.0 + draws.uniform(-0.02, 0.02), $0.1) }
        let left = points.reversed().map { PhantomPoint(-$0.0 + draws.uniform(-0.02, 0.02), $0.1) }
        return PhantomCurve.closed(right + left, corners: [0, 11, 12, 23], steps: 4)
    }

    private static func mediastinumOutline(heartRatio: Float, draws: inout PhantomDraws) -> [PhantomPoint] {
        let knob = draws.uniform(0.20, 0.28)
        let left = 2 * heartRatio * 0.68
        let right = 2 * heartRatio * 0.34
        let apex = draws.uniform(0.80, 0.86)
        let points: [(Float, Float)] = [
            (0.15, -0.5), (0.15, 0.08), (0.17, 0.20), (knob, 0.27), (0.19, 0.36), (0.24, 0.45), (0.34, 0.56),
            (mix(0.34, left, 0.7), 0.68), (left, apex), (left - 0.10, apex + 0.10), (0.2, 1.06), (-0.1, 1.06),
            (-right + 0.04, apex + 0.07), (-right, 0.73), (-right + 0.05, 0.60), (-0.20, 0.48), (-0.18, 0.35),
            (-0.17, 0.20), (-0.14, 0.08), (-0.14, -0.5),
        ]
        return PhantomCurve.closed(
            points.map { PhantomPoint($0.0 + draws.uniform(-0.012, 0.012), $0.1) },
            corners: [0, 19],
            steps: 5
        )
    }
}
