package import Diagnostics
import Platform
package import Sharding
package import Storage

/// What is predicted from: files in folders and by name, and data sets of shards.
package struct PredictionInputs: Sendable {
    /// A data set, or one shard of it.
    package struct Shards: Sendable {
        /// As it was named.
        package let path: String
        package let dataset: Dataset
        package let samples: Range<Int>
    }

    /// The files, nil where none were named.
    package let folder: RadiographFolder?
    package let shards: [Shards]
    /// Folders and files as they were named, patterns with what they fit in their place; without data sets.
    let named: [String]

    package var count: Int { (folder?.files.count ?? 0) + shards.reduce(0) { $0 + $1.samples.count } }

    /// Finds out what the paths are: a folder, a file, a pattern of a shell, the folder of a data set or a shard in it.
    ///
    /// Throws where one of them is nothing of these.
    package init(_ paths: [String]) throws {
        var named: [String] = []
        var shards: [Shards] = []
        for path in try paths.flatMap(RadiographFolder.expanded) {
            if let found = try Self.shards(path) { shards.append(found) } else { named.append(path) }
        }
        self.shards = shards
        self.named = named
        folder = named.isEmpty ? nil : try RadiographFolder(named)
    }

    /// The data set at a path, or the part of one that a shard holds; nil where the path is neither.
    private static func shards(_ path: String) throws -> Shards? {
        let name = FileSystem.name(of: path)
        if FileSystem.isDirectory(path) {
            guard FileSystem.exists("\(path)/\(DatasetManifest.fileName)") else { return nil }
            let dataset = try Dataset.open(path)
            return Shards(path: path, dataset: dataset, samples: 0..<dataset.count)
        }
        guard name == DatasetManifest.fileName || ShardRecord.number(inFileName: name) != nil else { return nil }
        let folder = path.contains("/") ? String(path.dropLast(name.count + 1)) : "."
        let dataset = try Dataset.open(folder.isEmpty ? "/" : folder)
        if name == DatasetManifest.fileName { return Shards(path: path, dataset: dataset, samples: 0..<dataset.count) }
        var first = 0
        for record in dataset.manifest.shards {
            if record.file == name {
                return Shards(path: path, dataset: dataset, samples: first..<first + record.samples)
            }
            first += record.samples
        }
        throw PredictionInputError.notListed(shard: path)
    }
}

/// Why inputs cannot be predicted, or not into this folder.
package enum PredictionInputError: ReportableError, Equatable {
    /// The output folder lies in an input folder.
    case outputInside(input: String, output: String)
    /// What is predicted from lies where pictures are written.
    case inputInside(input: String, output: String)
    /// A shard that its folder's data set does not have.
    case notListed(shard: String)

    package var exitStatus: ExitStatus {
        switch self {
        case .outputInside, .inputInside: .usage
        case .notListed: .badInput
        }
    }

    package var description: String {
        switch self {
        case .outputInside(let input, let output):
            "The output folder \(output) lies in the input folder \(input): its pictures would be taken for radiographs "
                + "the next time. Give a folder elsewhere."
        case .inputInside(let input, let output):
            "The input \(input) lies where pictures of predictions go, in \(output). Give another output folder."
        case .notListed(let shard):
            "The shard \(shard) is not one of the data set in its folder. Give the folder, or a shard that its "
                + "\(DatasetManifest.fileName) lists."
        }
    }
}
