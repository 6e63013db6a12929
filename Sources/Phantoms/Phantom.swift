package import Radiography

/// What phantoms are drawn: their number does not matter, each is a function of these and its index.
package struct PhantomOptions: Sendable, Equatable {
    /// The seed of everything drawn.
    package var seed: UInt64
    /// The side of the images in pixels, 64...2048.
    package var size: Int
    /// The share of images with a pneumothorax, 0...1.
    package var positiveShare: Float
    /// The area of pneumothoraces over that in the challenge (median 0.82 % of the image), 0.1...10.
    package var areaScale: Float

    package static let sizes = 64...2048
    package static let areaScales: ClosedRange<Float> = 0.1...10

    package init(seed: UInt64, size: Int, positiveShare: Float = 0.3, areaScale: Float = 3) {
        self.seed = seed
        self.size = size
        self.positiveShare = positiveShare
        self.areaScale = areaScale
    }
}

/// One phantom radiograph with its truth.
package struct PhantomImage: Sendable {
    /// The side in pixels.
    package var size: Int
    /// `size` · `size` grey values, row-major, 0 black.
    package var pixels: [UInt8]
    /// The pneumothoraces, one mask of 1024 × 1024 each, whatever the image's size; none in a negative.
    package var regions: [RunLengthMask]
    package var isPortable: Bool
    package var isFemale: Bool
    /// In years.
    package var age: Int
    /// The index of the patient's first image.
    package var patient: Int

    /// The union of the regions.
    package var mask: RunLengthMask {
        let empty = RunLengthMask(width: RunLengthMask.challengeSide, height: RunLengthMask.challengeSide)
        return regions.reduce(empty) { $0.union($1) }
    }
}

/// Draws phantoms of one size.
///
/// Holds the buffers of one thread; not for use by two threads at once.
package final class PhantomPainter {
    private let options: PhantomOptions
    /// Small images are drawn at twice their size and averaged, as if a large radiograph had been shrunk.
    private let oversampling: Int
    private let canvas: PhantomCanvas

    /// `options` lie in their documented ranges.
    package init(options: PhantomOptions) {
        precondition(PhantomOptions.sizes.contains(options.size), "phantoms of \(options.size) pixels")
        self.options = options
        oversampling = options.size <= 256 ? 2 : 1
        canvas = PhantomCanvas(size: options.size * oversampling)
    }

    /// The phantom with number `index`: positive with the options' share, or as `isPositive` says.
    package func paint(_ index: Int, isPositive: Bool? = nil) -> PhantomImage {
        let patient = PhantomPatient(seed: options.seed, image: index)
        let anatomy = PhantomAnatomy(seed: options.seed, image: index, patient: patient)
        var draws = PhantomDraws(seed: options.seed, part: .collapse, position: index)
        let isDrawn = draws.chance(options.positiveShare)
        let retractions = PhantomCollapse.retractions(
            lungs: anatomy.lungs,
            pose: anatomy.pose,
            areaScale: options.areaScale,
            draws: &draws
        )
        var collapse: PhantomCollapse?
        if isPositive ?? isDrawn {
            let drawn = PhantomCollapse(anatomy: anatomy, retractions: retractions)
            if !drawn.regions.isEmpty { collapse = drawn }
        }
        return finish(index, anatomy: anatomy, collapse: collapse)
    }

    /// The phantom with number `index`, posed so that `mask` lies where a pneumothorax can, with air there or, where
    /// `isPositive` is false, without.
    ///
    /// `mask` is 1024 × 1024 and not empty.
    package func paint(_ index: Int, fitting mask: RunLengthMask, isPositive: Bool) -> PhantomImage {
        let patient = PhantomPatient(seed: options.seed, image: index)
        let fit = PhantomFit(mask: mask)
        let anatomy = fit.anatomy(seed: options.seed, image: index, patient: patient)
        let collapse = isPositive ? PhantomCollapse(air: fit.air, regions: [mask]) : nil
        return finish(index, anatomy: anatomy, collapse: collapse)
    }

    private func finish(_ index: Int, anatomy: PhantomAnatomy, collapse: PhantomCollapse?) -> PhantomImage {
        var draws = PhantomDraws(seed: options.seed, part: .decoy, position: index)
        let decoy = PhantomCollapse.retractions(
            lungs: anatomy.lungs,
            pose: anatomy.pose,
            areaScale: options.areaScale,
            draws: &draws
        )
        let renderer = PhantomRenderer(seed: options.seed, index: index, canvas: canvas)
        renderer.render(anatomy, collapse: collapse, decoy: decoy.first?.line ?? [])
        return PhantomImage(
            size: options.size,
            pixels: pixels(),
            regions: collapse?.regions ?? [],
            isPortable: anatomy.isPortable,
            isFemale: anatomy.patient.isFemale,
            age: anatomy.patient.age,
            patient: anatomy.patient.number
        )
    }

    /// The canvas as 8-bit grey values, the darkest 0.
    ///
    /// DCMTK's lossy encoder takes the smallest value off all others; here that is nothing.
    private func pixels() -> [UInt8] {
        let size = options.size
        let values = canvas.density.values
        var pixels = [UInt8](unsafeUninitializedCapacity: size * size) { target, count in
            for y in 0..<size {
                for x in 0..<size {
                    let value: Float
                    if oversampling == 1 {
                        value = values[y * size + x]
                    } else {
                        let first = values + (2 * y) * (2 * size) + 2 * x
                        value = (first[0] + first[1] + first[2 * size] + first[2 * size + 1]) * 0.25
                    }
                    target[y * size + x] = UInt8(max(0, min(255, value + 0.5)))
                }
            }
            count = size * size
        }
        let darkest = pixels.min() ?? 0
        if darkest > 0 {
            for index in pixels.indices { pixels[index] -= darkest }
        }
        return pixels
    }
}
