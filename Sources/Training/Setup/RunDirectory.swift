package import Diagnostics
import Glibc
import Reporting
package import Storage

/// The folder of a run and the names in it.
package struct RunDirectory: Hashable, Sendable {
    package let path: String

    package init(_ path: String) { self.path = path }

    /// The resolved configuration, as YAML.
    package var configuration: String { "\(path)/config.yaml" }
    package var metrics: String { "\(path)/metrics.jsonl" }
    package var journal: String { "\(path)/journal.jsonl" }
    package var checkpoints: String { "\(path)/checkpoints" }
    package var tensorBoard: String { "\(path)/tensorboard" }
    package var logs: String { "\(path)/logs" }
    package var report: String { "\(path)/report.html" }
    package var store: CheckpointStore { CheckpointStore(checkpoints) }

    /// Whether a run lives here.
    package var exists: Bool { FileSystem.exists(configuration) }

    /// Makes the folder with its parts.
    package func create() throws {
        for folder in [path, checkpoints, tensorBoard, logs] { try FileSystem.createDirectory(folder) }
    }

    /// Throws where the folder holds a run that a new one would mix with: anything that can be resumed.
    package func requireNoCheckpoints() throws {
        guard try !store.list().isEmpty else { return }
        throw exists ? RunError.alreadyExists(path) : RunError.withoutConfiguration(path)
    }

    /// Removes what a start has left that ended before its first checkpoint, and returns the names; for the run's one
    /// owner, which has made sure that there is no checkpoint.
    package func removeAbortedStart() throws -> [String] {
        var files = [configuration, metrics, journal, report, rule, status, "\(path)/endpoints.json"]
        if FileSystem.isDirectory(tensorBoard) {
            files += try FileSystem.names(in: tensorBoard).filter { $0.hasPrefix(TensorBoardLog.namePrefix) }
                .map { "\(tensorBoard)/\($0)" }
        }
        let left = files.filter(FileSystem.exists)
        for file in left { try FileSystem.remove(file) }
        return left.map { String($0.dropFirst(path.count + 1)) }
    }

    /// The folder of the run's shards: where the configuration says, or beside the run's own files where that is gone
    /// because the run has been moved.
    package func shards(_ configured: String) throws -> String {
        let places = [configured, "\(path)/shards"]
        guard let found = places.first(where: { FileSystem.exists("\($0)/\(DatasetManifest.fileName)") }) else {
            throw RunError.noShards(configured)
        }
        return FileSystem.absolute(found)
    }

    /// Takes the run for this process: two coordinators in one folder would write over each other.
    package func lock() throws -> RunLock { try RunLock(path) }
}

/// Held by the one coordinator of a run's folder; the kernel lets go of it when the process ends, however it ends.
package final class RunLock: Sendable {
    private let descriptor: Int32

    init(_ directory: String) throws {
        let path = "\(directory)/.lock"
        descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else {
            throw RunError.cannotUse(directory: directory, reason: String(cString: strerror(errno)))
        }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            close(descriptor)
            throw RunError.busy(directory)
        }
    }

    deinit {
        // A process that another thread is just starting holds a copy of the descriptor until it runs its own program:
        // closing ours alone would keep the lock until then.
        flock(descriptor, LOCK_UN)
        close(descriptor)
    }
}

/// Why a run cannot begin or go on.
package enum RunError: ReportableError {
    case busy(String)
    case cannotUse(directory: String, reason: String)
    case alreadyExists(String)
    /// There are checkpoints, but no config.yaml.
    case withoutConfiguration(String)
    /// There is no data set in the folder.
    case noShards(String)
    /// A resumed run was asked to change what its position or its weights stand on.
    case changed(String)
    case notARun(String)
    case nothingToResume(String)
    case noValidation(String)
    case unknownOverride(String)
    /// The worker's process could not be started.
    case spawn(program: String, reason: String)
    case badBytes(what: String)
    case data(String)

    package var exitStatus: ExitStatus {
        switch self {
        case .busy, .spawn: .temporary
        case .cannotUse, .notARun, .nothingToResume, .noShards: .missingInput
        case .alreadyExists, .withoutConfiguration, .unknownOverride: .usage
        case .noValidation, .changed: .badConfiguration
        case .badBytes: .internal
        case .data: .badInput
        }
    }

    package var description: String {
        switch self {
        case .busy(let directory):
            "The run in \(directory) is in use by another process; wait for it, or stop it with Ctrl-C."
        case .cannotUse(let directory, let reason):
            "The folder \(directory) cannot be used for a run: \(reason)."
        case .alreadyExists(let directory):
            "There is a run in \(directory) already. Continue it with `pleura resume \(directory)`, or give another "
                + "folder with --set run.directory=FOLDER."
        case .withoutConfiguration(let directory):
            "There are checkpoints of a run in \(directory)/checkpoints, but its config.yaml is gone. Put it back and "
                + "run `pleura resume \(directory)`, or give another folder with --set run.directory=FOLDER."
        case .noShards(let folder):
            "There is no data set in \(folder): it has no \(DatasetManifest.fileName). Make one with `pleura shard`, "
                + "or give --set data.shards=FOLDER."
        case .changed(let sentence): sentence
        case .notARun(let directory):
            "There is no run in \(directory): it has no config.yaml. Give the folder that `pleura launch` was given "
                + "as run.directory."
        case .nothingToResume(let directory):
            "The run in \(directory) has no intact checkpoint, so there is nothing to resume. Start it again with "
                + "`pleura launch`, or look at the damage with `pleura verify \(directory)`."
        case .noValidation(let reason): reason
        case .unknownOverride(let text): text
        case .spawn(let program, let reason): "A worker process could not be started from \(program): \(reason)."
        case .badBytes(let what): what
        case .data(let sentence): sentence
        }
    }
}
