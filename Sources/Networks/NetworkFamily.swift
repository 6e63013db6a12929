package import Graph
package import Settings

/// A family of networks: what users can set of it, what it needs of images and batches, and how it is built.
///
/// A family is one file with a type of this protocol, and its entry in `networkFamilies`. The settings `encoder`, `base_width` and
/// `dropout` are fields of configurations; any other one that a family declares is a key of `network.options`.
package protocol NetworkFamily: RegistryEntry, Hashable {
    /// What batch normalisation does in training.
    var statistics: NormalizationStatistics { get set }
    /// What tells the network from others of its family, short: "resnet34".
    var variant: String { get }
    /// The same for readers of a report: "base width 16".
    var details: String { get }
    /// Height and width of the images are multiples of this.
    var sizeDivisor: Int { get }

    /// What cannot be built of these settings, or trained with so many samples in a microbatch.
    func problems(microbatchSize: Int) -> [NetworkProblem]

    /// Appends the network to a graph; layers have the names of the reference.
    ///
    /// The mask's map is of the images' size. The images' sides are multiples of `sizeDivisor`.
    func outputs(_ images: Tensor, in builder: inout GraphBuilder) throws(GraphError) -> NetworkOutputs
}

extension NetworkFamily {
    package var details: String { variant }

    package func problems(microbatchSize: Int) -> [NetworkProblem] { [] }

    /// The word and what tells it from others of its family: "unet, resnet34".
    package var words: String { "\(Self.word), \(details)" }
}

/// The families, in the order in which users read them.
package let networkFamilies: [any NetworkFamily.Type] = [
    SmallUNet.self, UNet.self, DeepLabV3Plus.self, FPN.self,
]

/// The word of a family, as `network.architecture` has it.
package struct NetworkArchitecture: RegistryWord {
    package let family: any NetworkFamily.Type

    package init(_ family: any NetworkFamily.Type) { self.family = family }

    package var rawValue: String { family.word }
    package static var entries: [any NetworkFamily.Type] { networkFamilies }
}

/// What a network computes of its images.
package struct NetworkOutputs {
    /// Logits of the mask: one channel of the images' size.
    package var mask: Tensor
    /// Further outputs, by names of their own, for terms of the loss that ask for them: maps like the mask's, or one logit an
    /// image, which learns whether the mask has a pixel.
    package var heads: [String: Tensor]

    package init(mask: Tensor, heads: [String: Tensor] = [:]) {
        self.mask = mask
        self.heads = heads
    }
}

/// Why a network cannot be built, or trained as it is asked for.
package struct NetworkProblem: Hashable, Sendable {
    /// What to change.
    package enum Cause: Hashable, Sendable {
        case encoder
        case options
        case microbatchSize
    }

    package var cause: Cause
    /// What follows the family's word: "takes a resnet, found efficientnet-b0".
    package var message: String

    package init(_ cause: Cause, _ message: String) {
        self.cause = cause
        self.message = message
    }
}

extension NetworkFamily {
    /// The setting that is the field `network.encoder`.
    static func encoderSetting(_ keyPath: any WritableKeyPath<Self, Encoder> & Sendable) -> Setting<Self> {
        Setting("encoder", keyPath, .any, "The encoder; its parameters are named as in segmentation_models_pytorch.")
    }

    /// The setting that is the field `network.dropout`.
    static func dropoutSetting(_ keyPath: any WritableKeyPath<Self, Double> & Sendable) -> Setting<Self> {
        Setting("dropout", keyPath, .within(0...0.99), "The probability to drop a feature before the head.")
    }
}

extension Encoder: SettingWord {}
