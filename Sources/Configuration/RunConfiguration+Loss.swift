package import Losses
import Yams

// What the section `loss` says of the module Losses: the terms by their words, and their options.

extension RunConfiguration {
    /// An entry of `loss.terms`.
    package struct WeightedTerm: Sendable {
        /// One of `lossTerms`.
        package var family: any LossTerm.Type
        package var weight = 1.0
        /// The output of the network that it takes.
        package var output = SegmentationLoss.mask
        /// What is given of the term's options; a flag is 0 or 1.
        package var options: [String: Double] = [:]

        /// What users read of all terms, and of their options.
        static var descriptions: String {
            lossTerms.map { family in
                let options = family.options.map { option in
                    let value = option.isFlag ? (option.initial != 0).yaml : option.initial.yaml
                    return "\(option.name): \(value)"
                }
                return "\(family.name): \(family.summary)"
                    + (options.isEmpty ? "" : " (\(options.joined(separator: ", ")))")
            }.joined(separator: "; ")
        }
    }
}

extension RunConfiguration.Loss {
    /// What is minimised: `terms`, or where there are none the three that have weights of their own.
    package var rule: SegmentationLoss {
        if !terms.isEmpty {
            return SegmentationLoss(
                terms.map { entry in
                    SegmentationLoss.Entry(
                        entry.family.init(LossOptions(entry.family, entry.options)),
                        weight: entry.weight,
                        output: entry.output
                    )
                }
            )
        }
        return SegmentationLoss(
            crossEntropy: crossEntropy,
            dice: dice,
            focal: focal,
            focalGamma: focalGamma,
            diceScope: dicePer == .image ? .image : .microbatch,
            numeratorSmoothing: smoothing,
            denominatorSmoothing: smoothing
        )
    }
}

extension RunConfiguration.WeightedTerm: ConfigurationValue {
    static var kind: String { "{term: …, weight: …, …}" }

    package static func == (a: Self, b: Self) -> Bool {
        a.family.name == b.family.name && a.weight == b.weight && a.output == b.output && a.options == b.options
    }

    init(node: Node) throws(ValueProblem) {
        guard case .mapping(let mapping) = node else { throw node.refusal(expected: Self.kind) }
        guard let word = mapping["term"] else {
            throw ValueProblem(message: "needs `term`: \(Self.words)", mark: mapping.mark)
        }
        guard let family = lossTerms.first(where: { $0.name == word.bareText }) else {
            let near = word.bareText.flatMap { Spelling.nearest(to: $0, in: lossTerms.map { $0.name }) }
            throw word.refusal(expected: Self.words, hint: near.map { "; did you mean `\($0)`?" } ?? "")
        }
        self.family = family
        for (key, value) in mapping {
            switch key.bareText {
            case "term": break
            case "weight": weight = try Self.number(value, key, 0...1_000_000)
            case "output":
                guard let name = value.bareText, name.utf8.count <= 64 else {
                    throw value.refusal(expected: "the name of an output of the network")
                }
                output = name
            default:
                guard let option = family.options.first(where: { $0.name == key.bareText }) else {
                    let known = ["term", "weight", "output"] + family.options.map { $0.name }
                    throw ValueProblem(
                        message: "expected the keys \(known.joined(separator: ", ")), found \(key.found)",
                        mark: key.mark
                    )
                }
                options[option.name] =
                    option.isFlag ? (try Bool(node: value) ? 1 : 0) : try Self.number(value, key, option.range)
            }
        }
    }

    private static var words: String { "one of " + lossTerms.map { $0.name }.joined(separator: ", ") }

    private static func number(_ node: Node, _ key: Node, _ range: ClosedRange<Double>) throws(ValueProblem)
        -> Double
    {
        let value = try Double(node: node)
        guard range.contains(value) else {
            throw ValueProblem(
                message:
                    "\(key.found) must be \(range.lowerBound.yaml) to \(range.upperBound.yaml), found \(value.yaml)",
                mark: node.mark
            )
        }
        return value
    }

    var yaml: String {
        var parts = ["term: \(family.name)", "weight: \(weight.yaml)"]
        if output != SegmentationLoss.mask { parts.append("output: \(output.yaml)") }
        for option in family.options {
            guard let value = options[option.name] else { continue }
            parts.append("\(option.name): \(option.isFlag ? (value != 0).yaml : value.yaml)")
        }
        return "{" + parts.joined(separator: ", ") + "}"
    }
}

extension ValueCheck where Value == [RunConfiguration.WeightedTerm] {
    static var terms: ValueCheck {
        ValueCheck(text: "\(SegmentationLoss.limit) at most") { $0.count <= SegmentationLoss.limit }
    }
}
