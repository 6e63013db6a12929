import Yams

// Values that are neither one scalar nor a plain list.

extension RunConfiguration {
    /// Folds of the data set, by number.
    package enum FoldChoice: Sendable, Equatable {
        /// Every fold.
        case all
        /// Every fold that does not validate.
        case rest
        /// These, in rising order.
        case listed([Int])
    }

    /// How pixels in 0...1 become network input: (pixel − mean) / std.
    package enum Normalisation: Sendable, Equatable {
        /// The statistics of ImageNet's three channels; for one channel, their means.
        case imagenet
        /// One number for all channels, or one for each.
        case values(mean: [Double], std: [Double])

        /// The mean and the standard deviation of each of `channels` channels.
        package func statistics(channels: Int) -> (mean: [Double], std: [Double]) {
            switch self {
            case .imagenet where channels == 3: ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
            case .imagenet: (Array(repeating: 0.449, count: channels), Array(repeating: 0.226, count: channels))
            case .values(let mean, let std): (spread(mean, over: channels), spread(std, over: channels))
            }
        }

        private func spread(_ values: [Double], over channels: Int) -> [Double] {
            values.count == 1 ? Array(repeating: values[0], count: channels) : values
        }
    }
}

extension RunConfiguration.FoldChoice: ConfigurationValue {
    static var kind: String { "all, rest or a list of fold numbers" }

    init(node: Node) throws(ValueProblem) {
        switch node.bareText {
        case "all": self = .all
        case "rest": self = .rest
        default:
            guard case .sequence = node else {
                let number = node.bareText.flatMap { Int($0) }
                throw node.refusal(expected: Self.kind, hint: number.map { "; write [\($0)]" } ?? "")
            }
            self = .listed(try [Int](node: node).sorted())
        }
    }

    var yaml: String {
        switch self {
        case .all: "all"
        case .rest: "rest"
        case .listed(let folds): folds.yaml
        }
    }
}

extension RunConfiguration.Normalisation: ConfigurationValue {
    static var kind: String { "imagenet or {mean: …, std: …}" }

    init(node: Node) throws(ValueProblem) {
        if node.bareText == "imagenet" {
            self = .imagenet
            return
        }
        guard case .mapping(let mapping) = node else { throw node.refusal(expected: Self.kind) }
        var values: [String: [Double]] = [:]
        for (key, value) in mapping {
            guard let name = key.bareText, name == "mean" || name == "std" else {
                throw ValueProblem(message: "expected the keys mean and std, found \(key.found)", mark: key.mark)
            }
            if case .sequence = value {
                values[name] = try [Double](node: value)
            } else {
                values[name] = [try Double(node: value)]
            }
        }
        guard let mean = values["mean"], let std = values["std"] else {
            throw ValueProblem(message: "needs both mean and std", mark: mapping.mark)
        }
        self = .values(mean: mean, std: std)
    }

    var yaml: String {
        switch self {
        case .imagenet: "imagenet"
        case .values(let mean, let std):
            "{mean: \(mean.count == 1 ? mean[0].yaml : mean.yaml), std: \(std.count == 1 ? std[0].yaml : std.yaml)}"
        }
    }
}
