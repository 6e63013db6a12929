package import Diagnostics
import Platform
import Reporting
package import Storage

/// The folder of a run and the names in it.
package struct RunDirectory: Hashable, Sendable {
    package let path: String

    /// The folder at `path`, as it was given but for doubled and closing slashes.
    package init(_ path: String) { self.path = FileSystem.tidied(path) }

    /// The resolved configuration, as YAML.
    package var configuration: String { "\(path)/config.yaml" }
    package var metrics: String { "\(path)/metrics.jsonl" }
    package var journal: String { "\(path)/journal.jsonl" }
    package var checkpoints: String { "\(path)/checkpoints" }
    package var tensorBoard: String { "\(path)/tensorboard" }
    package var logs: String { "\(path)/logs" }
    package var report: String { "\(path)/report.html" }
    /// The rule that `evaluate` found.
    package var rule: String { "\(path)/rule.json" }
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

    /// Throws where files stand in the places of a new run's that are not provably this program's own: a configuration, a
    /// report or events of somebody else. Changes nothing.
    package func requireOwnFiles() throws {
        let obstacles = try ownFiles().compactMap { OutputOwnership.obstacle($0.path, $0.proof) }
        guard !obstacles.isEmpty else { return }
        throw OccupiedOutput(
            "A run cannot begin in \(path)",
            obstacles,
            advice: "Give another folder with --set run.directory=FOLDER, or move these files away."
        )
    }

    /// Throws where the page that stands in the run's folder is not a report of this program's.
    package func requireOwnReport() throws {
        guard let obstacle = OutputOwnership.obstacle(report, .page) else { return }
        throw OccupiedOutput(
            "The report cannot be written",
            [obstacle],
            advice: "Move the page away, and run `pleura report \(path)`."
        )
    }

    /// Removes what a start has left that ended before its first checkpoint, and returns the names; for the run's one
    /// owner, which has made sure that there is no checkpoint.
    ///
    /// Throws as `requireOwnFiles` does, before anything is removed.
    package func removeAbortedStart() throws -> [String] {
        try requireOwnFiles()
        let left = try ownFiles().map(\.path).filter(FileSystem.exists)
        for file in left { try FileSystem.remove(file) }
        return left.map { String($0.dropFirst(path.count + 1)) }
    }

    /// The files that a new run makes, and by what those of an earlier start are known.
    private func ownFiles() throws -> [(path: String, proof: OutputOwnership.Proof)] {
        var files: [(path: String, proof: OutputOwnership.Proof)] = [
            (configuration, .sealedText), (metrics, .metrics), (journal, .journal), (report, .page),
            (rule, .sealedJSON), (status, .custom(RunStatus.foreignness(of:))),
            ("\(path)/endpoints.json", .custom(RunEndpoints.foreignness(of:))), (manifest, .sealedJSON),
            ("\(checkpoints)/latest", .checkpointName),
        ]
        if FileSystem.isDirectory(tensorBoard) {
            for name in try FileSystem.names(in: tensorBoard) where name.hasPrefix(TensorBoardLog.namePrefix) {
                files.append(("\(tensorBoard)/\(name)", .custom(EventFile.foreignness(of:))))
            }
        }
        return files
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

/// Why a run cannot begin or go on.
package enum RunError: ReportableError {
    case busy(String, RunLock.Holder?)
    /// The same where the file at the second path stands for a lock.
    case busyWithoutLocks(String, String, RunLock.Holder?)
    case cannotUse(directory: String, reason: String)
    case alreadyExists(String)
    /// The run's folder was removed, renamed or replaced under it.
    case folderGone(String, String)
    /// `config.yaml` was edited by hand: its path, and each change as "`field`: old -> new"; none where nothing tells.
    case edited(String, RunDirectory, [String])
    /// There are checkpoints, but no config.yaml.
    case withoutConfiguration(String)
    /// There is no data set in the folder.
    case noShards(String)
    /// A resumed run was asked to change what its position or its weights stand on.
    case changed(String)
    case notARun(String)
    /// The reasons say why each checkpoint that is there cannot be used.
    case nothingToResume(String, reasons: [String])
    case noValidation(String)
    case unknownOverride(String)
    /// The run was asked for something after its end.
    case hasEnded(String, outcome: String)
    /// The run in the folder has written no status.
    case notBegun(String)
    /// Nobody is there to be asked: the coordinator's process, and the steps that it had committed.
    case nobodyLeads(String, coordinator: Int32, completedSteps: UInt64)
    case noWorker(UInt32, known: [UInt32])
    /// A file of the run does not hold what the program has written.
    case damaged(String)
    case data(String)

    package var exitStatus: ExitStatus {
        switch self {
        case .busy, .busyWithoutLocks, .folderGone: .temporary
        case .cannotUse, .notARun, .nothingToResume, .noShards, .hasEnded, .notBegun, .nobodyLeads: .missingInput
        case .alreadyExists, .withoutConfiguration, .unknownOverride, .noWorker: .usage
        case .noValidation, .changed, .edited: .badConfiguration
        case .damaged, .data: .badInput
        }
    }

    package var description: String {
        switch self {
        case .busy(let directory, let holder):
            "The run in \(directory) is in use by another process\(holder.map { " (\($0.process) on \($0.host))" } ?? ""); "
                + "wait for it, or stop it with Ctrl-C."
        case .busyWithoutLocks(let directory, let file, let holder):
            "The run in \(directory) is in use by another process, as \(file) says"
                + "\(holder.map { ": \($0.process) on host \($0.host)" } ?? ""). The file system has no locks that would tell "
                + "whether that still runs: where it does not, remove the file."
        case .folderGone(let directory, let how):
            "The run's folder \(directory) was removed, renamed or replaced while the run went on: \(how)."
        case .edited(let file, let directory, let changes):
            Self.edited(file, directory, changes)
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
            directory.isEmpty
                ? "No run was named: the folder's name is empty."
                : "There is no run in \(directory): it has no config.yaml. Give the folder that `pleura launch` was given "
                    + "as run.directory."
        case .nothingToResume(let directory, let reasons):
            reasons.isEmpty
                ? "The run in \(directory) has no checkpoint, so there is nothing to resume. Start it again with "
                    + "`pleura launch`."
                : "The run in \(directory) has no checkpoint that it can go on from, so there is nothing to resume.\n"
                    + reasons.map { "  \($0)\n" }.joined()
                    + "`pleura verify \(directory)` looks at the damage, where it is one; `pleura launch` in another folder "
                    + "starts anew."
        case .noValidation(let reason): reason
        case .unknownOverride(let text): text
        case .hasEnded(let directory, let outcome): "The run in \(directory) has ended: \(outcome)"
        case .notBegun(let directory): "The run in \(directory) has written no status: it has not begun yet."
        case .nobodyLeads(let directory, let coordinator, let steps):
            "Nobody leads the run in \(directory): its coordinator (process \(coordinator)) was stopped or killed after step "
                + "\(steps). There is nothing to drain; `pleura resume \(directory)` goes on."
        case .noWorker(let worker, let known):
            "The run has no worker \(worker); it has \(known.map(String.init).joined(separator: ", "))."
        case .damaged(let sentence): sentence
        case .data(let sentence): sentence
        }
    }

    private static func edited(_ file: String, _ directory: RunDirectory, _ changes: [String]) -> String {
        guard !changes.isEmpty else {
            return
                "\(file) was edited since this program wrote it, and no checkpoint tells what it was before. To go on with "
                + "it as it is, give --accept-edited-configuration."
        }
        return "\(file) was edited since this program wrote it:\n" + changes.map { "  \($0)\n" }.joined()
            + "To go on with that, give --accept-edited-configuration, or each of them by --set. To go on as before, undo it "
            + "there. Nothing was changed."
    }
}
