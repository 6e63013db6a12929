import Foundation

/// What a doctor asks of a host's probe: one line of JSON each. Exactly one part is there.
package struct ProbeQuestion: Codable, Sendable {
    /// Asks how the host stands.
    package struct Look: Codable, Sendable {
        /// The working folder; `~/` stands for the home folder.
        package var folder: String
        /// The coordinator's endpoint, as in `GuardOrder`.
        package var coordinator: String
        /// How other hosts reach this one; nil: at its address on the way to the coordinator.
        package var address: String?
        /// Where the data set may be; nil where it is fetched in any case.
        package var shards: String?
        /// The job's.
        package var datasetDigest: String
        /// Whether every byte of the data set is read and compared with its hashes.
        package var readsData: Bool
    }

    /// Another host that is to be reached.
    package struct Peer: Codable, Sendable {
        var name: String
        var address: String
        var port: UInt16
    }

    package var look: Look?
    /// Asks for the time.
    package var clock: Bool?
    /// Asks which of these can be reached.
    package var peers: [Peer]?
}

/// A probe's answer: the part that was asked for.
package struct ProbeAnswer: Codable, Sendable {
    /// How a host stands.
    package struct Look: Codable, Sendable {
        /// `ProgramVersion.build`.
        var program: String
        /// The kernels' variant, and whether the processor multiplies bfloat16 itself.
        var variant: String
        var hasDotProduct: Bool
        /// How the arithmetic that programs start with differs from what it should be, in words.
        var arithmetic: String?
        var processor: String
        /// Cores that processes there may use.
        var cores: Int
        var memoryBytes: Int
        var memorySource: String
        /// Free room where the working folder is or will be; nil with the reason where it cannot be written.
        var diskBytes: Int?
        var diskProblem: String?
        /// The data set that was looked for.
        var data: Data
        /// Where the job's data set is found, or what is wrong with the one that is found.
        var dataDetail: String
        /// Why the coordinator's port cannot be reached; nil where it can.
        var coordinatorProblem: String?
        /// The coordinator as it is reached from there.
        var coordinator: String
        /// Where the probe listens for the other hosts' probes.
        var address: String?
        var port: UInt16
    }

    /// What was found of the data set.
    package enum Data: String, Codable, Sendable {
        /// The job's own; sound, where it was read.
        case same
        /// None: it will be fetched.
        case absent
        /// Another data set stands where it was looked for.
        case other
        case damaged
    }

    package var look: Look?
    /// Seconds since 1970.
    package var time: Double?
    /// For each peer in the order of the question: why it cannot be reached, or empty.
    package var peers: [String]?

    package init(look: Look? = nil, time: Double? = nil, peers: [String]? = nil) {
        self.look = look
        self.time = time
        self.peers = peers
    }
}

/// How lines of a probe are told from what a login shell says.
package enum ProbeLine {
    private static let mark = "pleura-probe "

    /// An answer as its line, with the end.
    package static func encode(_ answer: ProbeAnswer) throws -> [UInt8] {
        Array(mark.utf8) + Array(try JSONEncoder().encode(answer)) + [UInt8(ascii: "\n")]
    }

    /// The answer of a line; nil for any other line.
    package static func answer(_ line: String) -> ProbeAnswer? {
        guard line.hasPrefix(mark) else { return nil }
        return try? JSONDecoder().decode(ProbeAnswer.self, from: Foundation.Data(line.dropFirst(mark.count).utf8))
    }

    /// A question as its line, with the end.
    package static func encode(_ question: ProbeQuestion) throws -> [UInt8] {
        Array(try JSONEncoder().encode(question)) + [UInt8(ascii: "\n")]
    }
}
