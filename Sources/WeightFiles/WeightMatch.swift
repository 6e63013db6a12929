/// Which tensor of a file becomes which tensor of a network.
///
/// Names of whole networks are those of segmentation_models_pytorch. A file of an encoder alone has the names of torchvision, timm,
/// pretrainedmodels or efficientnet_pytorch; wrappers that trainers put before a name (`module.`, `model.`) are taken off.
package struct WeightMatch: Sendable {
    /// A tensor that the network has: a parameter, or running statistics.
    package struct Target: Hashable, Sendable {
        package var name: String
        package var shape: [Int]

        package init(name: String, shape: [Int]) {
            self.name = name
            self.shape = shape
        }

        /// Whether it is of the part that sees the image, which is what others' weights are taken for.
        var isOfEncoder: Bool { name.hasPrefix("encoder.") }
    }

    /// How a tensor is changed to fit.
    package enum Adaptation: Hashable, Sendable {
        case none
        /// The network has one channel of input: the weights of all are added, so a grey image gives what three equal channels gave.
        case channelsAdded(from: Int)
        /// The network has several channels of input, and the file's has others: they are repeated, and scaled to the same sum.
        case channelsRepeated(from: Int, to: Int)
    }

    package struct Pair: Hashable, Sendable {
        package var target: Target
        package var source: StoredTensor
        package var adaptation: Adaptation
    }

    package let pairs: [Pair]
    /// Of the network, and not of the file: they keep what the seed draws.
    package let missing: [Target]
    /// Of the file, and not of the network; counters of batches are not told.
    package let unused: [String]
    /// Names that are in both, with shapes that cannot be made to fit.
    package let misfits: [(target: Target, shape: [Int])]

    /// Finds for each tensor of the network its tensor of the file, by the reading of the names that fits most.
    package init(_ targets: [Target], _ stored: [StoredTensor]) {
        let names = Set(targets.map(\.name))
        let sources = stored.filter { $0.element.isFloat }
        var chosen: [String: StoredTensor] = [:]
        var most = -1
        for reading in Self.readings(stored) {
            var found: [String: StoredTensor] = [:]
            for source in sources {
                let name = reading(source.name)
                // Of two that become one name, the first is taken.
                if names.contains(name), found[name] == nil { found[name] = source }
            }
            if found.count > most { (chosen, most) = (found, found.count) }
        }
        var pairs: [Pair] = []
        var missing: [Target] = []
        var misfits: [(Target, [Int])] = []
        for target in targets {
            guard let source = chosen[target.name] else {
                missing.append(target)
                continue
            }
            if let adaptation = Self.adaptation(from: source.shape, to: target.shape) {
                pairs.append(Pair(target: target, source: source, adaptation: adaptation))
            } else {
                misfits.append((target, source.shape))
            }
        }
        let used = Set(chosen.values.map(\.name))
        self.pairs = pairs
        self.missing = missing
        self.misfits = misfits
        unused = sources.map(\.name).filter { !used.contains($0) }
    }

    /// Throws what keeps a run from beginning with these weights. `isPartial` takes what there is.
    package func requireFit(path: String, isPartial: Bool) throws(WeightFileError) {
        var problems: [String] = []
        if pairs.isEmpty && misfits.isEmpty {
            problems.append(
                "none of its names is one of the network's, "
                    + "such as \(missing.first?.name ?? "none"); it has \(Self.list(unused, atMost: 3))."
            )
            throw .mismatch(path: path, problems: problems)
        }
        if isPartial { return }
        for (target, shape) in misfits.prefix(5) {
            problems.append("\(target.name) has the shape \(shape), the network's is \(target.shape).")
        }
        let lacking = missing.filter(\.isOfEncoder).map(\.name)
        if !lacking.isEmpty { problems.append("The file has no \(Self.list(lacking, atMost: 5)).") }
        guard problems.isEmpty else {
            problems.append("Choose the network that the weights are of, or take what fits by init.partial=true.")
            throw .mismatch(path: path, problems: problems)
        }
    }

    /// What a user is told: what was loaded, changed, left to the seed, and not used.
    package var sentences: [String] {
        var all = ["\(pairs.count) of \(pairs.count + missing.count + misfits.count) tensors were loaded."]
        for pair in pairs {
            switch pair.adaptation {
            case .none: break
            case .channelsAdded(let from):
                all.append(
                    "\(pair.target.name): the weights of \(from) channels were added up for the one that the network has "
                        + "(data.channels=\(from) keeps them apart)."
                )
            case .channelsRepeated(let from, let to):
                all.append("\(pair.target.name): \(from) channels were repeated for \(to), with the same sum.")
            }
        }
        let left = missing + misfits.map(\.target)
        if !left.isEmpty {
            all.append(
                "\(left.count) were not in the file and keep what the seed draws: \(Self.list(left.map(\.name), atMost: 4))."
            )
        }
        if !unused.isEmpty {
            all.append("\(unused.count) of the file's have no place: \(Self.list(unused, atMost: 4)).")
        }
        return all
    }

    private static func list(_ names: [String], atMost count: Int) -> String {
        names.prefix(count).map { Safetensors.shown($0) }.joined(separator: ", ")
            + (names.count > count ? " and \(names.count - count) more" : "")
    }

    // MARK: Names

    /// The ways in which the file's names may be meant, the plainest first.
    private static func readings(_ stored: [StoredTensor]) -> [(String) -> String] {
        let blocks = blockNumbers(stored.map { bare($0.name) })
        return [
            { bare($0) },
            { "encoder." + bare($0) },
            { "encoder." + efficientNet(bare($0), blocks) },
            { name in
                let rest = bare(name)
                return rest.hasPrefix("encoder.")
                    ? "encoder." + efficientNet(String(rest.dropFirst("encoder.".count)), blocks) : rest
            },
        ]
    }

    /// A name without what wrappers have put before it.
    private static func bare(_ name: String) -> String {
        var rest = name[...]
        while let prefix = ["module.", "model.", "_orig_mod.", "state_dict.", "net."].first(where: {
            rest.hasPrefix($0)
        }) {
            rest = rest.dropFirst(prefix.count)
        }
        return String(rest)
    }

    /// timm numbers blocks of EfficientNets by stage, efficientnet_pytorch one after the other: "2.1" is found as 4.
    private static func blockNumbers(_ names: [String]) -> [String: Int] {
        var blocks: Set<[Int]> = []
        for name in names {
            let parts = name.split(separator: ".")
            guard let place = parts.firstIndex(of: "blocks"), place + 2 < parts.count,
                let stage = Int(parts[place + 1]),
                let block = Int(parts[place + 2])
            else { continue }
            blocks.insert([stage, block])
        }
        let ordered = blocks.sorted { $0.lexicographicallyPrecedes($1) }
        return Dictionary(ordered.enumerated().map { ("\($1[0]).\($1[1])", $0) }) { first, _ in first }
    }

    /// timm's name of a tensor of an EfficientNet as efficientnet_pytorch has it; another name as it is.
    private static func efficientNet(_ name: String, _ blocks: [String: Int]) -> String {
        let parts = name.split(separator: ".").map(String.init)
        guard let first = parts.first else { return name }
        let stem = ["conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1"]
        if let known = stem[first] { return ([known] + parts.dropFirst()).joined(separator: ".") }
        guard first == "blocks", parts.count >= 5, let number = blocks["\(parts[1]).\(parts[2])"] else { return name }
        // The first stage does not widen, so its parts have other numbers.
        let isFirst = parts[1] == "0"
        let part = parts[3]
        let inner = [
            "conv_pw": isFirst ? "_project_conv" : "_expand_conv", "bn1": isFirst ? "_bn1" : "_bn0",
            "conv_dw": "_depthwise_conv", "bn2": isFirst ? "_bn2" : "_bn1", "conv_pwl": "_project_conv", "bn3": "_bn2",
        ]
        var rest = Array(parts[4...])
        let word: String
        if part == "se", let layer = rest.first {
            word = layer == "conv_reduce" ? "_se_reduce" : "_se_expand"
            rest.removeFirst()
        } else {
            word = inner[part] ?? part
        }
        return (["_blocks", "\(number)", word] + rest).joined(separator: ".")
    }

    // MARK: Shapes

    private static func adaptation(from source: [Int], to target: [Int]) -> Adaptation? {
        if source == target { return Adaptation.none }
        // A fully connected layer is a convolution of 1 × 1.
        func trimmed(_ shape: [Int]) -> [Int] { Array(shape.prefix(2)) + Array(shape.dropFirst(2).drop { $0 == 1 }) }
        if source.count != target.count, source.count >= 2, trimmed(source) == trimmed(target) {
            return Adaptation.none
        }
        // The layer that sees the image: as many filters of the same size, over other channels.
        guard source.count == 4, target.count == 4, source[0] == target[0], source[2...] == target[2...],
            (1...4).contains(source[1]), (1...4).contains(target[1])
        else { return nil }
        return target[1] == 1 ? .channelsAdded(from: source[1]) : .channelsRepeated(from: source[1], to: target[1])
    }

    /// The values of a pair's source as its target has them, in C order.
    ///
    /// Channels are added in `Double`, from the first on, and rounded once.
    package static func adapted(_ values: [Float], _ pair: Pair) -> [Float] {
        switch pair.adaptation {
        case .none: return values
        case .channelsAdded(let channels):
            let shape = pair.source.shape
            let pixels = shape[2...].reduce(1, *)
            return (0..<shape[0] * pixels).map { index in
                let (filter, pixel) = index.quotientAndRemainder(dividingBy: max(1, pixels))
                let first = filter * channels * pixels + pixel
                return Float((0..<channels).reduce(0.0) { $0 + Double(values[first + $1 * pixels]) })
            }
        case .channelsRepeated(let from, let to):
            let shape = pair.source.shape
            let pixels = shape[2...].reduce(1, *)
            var result: [Float] = []
            result.reserveCapacity(shape[0] * to * pixels)
            for filter in 0..<shape[0] {
                for channel in 0..<to {
                    let start = (filter * from + channel % from) * pixels
                    for pixel in 0..<pixels {
                        result.append(Float(Double(values[start + pixel]) * Double(from) / Double(to)))
                    }
                }
            }
            return result
        }
    }
}
