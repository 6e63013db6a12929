package import Collectives
package import Coordination
import Foundation

extension PeerAddress {
    /// The address as the text that control messages carry.
    package var text: String {
        get throws { String(decoding: try JSONEncoder().encode(self), as: UTF8.self) }
    }

    /// Reads the text of a member, which came from another process; the number is the coordinator's word.
    package init(text: String, worker: WorkerNumber) throws {
        do {
            self = try JSONDecoder().decode(PeerAddress.self, from: Data(text.utf8))
        } catch {
            throw WorkerError.address(
                worker: worker,
                "Worker \(worker) gave an address for its data plane that cannot be read: \(text.prefix(200))"
            )
        }
        self.worker = worker
    }
}
