import CSystem
import Foundation
import Glibc
import KernelSelection
import Launching
import Messaging
import Platform
import RunFolder
import Storage
import WorkerRuntime

/// Answers a doctor's questions about this host, on standard input and output, until the input ends.
package enum HostProbe {
    /// The longest question.
    private static let limit = 1 << 20

    /// Serves until the doctor closes standard input, or says nothing for five minutes.
    package static func run() throws {
        var listening: PortTrial?
        while let line = nextLine() {
            if line.isEmpty { continue }  // A beat.
            let question = try JSONDecoder().decode(ProbeQuestion.self, from: Data(line))
            var answer = ProbeAnswer()
            if let look = question.look {
                let port = try listening ?? PortTrial()
                listening = port
                answer.look = look.answer(listening: port.port)
            }
            if question.clock == true { answer.time = Date().timeIntervalSince1970 }
            if let peers = question.peers {
                answer.peers = peers.map { PortTrial.problem(reaching: $0.address, port: "\($0.port)") ?? "" }
            }
            let bytes = try ProbeLine.encode(answer)
            try bytes.withUnsafeBytes { try write($0) }
        }
    }

    private static func write(_ bytes: UnsafeRawBufferPointer) throws {
        var done = 0
        while done < bytes.count, let base = bytes.baseAddress {
            let count = Glibc.write(1, base + done, bytes.count - done)
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { throw FileError("write to", path: "standard output", code: errno) }
            done += count
        }
    }

    private static func nextLine() -> [UInt8]? {
        var line: [UInt8] = []
        while line.count <= limit {
            var descriptor = pollfd(fd: 0, events: Int16(POLLIN), revents: 0)
            guard poll(&descriptor, 1, 300_000) > 0 else { return nil }
            var byte: UInt8 = 0
            let count = read(0, &byte, 1)
            if count < 0 && errno == EINTR { continue }
            guard count == 1 else { return nil }
            if byte == UInt8(ascii: "\n") { return line }
            line.append(byte)
        }
        return nil
    }
}

extension ProbeQuestion.Look {
    /// How this host stands.
    fileprivate func answer(listening port: UInt16) -> ProbeAnswer.Look {
        let environment = ProcessInfo.processInfo.environment
        let order = GuardOrder(coordinator: coordinator, arguments: [], folder: folder, silenceSeconds: 0, keys: nil)
        let folder = FileSystem.absolute(order.expandedFolder(home: environment["HOME"] ?? "/tmp"))
        let reachable = order.reachableCoordinator(connection: environment["SSH_CONNECTION"])
        let parts = Endpoint.hostAndPort(reachable)
        let memory = AvailableMemory.current()
        let variant = (try? KernelVariant.selected(environment: environment))?.rawValue ?? "none"
        var name = [CChar](repeating: 0, count: 49)
        name.withUnsafeMutableBytes { system_processor_name($0.baseAddress) }
        let (data, detail) = data(cache: "\(folder)/cache")
        var disk: Int?
        var problem: String?
        do {
            try FileSystem.createDirectory(folder)
            try FileSystem.requireWritable(folder)
            disk = try FileSystem.availableBytes(at: folder)
        } catch { problem = "\(error)" }
        return ProbeAnswer.Look(
            program: ProgramVersion.build,
            variant: variant,
            hasDotProduct: KernelVariant.hasDotProduct,
            arithmetic: Arithmetic.initialDifference,
            processor: String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self),
            cores: UsableProcessors.count,
            memoryBytes: memory.bytes,
            memorySource: memory.source,
            diskBytes: disk,
            diskProblem: problem,
            data: data,
            dataDetail: detail,
            coordinatorProblem: parts.flatMap { PortTrial.problem(reaching: $0.host, port: $0.port) },
            coordinator: reachable,
            address: address ?? parts.flatMap { HostName.localAddress(towards: $0.host) },
            port: port
        )
    }

    /// Looks where a worker would.
    private func data(cache: String) -> (ProbeAnswer.Data, String) {
        let fetched = FetchedCache(path: cache, limit: nil).folder(of: datasetDigest)
        var other: (ProbeAnswer.Data, String)?
        for place in [shards, fetched].compactMap({ $0 }) {
            guard FileSystem.exists("\(place)/\(DatasetManifest.fileName)") else { continue }
            do {
                let found = try DatasetManifest.read(in: place).datasetDigest.description
                if found != datasetDigest {
                    let job = datasetDigest.prefix(12)
                    other = (.other, "\(place) has the data set \(found.prefix(12))…, the job's is \(job)…")
                    continue
                }
                if readsData, let defect = try Dataset.verify(place).first {
                    other = (.damaged, "\(defect)")
                    continue
                }
                if !readsData { _ = try Dataset.open(place) }
                return (.same, place)
            } catch { other = (.damaged, "\(error)") }
        }
        return other ?? (.absent, "")
    }
}
