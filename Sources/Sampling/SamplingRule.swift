package import Numerics
package import Settings

/// Which samples an epoch is made of: a pure function of (settings, seed, epoch, run).
///
/// A rule is one file with a type of this protocol, and its entry in `samplingRules`. Its settings are fields of the section `sampler` of
/// configurations.
package protocol SamplingRule: RegistryEntry, Hashable {
    /// What is wrong with the settings, as a sentence without its full stop; nil where nothing is.
    var defect: String? { get }
    /// True where the number of a run's epochs decides on the samples of each: such a run keeps its number when it is resumed.
    var dependsOnLength: Bool { get }

    /// Refuses samples of which the rule cannot make every epoch.
    func check(_ pool: SamplePool) throws(SamplingError)

    /// How many samples `epoch` has, O(1).
    func sampleCount(of epoch: Int, from pool: SamplePool) -> Int

    /// The samples of `epoch` before they are shuffled, as many as `sampleCount` says.
    ///
    /// Where it draws at random, it takes numbers of `draws`, which are the epoch's own.
    func samples(of epoch: Int, from pool: SamplePool, draws: RandomSequence) -> [Int]
}

extension SamplingRule {
    package var defect: String? { nil }
    package var dependsOnLength: Bool { false }
    package func check(_ pool: SamplePool) throws(SamplingError) {}
}

/// The rules, in the order in which users read them.
package let samplingRules: [any SamplingRule.Type] = [
    AllSamples.self, PositivesAndShare.self, BalancedSamples.self,
]

/// The word of a rule, as `sampler.policy` has it.
package struct SamplingPolicy: RegistryWord {
    package let rule: any SamplingRule.Type

    package init(_ rule: any SamplingRule.Type) { self.rule = rule }

    package var rawValue: String { rule.word }
    package static var entries: [any SamplingRule.Type] { samplingRules }
}

/// What a rule draws from.
package struct SamplePool: Hashable, Sendable {
    /// All training samples as indices in the data set, in the order they were given in.
    package let samples: [Int]
    /// Those with a pneumothorax, and those without.
    package let positives: [Int]
    package let negatives: [Int]
    /// Epochs of the run, at least 1.
    package let epochs: Int

    /// `isPositive[sample]` says whether the sample has a pneumothorax.
    package init(samples: [Int], isPositive: [Bool], epochs: Int) {
        self.samples = samples
        positives = samples.filter { isPositive[$0] }
        negatives = samples.filter { !isPositive[$0] }
        self.epochs = max(1, epochs)
    }
}
