package import Optimization
import Yams

// What the section `optimizer` says of the module Optimization: the rule by its word, its constants, groups of parameters.

extension RunConfiguration {
    /// The rule of `optimizer.name`: one of `optimizerFamilies`.
    package struct OptimizerName: ConfigurationWord {
        package let family: any Optimization.Optimizer.Type

        package static let sgd = OptimizerName(family: SGD.self)
        package static let adam = OptimizerName(family: Adam.self)
        package static let adamw = OptimizerName(family: AdamW.self)

        package static var allCases: [OptimizerName] { optimizerFamilies.map { OptimizerName(family: $0) } }

        package init(family: any Optimization.Optimizer.Type) { self.family = family }

        package init?(rawValue: String) {
            guard let family = optimizerFamilies.first(where: { $0.name == rawValue }) else { return nil }
            self.family = family
        }

        package var rawValue: String { family.name }

        package static func == (a: Self, b: Self) -> Bool { a.rawValue == b.rawValue }

        /// The words of the optimizers that read a constant: "adam, adamw and radam".
        static func readers(of constant: OptimizerConstant) -> String {
            let words = optimizerFamilies.filter { $0.constants.contains(constant) }.map { $0.name }
            guard words.count > 1, let last = words.last else { return words.joined() }
            return words.dropLast().joined(separator: ", ") + " and " + last
        }
    }

    /// An entry of `optimizer.groups`.
    package struct ParameterGroup: Sendable, Equatable {
        /// Patterns of names; a parameter belongs to the group where one of them fits.
        package var match: [String]
        /// The factor on the learning rate.
        package var rate = 1.0
        /// The factor on the weight decay.
        package var decay = 1.0

        /// The pattern for biases, and for the scales and shifts of normalisations.
        static let vectors = "vectors"
        /// The longest list of groups, and of patterns of one.
        static let limit = 64
        /// The longest pattern in bytes.
        static let longestPattern = 200

        /// Whether the parameter of this name and shape belongs to the group.
        package func contains(_ name: String, shape: [Int]) -> Bool {
            match.contains { $0 == Self.vectors ? shape.count == 1 : Self.fits(name, $0) }
        }

        /// Whether `name` is `pattern`, in which each `*` stands for any characters, and for none.
        static func fits(_ name: String, _ pattern: String) -> Bool {
            let (name, pattern) = (Array(name.utf8), Array(pattern.utf8))
            var (n, p) = (0, 0)
            /// Behind the last star, and where in the name what it stands for ends.
            var retry: (pattern: Int, name: Int)?
            while n < name.count {
                if p < pattern.count, pattern[p] == UInt8(ascii: "*") {
                    retry = (p + 1, n)
                    p += 1
                } else if p < pattern.count, pattern[p] == name[n] {
                    n += 1
                    p += 1
                } else if let (behind, end) = retry {
                    retry = (behind, end + 1)
                    (p, n) = (behind, end + 1)
                } else {
                    return false
                }
            }
            return pattern[p...].allSatisfy { $0 == UInt8(ascii: "*") }
        }
    }
}

extension RunConfiguration.Optimizer {
    /// The constants of the rule.
    package var constants: OptimizerConstants {
        var constants = OptimizerConstants()
        constants.momentum = momentum
        constants.nesterov = nesterov
        constants.beta1 = betas[0]
        constants.beta2 = betas[1]
        constants.epsilon = epsilon
        constants.weightDecay = weightDecay
        return constants
    }

    /// The rule with its constants, as it is for parameters in no group.
    package var rule: any Optimization.Optimizer { name.family.init(constants) }

    /// What a parameter of this name and shape has of the learning rate and of the weight decay: the product of the factors of
    /// all groups that it belongs to.
    package func factors(of name: String, shape: [Int]) -> ParameterGroups.Factors {
        var factors = ParameterGroups.Factors()
        for group in groups where group.contains(name, shape: shape) {
            factors.rate *= group.rate
            factors.decay *= group.decay
        }
        return factors
    }
}

extension RunConfiguration.ParameterGroup: ConfigurationValue {
    static var kind: String { "{match: …, rate: …, decay: …}" }

    init(node: Node) throws(ValueProblem) {
        guard case .mapping(let mapping) = node else { throw node.refusal(expected: Self.kind) }
        var match: [String]?
        for (key, value) in mapping {
            switch key.bareText {
            case "match":
                if case .sequence = value {
                    match = try [String](node: value)
                } else {
                    match = [try String(node: value)]
                }
            case "rate": rate = try Self.factor(value, key)
            case "decay": decay = try Self.factor(value, key)
            default:
                throw ValueProblem(
                    message: "expected the keys match, rate and decay, found \(key.found)",
                    mark: key.mark
                )
            }
        }
        guard let match, !match.isEmpty, match.count <= Self.limit,
            match.allSatisfy({ !$0.isEmpty && $0.utf8.count <= Self.longestPattern })
        else {
            throw ValueProblem(
                message: "needs `match`: a name with * for any characters, `\(Self.vectors)`, or a list of such, "
                    + "\(Self.limit) at most, each of \(Self.longestPattern) bytes at most",
                mark: mapping.mark
            )
        }
        self.match = match
    }

    private static func factor(_ node: Node, _ key: Node) throws(ValueProblem) -> Double {
        let value = try Double(node: node)
        guard value >= 0, value <= 1_000_000 else {
            throw ValueProblem(message: "\(key.found) must be 0 to 1000000, found \(value.yaml)", mark: node.mark)
        }
        return value
    }

    var yaml: String {
        let names = match.count == 1 ? match[0].yaml : match.yaml
        return "{match: \(names), rate: \(rate.yaml), decay: \(decay.yaml)}"
    }
}

extension ValueCheck where Value == [RunConfiguration.ParameterGroup] {
    static var groups: ValueCheck {
        ValueCheck(text: "\(RunConfiguration.ParameterGroup.limit) at most") {
            $0.count <= RunConfiguration.ParameterGroup.limit
        }
    }
}
