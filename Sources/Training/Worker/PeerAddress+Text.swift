package import Collectives
package import Coordination
import Diagnostics
import Foundation

/// A member has told no address for the all-reduce, or none that can be read: that member is at fault, not who reads it.
struct UnusableAddress: ReportableError {
    var worker: WorkerNumber
    /// What stands in the address's place; nil for nothing.
    var found: String?

    var description: String {
        guard let found else { return "Worker \(worker) has not told where its all-reduce can be reached." }
        return "Worker \(worker) gave an address for its all-reduce that cannot be read: \(found.prefix(200))"
    }

    var exitStatus: ExitStatus { .badInput }
}

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
            throw UnusableAddress(worker: worker, found: text)
        }
        self.worker = worker
    }
}
