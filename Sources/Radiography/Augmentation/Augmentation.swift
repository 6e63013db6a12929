import Numerics
package import Settings

/// One thing that may happen to a sample before it is trained on, at random.
///
/// An augmentation is one file with a type of this protocol, and its entry in `augmentations`. Its settings are fields of the section
/// `augmentation.WORD` of configurations.
package protocol Augmentation: RegistryEntry, Hashable {
    /// How often it happens, in 0 ... 1.
    var probability: Double { get set }
    /// The words of a sample's random sequence that are its own: the first decides whether it happens, the rest are for `draw`. No two
    /// augmentations share one, so that a further one does not move the draws of the others.
    static var words: Range<Int> { get }

    /// Notes in `draw` what happens to the sample, by the numbers of its own words.
    func draw(_ numbers: AugmentationNumbers, into draw: inout AugmentationDraw)
}

/// The augmentations, in the order in which users read them. What order they happen in is said by `AugmentationDraw`.
package let augmentations: [any Augmentation.Type] = [
    Flip.self, ShiftScaleRotate.self, RandomCrop.self, BrightnessChange.self, ContrastChange.self, GammaChange.self,
    LocalContrast.self,
]

/// The random numbers of one augmentation of one sample.
package struct AugmentationNumbers: Sendable {
    private let sequence: RandomSequence
    private let words: Range<Int>

    init(_ sequence: RandomSequence, _ words: Range<Int>) {
        self.sequence = sequence
        self.words = words
    }

    /// Whether it happens at all.
    func happens(_ probability: Double) -> Bool { sequence.uniform(words.lowerBound) < Float(probability) }

    /// Number `index` of those behind the first, uniform in 0 ..< 1.
    package func uniform(_ index: Int) -> Float { sequence.uniform(word(index)) }

    /// The same, uniform in a range.
    package func uniform(_ index: Int, in range: ClosedRange<Float>) -> Float {
        sequence.uniform(word(index), in: range)
    }

    private func word(_ index: Int) -> Int {
        let word = words.lowerBound + 1 + index
        precondition(words.contains(word), "number \(index) of \(words.count - 1)")
        return word
    }
}

extension Augmentation {
    static var probabilitySetting: Setting<Self> {
        Setting("probability", \.probability, .within(0...1), "How often.")
    }
}
