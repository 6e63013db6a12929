import Glibc
import Messaging
import Platform

/// Keys on their way to a worker's host: as text through a channel that is encrypted already, never through a file or a
/// command line.
extension KeyFolder {
    /// The word between the list of all public keys and the worker's own pair.
    private static let ownWord = "own"
    /// The most bytes that a text of `largestCount` workers takes.
    package static let channelLimit = 1 << 20

    /// What the worker `name` has to know: all public keys and its own pair, for `workerKeys(fromChannel:)`.
    ///
    /// Throws as `workerKeys(named:)` does, but takes no lock: the key is used elsewhere.
    package func channelText(of name: String) throws -> String {
        let (server, workers) = try list()
        guard let key = workers.keys[name] else {
            throw KeyError("`\(name)` is not in \(path)/\(Self.listName), so the coordinator would refuse it.")
        }
        let (pair, _) = try pair(name, expecting: key)
        var text = "\(Self.serverName) \(server)\n"
        for (worker, key) in workers.keys.sorted(by: { $0.key < $1.key }) { text += "\(worker) \(key)\n" }
        return text + "\(Self.ownWord) \(name)\npublic \(pair.publicKey)\nsecret \(pair.secretKey)\n"
    }

    /// Reads what `channelText(of:)` wrote; throws where it is anything else.
    package static func workerKeys(fromChannel text: String) throws -> WorkerKeys {
        let wrong = KeyError("Standard input has no keys as the launcher sends them: give --keys a folder instead.")
        var keys: [String: String] = [:]
        var own: [String: String] = [:]
        var name: String?
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ", omittingEmptySubsequences: false).map(String.init)
            guard words.count == 2 else { throw wrong }
            if name != nil {
                own[words[0]] = words[1]
            } else if words[0] == Self.ownWord {
                name = words[1]
            } else if AllowList.isName(words[0]), CurveKeys.isKey(words[1]) {
                keys[words[0]] = words[1]
            } else {
                throw wrong
            }
        }
        guard let name, let server = keys.removeValue(forKey: serverName), let workers = AllowList(keys),
            let secret = own["secret"], let key = own["public"], own.count == 2, workers.keys[name] == key,
            CurveKeys.publicKey(of: secret) == key
        else { throw wrong }
        return WorkerKeys(
            name: name,
            pair: CurvePair(publicKey: key, secretKey: secret),
            server: server,
            workers: workers,
            file: nil
        )
    }

    /// The folder `path` with keys of at least `count` workers, made where there is none.
    package static func existingOrNew(_ path: String, workers count: Int) throws -> KeyFolder {
        let folder = KeyFolder(path)
        if FileSystem.exists("\(path)/\(listName)") { return folder }
        return try create(path, workers: count)
    }
}
