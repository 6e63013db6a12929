import Graph
package import Storage
package import WeightFiles

/// Weights that a run begins from in the place of those that its seed draws.
package protocol WeightSource {
    var path: String { get }
    /// The tensors by the names of their networks.
    var tensors: [StoredTensor] { get }
    /// The values of one of them in C order.
    func values(of tensor: StoredTensor) throws -> [Float]
}

extension WeightFile: WeightSource {}

/// The weights of a checkpoint: their moving average where one is kept, as in validation; and the running statistics.
package struct CheckpointWeights: WeightSource {
    package let checkpoint: CheckpointContents
    private let group: String

    package init(_ checkpoint: CheckpointContents) {
        self.checkpoint = checkpoint
        group = checkpoint.tensors.contains { $0.name.hasPrefix("ema/") } ? "ema/" : "model/"
    }

    package var path: String { checkpoint.path }

    package var tensors: [StoredTensor] {
        checkpoint.tensors.compactMap { tensor in
            guard let prefix = [group, "buffers/"].first(where: { tensor.name.hasPrefix($0) }) else { return nil }
            return StoredTensor(
                name: String(tensor.name.dropFirst(prefix.count)),
                element: .float32,
                shape: tensor.shape,
                bytes: 0..<0
            )
        }
    }

    package func values(of tensor: StoredTensor) throws -> [Float] {
        let names = [group + tensor.name, "buffers/" + tensor.name]
        let name = names.first { checkpoint.shape(of: $0) != nil } ?? names[0]
        let values = try checkpoint.values(of: name)
        if let element = values.firstIndex(where: { !$0.isFinite }) {
            throw WeightFileError.notFinite(path: path, tensor: name, element: element, value: values[element])
        }
        return values
    }
}

extension ModelState {
    /// The values of one tensor in PyTorch's order.
    package func values(of tensor: StateEntry) -> [Float] {
        switch tensor.place {
        case .parameter(let parameter, let vector): layout.export(parameter, from: vector)
        case .buffer(let buffer): (0..<buffer.count).map { buffers[buffer.offset + $0] }
        }
    }

    /// Draws a fresh state from the configuration's seed, and puts others' weights and running statistics in their places. The
    /// optimizer begins at zero, and a moving average at the weights.
    ///
    /// - Parameter isPartial: take what fits, also where the encoder is not whole.
    /// - Returns: sentences for the user: what was loaded, changed, left and not used.
    package func initialize(from source: some WeightSource, isPartial: Bool) throws -> [String] {
        initialize()
        let targets =
            layout.parameters.map { WeightMatch.Target(name: $0.name, shape: $0.shape) }
            + layout.buffers.map { WeightMatch.Target(name: $0.name, shape: $0.shape) }
        let match = WeightMatch(targets, source.tensors)
        try match.requireFit(path: source.path, isPartial: isPartial)
        let parameters = Dictionary(layout.parameters.map { ($0.name, $0) }) { first, _ in first }
        let buffers = Dictionary(layout.buffers.map { ($0.name, $0) }) { first, _ in first }
        for pair in match.pairs {
            let values = WeightMatch.adapted(try source.values(of: pair.source), pair)
            if let parameter = parameters[pair.target.name] {
                guard layout.import(values, as: parameter, into: weights) else {
                    throw SetupError.tensor(name: pair.target.name, values: values.count)
                }
            } else if let buffer = buffers[pair.target.name] {
                guard values.count == buffer.count else {
                    throw SetupError.tensor(name: pair.target.name, values: values.count)
                }
                for (index, value) in values.enumerated() { self.buffers[buffer.offset + index] = value }
            }
        }
        if let average { average.update(from: weights, count: layout.weightCount) }
        return match.sentences
    }
}
