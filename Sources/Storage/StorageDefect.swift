package import Diagnostics

/// Something stored that is not as it was written: which file, which part of it, and what is wrong.
package struct StorageDefect: ReportableError, Equatable {
    /// The part of a file that is wrong.
    package enum Part: Hashable, Sendable, CustomStringConvertible {
        /// The file as a whole.
        case file
        /// The bytes that tie the file together: HDF5's own structure, seals, attributes.
        case structure
        /// A tensor of a checkpoint, by its full name.
        case tensor(String)
        /// A text of a checkpoint, by its full name: `trainer/configuration`, `trainer/state`.
        case text(String)
        /// A sample of a shard, by its place in the shard and its id.
        case sample(Int, id: String)
        /// A dataset of a shard.
        case dataset(String)
        /// A line of a journal, counted from 1.
        case line(Int)

        package var description: String {
            switch self {
            case .file: "the file"
            case .structure: "the structure"
            case .tensor(let name): "tensor \(name)"
            case .text(let name): name
            case .sample(let index, let id): "sample \(index) (\(id))"
            case .dataset(let name): "dataset \(name)"
            case .line(let number): "line \(number)"
            }
        }
    }

    /// What is wrong, for callers; `detail` says it in words.
    package enum Problem: Equatable, Sendable {
        /// A hash does not fit the bytes.
        case wrongHash
        /// The file ends before it should.
        case truncated
        /// Something that must be there is not.
        case missing
        /// The bytes do not have the form they should have.
        case malformed
        /// Two facts that must agree do not.
        case inconsistent
        /// It is sound and of another network, data set, version or kind than was asked for.
        case foreign
    }

    package let file: String
    package let part: Part
    package let problem: Problem
    package let detail: String

    package init(_ problem: Problem, file: String, part: Part = .file, _ detail: String) {
        self.problem = problem
        self.file = file
        self.part = part
        self.detail = detail
    }

    package var description: String {
        part == .file ? "\(file): \(detail)." : "\(file), \(part): \(detail)."
    }

    package var exitStatus: ExitStatus { .badInput }
}
