import CHash
import Foundation
import Messaging
package import Reduction

/// How workers of one job exchange gradients.
package enum TransportChoice: String, CaseIterable, Sendable, Codable {
    /// Shared memory between workers of one host, ZeroMQ between hosts, both at once in one job.
    case auto
    /// Shared memory only: a peer on another host is an error.
    case sharedMemory = "shared-memory"
    /// ZeroMQ only, also within a host.
    case zeromq
}

/// Where one worker's all-reduce can be reached; the coordinator passes it to the others.
package struct PeerAddress: Hashable, Sendable, Codable {
    package var worker: ReductionPlan.Worker
    /// Distinguishes this process from every other that ever had a part in the job.
    package var incarnation: UInt64
    /// Equal for processes that can read each other's memory files; see `hostIdentity`.
    package var host: String
    package var process: Int32
    /// The descriptor, in `process`, of the worker's region; -1 for none.
    package var region: Int32
    /// The descriptor, in `process`, of the pipe that wakes the worker; -1 for none.
    package var doorbell: Int32
    /// Where the worker listens for frames; nil for shared memory alone.
    package var endpoint: String?
    /// The name of the key with which it sends frames; nil where frames are not encrypted.
    package var key: String?

    package init(
        worker: ReductionPlan.Worker,
        incarnation: UInt64,
        host: String,
        process: Int32,
        region: Int32,
        doorbell: Int32,
        endpoint: String?,
        key: String? = nil
    ) {
        self.worker = worker
        self.incarnation = incarnation
        self.host = host
        self.process = process
        self.region = region
        self.doorbell = doorbell
        self.endpoint = endpoint
        self.key = key
    }

    /// The kernel's boot id, the process namespace and the user: `/proc/PID/fd` of a process leads to the same file
    /// for all processes that share the three.
    package static func hostIdentity() -> String {
        func contents(_ path: String) -> String {
            (try? String(contentsOfFile: path, encoding: .utf8))?.trimmingCharacters(in: .whitespacesAndNewlines) ?? ""
        }
        let boot = contents("/proc/sys/kernel/random/boot_id")
        let namespace = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/ns/pid")) ?? ""
        // Without the two this process cannot tell who shares its host: it shares it with nobody.
        if boot.isEmpty || namespace.isEmpty { return "unknown-\(UInt64.random(in: .min ... .max))" }
        return "\(boot)/\(namespace)/\(getuid())"
    }

    /// Whether the endpoint means the machine that it is used on, which is another one than this address is of.
    ///
    /// Parts of one machine share a boot id and reach each other so; where one is not known nothing is said.
    func isLoopbackOfAnotherMachine(than own: PeerAddress) -> Bool {
        guard let endpoint, endpoint.hasPrefix("tcp://") else { return false }
        guard let colon = endpoint.lastIndex(of: ":") else { return false }
        let name = String(endpoint[..<colon].dropFirst(6))
        let isLoopback = HostName.isLoopbackNumber(name) || name == "localhost"
        func machine(_ host: String) -> Substring? { host.firstIndex(of: "/").map { host[..<$0] } }
        guard isLoopback, let theirs = machine(host), let ours = machine(own.host) else { return false }
        return theirs != ours
    }

    /// A number for a job's name, as regions and frames carry it.
    package static func jobNumber(of name: String) -> UInt64 {
        let bytes = Array(name.utf8)
        return hash_xxh3(bytes, bytes.count)
    }
}
