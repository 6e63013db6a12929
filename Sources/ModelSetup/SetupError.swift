package import Diagnostics

/// Why a configuration, a data set and a machine make no run.
package enum SetupError: ReportableError, Equatable {
    /// The shards in the folder have no labels.
    case unlabelled(shards: String)
    /// The shards in the folder have no folds, and the configuration asks for some.
    case noFolds(shards: String, asked: [Int])
    /// The network takes no images of that size, which comes from `origin`.
    case inputSize(width: Int, height: Int, origin: String, problem: String)
    /// The processes need more memory than is free, as the sentences say.
    case memory(String)
    /// A group of `optimizer.groups` has no parameter in it.
    case emptyGroup(match: [String], example: String)
    /// A checkpoint's tensor has another number of values than its name stands for.
    case tensor(name: String, values: Int)

    package var exitStatus: ExitStatus {
        switch self {
        case .unlabelled, .noFolds, .inputSize, .memory: .badInput
        case .emptyGroup: .badConfiguration
        case .tensor: .internal
        }
    }

    package var description: String {
        switch self {
        case .unlabelled(let shards):
            "The shards in \(shards) were made with --unlabelled, so there is nothing to learn from them. Make them with "
                + "`pleura shard --labels FILE`."
        case .noFolds(let shards, let asked):
            "The shards in \(shards) have no folds, and data.folds.validation asks for "
                + "\(asked.map(String.init).joined(separator: ", ")). Make them with `pleura shard --folds 5`, or train "
                + "without validation: --set validation.every_epochs=0."
        case .inputSize(let width, let height, let origin, let problem):
            "The network cannot take images of \(width)×\(height) (\(origin)): \(problem)"
        case .memory(let sentences): sentences
        case .emptyGroup(let match, let example):
            "No parameter of this network is named as optimizer.groups has it: \(match.joined(separator: ", ")). Names are "
                + "those in checkpoints, such as \(example); * stands for any characters."
        case .tensor(let name, let values): "The tensor \(name) has \(values) values."
        }
    }
}
