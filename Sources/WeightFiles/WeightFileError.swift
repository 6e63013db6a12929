package import Diagnostics

/// Why weights cannot be read from a file, or do not fit a network.
package enum WeightFileError: ReportableError, Equatable {
    /// The file is no file of weights that is known: what was found at its start.
    case unknownFormat(path: String, found: String)
    /// The file breaks a rule of its format.
    case malformed(path: String, problem: String)
    /// Reading it would mean to run a program that stands in it.
    case executable(path: String, global: String)
    /// A tensor of the file has a value that no network can have.
    case notFinite(path: String, tensor: String, element: Int, value: Float)
    /// The tensors of the file do not fit the network: sentences.
    case mismatch(path: String, problems: [String])

    package var exitStatus: ExitStatus { .badInput }

    package var description: String {
        switch self {
        case .unknownFormat(let path, let found):
            "\(path) holds no weights that can be read: it begins with \(found). Known are safetensors, PyTorch's .pth of a "
                + "state_dict, and this program's own checkpoints."
        case .malformed(let path, let problem): "The file of weights \(path) is damaged: \(problem)."
        case .executable(let path, let global):
            "The weights in \(path) are not read: it asks for \(global), and reading that would run what is in the file. "
                + "Save the weights alone with PyTorch: torch.save(model.state_dict(), FILE), or "
                + "safetensors.torch.save_file(model.state_dict(), FILE)."
        case .notFinite(let path, let tensor, let element, let value):
            "Element \(element) of the tensor \(tensor) in \(path) is \(value): no training can begin from that."
        case .mismatch(let path, let problems):
            "The weights in \(path) do not fit the network: " + problems.joined(separator: " ")
        }
    }
}
