package import Kernels

/// A term of the loss: one file here, and its entry in `lossTerms`.
///
/// A term says its value for a microbatch and adds its gradient. Most are made of the sums of `LossBatch`, which one pass of a
/// kernel gives to all terms: their gradients are coefficients of that kernel's second pass. Where that is not enough, a
/// term goes over the logits by itself (`addPixelGradient`), in one fixed order.
package protocol LossTerm: Sendable {
    /// The word in `loss.terms`, and the term's name in metrics.
    static var name: String { get }
    /// What users read about it: a clause that follows the name.
    static var summary: String { get }
    /// The numbers that it takes.
    static var options: [LossOption] { get }

    init(_ options: LossOptions)

    /// The mean over the microbatch, in `Double`, in one fixed order.
    func value(_ batch: LossBatch) -> Double

    /// Adds the coefficients of the gradient of `weight` · value for image `image`.
    func addGradient(_ weight: Double, image: Int, _ batch: LossBatch, to coefficients: inout LossSlopes)

    /// The exponent with which the kernel computes the focal sums, where the term reads them.
    var focalGamma: Double? { get }

    /// Whether `addPixelGradient` does anything.
    var visitsPixels: Bool { get }

    /// Adds the gradient of `weight` · value to that of the logits, pixel by pixel.
    func addPixelGradient(_ weight: Double, _ batch: LossBatch, to gradient: TensorView)
}

extension LossTerm {
    package static var options: [LossOption] { [] }
    package func addGradient(_ weight: Double, image: Int, _ batch: LossBatch, to coefficients: inout LossSlopes) {}
    package var focalGamma: Double? { nil }
    package var visitsPixels: Bool { false }
    package func addPixelGradient(_ weight: Double, _ batch: LossBatch, to gradient: TensorView) {}
}

/// A number that a term of the loss takes.
package struct LossOption: Hashable, Sendable {
    package var name: String
    /// The value where none is given.
    package var initial: Double
    package var range: ClosedRange<Double>
    /// Whether it is written as true (1) or false (0).
    package var isFlag: Bool

    package static func number(_ name: String, _ initial: Double, in range: ClosedRange<Double>) -> LossOption {
        LossOption(name: name, initial: initial, range: range, isFlag: false)
    }

    /// A flag that is false where it is not given.
    package static func flag(_ name: String) -> LossOption {
        LossOption(name: name, initial: 0, range: 0...1, isFlag: true)
    }
}

/// The values of a term's options.
package struct LossOptions: Hashable, Sendable {
    private var values: [String: Double]

    /// What is given, and for the rest the options' own values.
    package init(_ term: any LossTerm.Type, _ given: [String: Double] = [:]) {
        values = Dictionary(uniqueKeysWithValues: term.options.map { ($0.name, given[$0.name] ?? $0.initial) })
    }

    /// The value of an option that the term has declared.
    package func number(_ name: String) -> Double { values[name] ?? 0 }
    package func flag(_ name: String) -> Bool { number(name) != 0 }
}

/// What a loss is compared with.
package enum LossTarget: Hashable, Sendable {
    /// The mask: one target for each logit.
    case mask
    /// 1 where an image's mask has a pixel, otherwise 0: for heads with one logit an image.
    case presence
}

/// A microbatch as the terms of the loss see it.
package struct LossBatch {
    package let images: Int
    /// Logits of an image.
    package let pixels: Int
    /// For each image, by the kernel `lossSums`.
    package let sums: UnsafePointer<LossSums>
    /// Over all images, in their order.
    package let joined: LossSums
    private let logits: TensorView
    private let targets: TensorView

    /// `sums` holds an element for each image.
    package init(_ logits: TensorView, targets: TensorView, sums: UnsafePointer<LossSums>) {
        self.logits = logits
        self.targets = targets
        self.sums = sums
        images = logits.images
        pixels = logits.pixelsPerImage
        var total = LossSums()
        for n in 0..<images {
            total.crossEntropy += sums[n].crossEntropy
            total.focal += sums[n].focal
            total.probability += sums[n].probability
            total.target += sums[n].target
            total.intersection += sums[n].intersection
            total.squaredProbability += sums[n].squaredProbability
            total.squaredTarget += sums[n].squaredTarget
        }
        joined = total
    }

    /// Logits of all images.
    package var elements: Double { Double(images) * Double(pixels) }

    /// The logit and the target of pixel `index` of the microbatch.
    package func pixel(_ index: Int) -> (logit: Float, target: Float) {
        (logits[pixel: index], targets[pixel: index])
    }
}

/// The coefficients of `KernelTable.lossGradient` for one image before they are rounded: several terms add to them.
package struct LossSlopes {
    package var cross = 0.0
    package var target = 0.0
    package var probability = 0.0
    package var constant = 0.0
    package var focal = 0.0

    package init() {}

    package var rounded: LossCoefficients {
        var c = LossCoefficients()
        c.cross = Float(cross)
        c.target = Float(target)
        c.probability = Float(probability)
        c.constant = Float(constant)
        c.focal = Float(focal)
        return c
    }
}

extension TensorView {
    /// The only channel of a pixel, in `Float`.
    package subscript(pixel index: Int) -> Float {
        get { floats[index * pixelStride] }
        nonmutating set { floats[index * pixelStride] = newValue }
    }
}
