package import Graph
package import Networks
package import Optimization
package import Sampling

// The values that are one of several words. The raw value is the word in YAML.

extension RunConfiguration {
    /// The numerics profile.
    package enum Precision: String, ConfigurationWord {
        case fp32
        /// bfloat16 feature maps and dot products, fp32 sums.
        case bf16
    }

    /// How gradients are summed.
    package enum SumFormat: String, ConfigurationWord {
        case fp32
        /// Every node of the tree rounded to bfloat16.
        case bf16
    }

    /// What happens to a step whose gradient or loss is not finite.
    package enum NonFiniteChoice: String, ConfigurationWord {
        /// The run ends.
        case stop
        /// The step counts and leaves the weights alone.
        case skip
    }

    /// What a compute thread keeps between forward and backward pass.
    package typealias MemoryChoice = MemoryPolicy

    /// Which samples an epoch draws.
    package typealias SamplerPolicy = Sampling.SamplingPolicy

    /// What stands outside of an image that was moved.
    package enum Border: String, ConfigurationWord {
        /// Mirrored about the outermost pixel.
        case reflect
        /// Black.
        case constant
    }

    /// The network's family.
    package typealias Architecture = Networks.NetworkArchitecture

    /// The encoder of the families that have one.
    package typealias Encoder = Networks.Encoder

    /// What batch normalisation does in training.
    package enum BatchNormalisation: String, ConfigurationWord {
        /// Statistics of the microbatch; the running ones follow.
        case train
        /// The running statistics, unchanged.
        case frozen
    }

    /// What soft Dice sums its pixels over.
    package enum DiceScope: String, ConfigurationWord {
        /// One Dice an image, then the mean over the microbatch.
        case image
        /// One Dice over all pixels of the microbatch.
        case microbatch
    }

    /// The shape of the learning rate after warm-up.
    package typealias ScheduleName = Optimization.ScheduleName

    /// A result of validation.
    package enum Metric: String, ConfigurationWord {
        /// The challenge's Dice over all images; an empty prediction of an empty image counts 1.
        case meanDice = "mean_dice"
        /// The challenge's Dice over the positives.
        case positiveDice = "positive_dice"
        /// The validation loss; less is better.
        case loss

        /// True where a larger value is a better one.
        package var largerIsBetter: Bool { self != .loss }

        /// What users read beside its values: the training loss is called loss too.
        package var label: String { self == .loss ? "validation loss" : rawValue }

        /// A value as a score, of which the higher is the better; and the value of a score.
        package func score(_ value: Double) -> Double { largerIsBetter ? value : -value }
    }

    /// Whether the coordinator and its workers use keys.
    package enum SecurityMode: String, ConfigurationWord {
        /// Where other machines reach the coordinator, or keys are given.
        case auto
        case curve
        /// Never: anybody who reaches the ports takes part.
        case none
    }

    /// What protects gradients between hosts, where there are keys.
    package enum DataProtection: String, ConfigurationWord {
        case encrypted
        /// Readable on the way, and not to be changed.
        case authenticated
        case none
    }

    /// How gradients travel between workers.
    package enum Transport: String, ConfigurationWord {
        /// Shared memory within a host, ZeroMQ between hosts.
        case auto
        case sharedMemory = "shared-memory"
        case zeromq
    }
}

// Words that other modules own.

extension MemoryPolicy: ConfigurationWord {}
extension Networks.NetworkArchitecture: ConfigurationWord {}
extension Networks.Encoder: ConfigurationWord {}
extension Optimization.ScheduleName: ConfigurationWord {}
extension Sampling.SamplingPolicy: ConfigurationWord {}
