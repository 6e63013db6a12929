package import Collectives
package import Diagnostics
package import Glibc
package import Messaging
import Platform

/// A job's keys on disk: a folder of mode 0700 with files of mode 0600.
///
/// ```
/// allowed.keys    the public keys of the server and of all workers: every host needs it
/// server.key      the coordinator's pair: on its host only
/// worker-0.key    a worker's pair: on its host, and beside the coordinator where that starts the worker
/// ```
/// A file that others can read, or a list that others can change, is refused.
package struct KeyFolder: Hashable, Sendable {
    package static let listName = "allowed.keys"
    package static let serverName = "server"
    /// The largest number of workers.
    package static let largestCount = 4096

    package let path: String

    package init(_ path: String) { self.path = path }

    package static func workerName(_ index: Int) -> String { "worker-\(index)" }

    // MARK: Making

    /// Makes a folder with new keys for a server and `workers` workers; nothing may stand at `path`.
    package static func create(_ path: String, workers: Int) throws -> KeyFolder {
        precondition((1...largestCount).contains(workers))
        guard CurveKeys.isAvailable else { throw KeyError("This libzmq was built without CURVE: no keys can be made.") }
        let folder = KeyFolder(path)
        try FileSystem.createDirectory(FileSystem.parent(of: path))
        guard mkdir(path, 0o700) == 0 else {
            if errno == EEXIST {
                throw KeyError(
                    "There is something at \(path) already, and keys are never written over. Give another folder; to "
                        + "replace a job's keys, remove the old folder on every host first."
                )
            }
            throw FileError("create the directory", path: path, code: errno)
        }
        // Whatever the umask leaves of a mode: the owner reads keys, and nobody else.
        guard chmod(path, 0o700) == 0 else { throw FileError("set the mode of", path: path, code: errno) }
        var list = "# Pleura: the public keys of a job. They are no secret.\n"
        for name in [serverName] + (0..<workers).map(workerName) {
            let pair = try CurveKeys.generatePair()
            try folder.write(
                """
                # Pleura: the secret key of \(name). Whoever can read it can take its place.
                public \(pair.publicKey)
                secret \(pair.secretKey)

                """,
                to: "\(name).key"
            )
            list += "\(name) \(pair.publicKey)\n"
        }
        // Last: a folder without it is not used.
        try folder.write(list, to: listName)
        try FileSystem.syncDirectory(path)
        return folder
    }

    private func write(_ text: String, to name: String) throws(FileError) {
        let file = "\(path)/\(name)"
        let descriptor = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw FileError("create", path: file, code: errno) }
        defer { close(descriptor) }
        let bytes = Array(text.utf8)
        guard fchmod(descriptor, 0o600) == 0, Glibc.write(descriptor, bytes, bytes.count) == bytes.count,
            fsync(descriptor) == 0
        else {
            throw FileError("write", path: file, code: errno)
        }
    }

    // MARK: Reading

    /// The public key of the server, and those of the workers.
    package func list() throws -> (server: String, workers: AllowList) {
        let file = "\(path)/\(Self.listName)"
        guard FileSystem.exists(file) else {
            throw KeyError(
                "There are no keys in \(path): it has no \(Self.listName). Make them with `pleura keygen FOLDER`, or copy "
                    + "the file from the coordinator's host.",
                .missingInput
            )
        }
        var keys: [String: String] = [:]
        for (number, name, key) in try lines(of: file, isSecret: false).lines {
            guard AllowList.isName(name), CurveKeys.isKey(key), keys.updateValue(key, forKey: name) == nil else {
                throw KeyError("\(file), line \(number): expected a new name and a public key, as `worker-0 KEY`.")
            }
        }
        guard let server = keys.removeValue(forKey: Self.serverName), !keys.isEmpty,
            !keys.values.contains(server), let workers = AllowList(keys)
        else {
            throw KeyError("\(file) must have a key of `\(Self.serverName)` and of workers, and none of them twice.")
        }
        return (server, workers)
    }

    /// The coordinator's keys.
    package func serverKeys() throws -> ServerKeys {
        let (key, workers) = try list()
        let (pair, _) = try pair(Self.serverName, expecting: key)
        return ServerKeys(folder: self, pair: pair, workers: workers)
    }

    /// The keys of the worker `name`, or, where that is nil, of the first in the folder that no process of this host
    /// uses.
    package func workerKeys(named name: String?) throws -> WorkerKeys {
        let (server, workers) = try list()
        let names =
            try name.map { [$0] }
            ?? FileSystem.names(in: path).filter { $0.hasSuffix(".key") }.map { String($0.dropLast(4)) }
            .filter { workers.keys[$0] != nil }.sorted { ($0.utf8.count, $0) < ($1.utf8.count, $1) }
        for name in names {
            guard let key = workers.keys[name] else {
                throw KeyError("`\(name)` is not in \(path)/\(Self.listName), so the coordinator would refuse it.")
            }
            let (pair, file) = try pair(name, expecting: key)
            // The kernel lets go of it with the process, however that ends.
            if flock(file.descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK { continue }
            return WorkerKeys(name: name, pair: pair, server: server, workers: workers, file: file)
        }
        if let name {
            throw KeyError(
                "The key \(name) in \(path) is in use by another process of this host, of another run perhaps: each worker "
                    + "takes one of its own. Wait for it, or make a folder for this run with `pleura keygen FOLDER`."
            )
        }
        if names.isEmpty { throw KeyError("There is no worker's key in \(path); copy one of worker-*.key to it.") }
        throw KeyError(
            "All keys of workers in \(path) are in use on this host (\(names.joined(separator: ", "))): each worker takes "
                + "one of its own. Make a folder for more with `pleura keygen FOLDER --workers N`."
        )
    }

    /// A pair, and its open file.
    func pair(_ name: String, expecting publicKey: String) throws -> (CurvePair, OpenFile) {
        let path = "\(self.path)/\(name).key"
        let (lines, file) = try lines(of: path, isSecret: true)
        var values: [String: String] = [:]
        for (_, word, value) in lines { values[word] = value }
        guard lines.count == 2, let secret = values["secret"], let key = values["public"],
            CurveKeys.publicKey(of: secret) == key
        else { throw KeyError("\(path) is not a pair of keys as `pleura keygen` writes it.") }
        guard key == publicKey else {
            throw KeyError(
                "\(path) is another key than \(Self.listName) beside it says of \(name): they come from different jobs."
            )
        }
        return (CurvePair(publicKey: key, secretKey: secret), file)
    }

    /// The lines of a file, each a word and a value; comments are left out.
    private func lines(
        of path: String,
        isSecret: Bool
    ) throws -> (lines: [(number: Int, word: String, value: String)], file: OpenFile) {
        let file = try OpenFile(path, .read)
        var status = stat()
        guard fstat(file.descriptor, &status) == 0 else { throw FileError("look at", path: path, code: errno) }
        let isOwn = status.st_uid == geteuid() || status.st_uid == 0
        guard status.st_mode & S_IFMT == S_IFREG, isOwn, status.st_mode & 0o022 == 0 else {
            throw KeyError(
                "\(path) could have been changed by others: it must be a file of yours that only you can write."
            )
        }
        let reader = Reader(user: geteuid(), groups: Set([getegid()] + Self.supplementaryGroups()))
        if isSecret && !reader.holdsAlone(mode: status.st_mode, owner: status.st_uid, group: status.st_gid) {
            throw KeyError(
                "\(path) can be read by others, so it is no secret any more. Make new keys with `pleura keygen`; only if "
                    + "nobody else can have read it, `chmod 600 \(path)` is enough."
            )
        }
        var result: [(Int, String, String)] = []
        let text = String(decoding: try file.readAll(limit: 1 << 20), as: UTF8.self)
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated()
        where !line.isEmpty && !line.hasPrefix("# ") {
            let words = line.split(separator: " ", omittingEmptySubsequences: false)
            guard words.count == 2 else {
                throw KeyError("\(path), line \(index + 1): expected a word and a key, found something else.")
            }
            result.append((index + 1, String(words[0]), String(words[1])))
        }
        return (result, file)
    }
}

/// The coordinator's keys.
package struct ServerKeys: Sendable {
    package let folder: KeyFolder
    private let pair: CurvePair
    package let workers: AllowList

    init(folder: KeyFolder, pair: CurvePair, workers: AllowList) {
        self.folder = folder
        self.pair = pair
        self.workers = workers
    }

    package var listening: CurveKeys { .server(secretKey: pair.secretKey, allowed: workers) }

    /// Throws where the folder has not the keys of the first `count` workers, which the launcher starts.
    package func requireKeys(for count: Int) throws {
        for index in 0..<count {
            let name = KeyFolder.workerName(index)
            guard workers.keys[name] != nil, FileSystem.exists("\(folder.path)/\(name).key") else {
                throw KeyError(
                    "\(folder.path) has no key of \(name), and \(count) workers are to be started here. Make a folder for "
                        + "all with `pleura keygen FOLDER --workers \(count)`."
                )
            }
        }
    }
}

/// A worker's keys, which no other process of the host takes as long as this exists.
package final class WorkerKeys: Sendable {
    package let name: String
    private let pair: CurvePair
    private let server: String
    private let workers: AllowList
    /// Nil for keys that came through a channel: the sender sees to it that nobody else has them.
    private let file: OpenFile?

    init(name: String, pair: CurvePair, server: String, workers: AllowList, file: OpenFile?) {
        self.name = name
        self.pair = pair
        self.server = server
        self.workers = workers
        self.file = file
    }

    /// To connect to the coordinator.
    package var connecting: CurveKeys {
        .client(serverKey: server, publicKey: pair.publicKey, secretKey: pair.secretKey)
    }

    /// For frames between workers.
    package func plane(_ protection: PlaneKeys.Protection) -> PlaneKeys {
        PlaneKeys(name: name, pair: pair, workers: workers, protection: protection)
    }
}

extension KeyFolder {
    /// Who reads a key: a process's user and groups.
    package struct Reader {
        package var user: uid_t
        package var groups: Set<gid_t>

        package init(user: uid_t, groups: Set<gid_t>) {
            self.user = user
            self.groups = groups
        }

        /// Whether a file with these permissions can be read by this process and root alone.
        ///
        /// That is a file of the user's own without any permission for others; or root's, which one of the user's groups may read
        /// and nobody else, as Kubernetes mounts secrets for a pod's `fsGroup` (0440).
        package func holdsAlone(mode: mode_t, owner: uid_t, group: gid_t) -> Bool {
            let others = mode & 0o077
            return others == 0 || owner == 0 && user != 0 && others == 0o040 && groups.contains(group)
        }
    }

    private static func supplementaryGroups() -> [gid_t] {
        let count = getgroups(0, nil)
        guard count > 0 else { return [] }
        var groups = [gid_t](repeating: 0, count: Int(count))
        let filled = getgroups(count, &groups)
        return Array(groups.prefix(max(0, Int(filled))))
    }
}

/// Keys that are missing, or not fit to be used.
package struct KeyError: ReportableError, Equatable {
    package let description: String
    package let exitStatus: ExitStatus

    init(_ description: String, _ exitStatus: ExitStatus = .usage) {
        self.description = description
        self.exitStatus = exitStatus
    }
}
