import Foundation
import Platform
import Reporting
package import Storage

/// Names of runs, and the words of what belongs to one.
package enum RunIdentity {
    /// 128 random bits as 32 hexadecimal digits.
    package static func fresh() -> String {
        var generator = SystemRandomNumberGenerator()
        return (0..<2).map { _ in
            let digits = String(generator.next() as UInt64, radix: 16)
            return String(repeating: "0", count: 16 - digits.count) + digits
        }.joined()
    }

    /// Throws where a checkpoint says that it is of another run than `run`; those of earlier versions say nothing.
    package static func require(_ run: String, of checkpoint: CheckpointContents) throws(RunError) {
        guard let other = StoredProgress.run(of: checkpoint.trainer), other != run else { return }
        throw .data(
            "The checkpoint \(checkpoint.path) is of another run (\(other), and this one is \(run), as run.json says): it was "
                + "copied here."
        )
    }

    /// The name of a run's job on the wire: short and plain whatever the run and its folder are called.
    package static func job(named name: String, run: String) -> String {
        let plain = name.unicodeScalars.prefix(48).map { scalar -> Character in
            switch scalar {
            case "a"..."z", "A"..."Z", "0"..."9", ".", "-", "_": Character(scalar)
            default: "_"
            }
        }
        return "\(String(plain))-\(run)"
    }
}

/// `run.json`: which run lives in a folder. A run's checkpoints, journal, status and requests carry its `run` too.
package struct RunManifest: Codable, Sendable, Equatable {
    /// 32 hexadecimal digits.
    package var run: String
    /// For people.
    package var name: String
    /// When it was launched; for people.
    package var created: String
    /// The version of the program that launched it.
    package var program: String
    /// What each file of the run held when it last ended in order, by its name below the run's folder; of a checkpoint
    /// its first bytes, which vouch for the rest. Nil while the run goes on, and where it was killed.
    package var files: [String: FileSeal]?

    package static func new(named name: String) -> RunManifest {
        RunManifest(
            run: RunIdentity.fresh(),
            name: name,
            created: ISO8601DateFormatter().string(from: Date()),
            program: ProgramVersion.current
        )
    }

    /// Reads a run's; nil where there is none, as in runs of earlier versions.
    package static func read(_ directory: RunDirectory) throws -> RunManifest? {
        guard FileSystem.exists(directory.manifest) else { return nil }
        return try SealedJSON.read(directory.manifest)
    }

    package func write(_ directory: RunDirectory) throws {
        try AtomicFile.write(try SealedJSON.encode(self), to: directory.manifest)
    }

    /// Says that the run goes on: what its files hold is not settled.
    package static func open(_ directory: RunDirectory) throws {
        guard var manifest = try read(directory), manifest.files != nil else { return }
        manifest.files = nil
        try manifest.write(directory)
    }

    /// Notes what each file of the run holds, now that it has ended in order.
    package static func close(_ directory: RunDirectory) throws {
        guard var manifest = try read(directory) else { return }
        manifest.files = try Dictionary(
            uniqueKeysWithValues: files(of: directory).map { ($0, try seal($0, directory)) }
        )
        try manifest.write(directory)
    }

    /// Notes what a file holds that was replaced after the run had ended: its rule, its report.
    package static func note(_ name: String, in directory: RunDirectory) throws {
        guard var manifest = try read(directory), manifest.files != nil else { return }
        manifest.files?[name] = try seal(name, directory)
        try manifest.write(directory)
    }

    private static func seal(_ name: String, _ directory: RunDirectory) throws -> FileSeal {
        let path = "\(directory.path)/\(name)"
        guard name.hasPrefix("checkpoints/"), name.hasSuffix(".h5") else { return try FileSeal.of(path) }
        let head = try CheckpointStore.seal(of: path)
        return FileSeal(bytes: head.count, sha256: SHA256Digest.of(head))
    }

    /// The names of the run's files that are there, below its folder.
    static func files(of directory: RunDirectory) throws -> [String] {
        let single = [
            "config.yaml", "metrics.jsonl", "journal.jsonl", "rule.json", "report.html", "status.json",
            "endpoints.json",
            "checkpoints/latest",
        ]
        func names(_ folder: String, _ isOurs: (String) -> Bool) throws -> [String] {
            guard FileSystem.isDirectory("\(directory.path)/\(folder)") else { return [] }
            return try FileSystem.names(in: "\(directory.path)/\(folder)").filter(isOurs).map { "\(folder)/\($0)" }
        }
        return single.filter { FileSystem.exists("\(directory.path)/\($0)") }
            + (try names("checkpoints") { CheckpointStore.step(inFileName: $0) != nil })
            + (try names("tensorboard") { $0.hasPrefix(TensorBoardLog.namePrefix) })
            + (try names("logs") { $0.hasPrefix("worker-") && $0.hasSuffix(".log") })
    }
}

extension RunDirectory {
    /// Which run it is: `RunManifest`.
    package var manifest: String { "\(path)/run.json" }
}

/// The folder of a run that is under way, to notice that it is gone: removed, renamed, or replaced by another.
package struct RunFolderWatch: Sendable {
    private let directory: RunDirectory
    private let folder: FileSystem.Identity?

    /// Remembers what the folder is now.
    package init(_ directory: RunDirectory) {
        self.directory = directory
        folder = FileSystem.identity(of: directory.path)
    }

    /// Throws `RunError.folderGone` where the path leads elsewhere now, or the run's own files are not in it any more.
    package func check() throws {
        let found = FileSystem.identity(of: directory.path)
        guard let found else { throw RunError.folderGone(directory.path, "it is not there any more") }
        guard found == folder else { throw RunError.folderGone(directory.path, "another folder is in its place") }
        let missing = [directory.configuration, directory.manifest].filter { !FileSystem.exists($0) }
        guard missing.isEmpty else {
            let names = missing.map(FileSystem.name).joined(separator: " and ")
            throw RunError.folderGone(directory.path, "\(names) \(missing.count == 1 ? "is" : "are") gone")
        }
    }
}
