import Platform
import Storage
import Synchronization

/// Finds out, beside the run, whether what a lost worker has said of a shard is so here: a shard that is damaged fails every
/// worker that comes, so the run ends instead of waiting for others.
final class ShardDamage: Sendable {
    private let folder: String
    private let found: @Sendable (String) -> Void
    private let examined = Mutex<Set<String>>([])

    /// `found` hears, on a thread of its own, what is wrong with a shard in `folder`.
    init(_ folder: String, found: @escaping @Sendable (String) -> Void) {
        self.folder = folder
        self.found = found
    }

    /// Looks at the shards that `sentence` names, each once. A worker on another host may read a copy of its own: where the
    /// shard here is whole, nothing is said.
    func examine(_ sentence: String) {
        guard sentence.contains(".h5"), let manifest = try? DatasetManifest.read(in: folder) else { return }
        let named = manifest.shards.map(\.file).filter { sentence.contains($0) }
        let new = examined.withLock { examined in named.filter { examined.insert($0).inserted } }
        guard !new.isEmpty else { return }
        let thread = try? OwnedThread(name: "pleura-shards") { [folder, found] in
            for file in new {
                let items = (try? StorageVerification.verify("\(folder)/\(file)")) ?? []
                guard let defect = items.flatMap(\.defects).first else { continue }
                return found("\(defect)")
            }
        }
        thread?.detach()
    }
}
