import Coordination
import Testing
import Wire

/// Random and mutated bytes: no trap, no hang, and whatever is accepted can be sent again and means the same.
///
/// A trap ends the test process, so that these tests can fail although most of them expect nothing of one message.
@Suite struct FuzzTests {
    private static let samples: [[UInt8]] = {
        let worker = SampleMessages.worker.compactMap {
            try? WireProtocol.encode(WorkerMessage(incarnation: 7, body: $0))
        }
        let coordinator = SampleMessages.coordinator.compactMap {
            try? WireProtocol.encode(CoordinatorMessage(fencing: 7, body: $0))
        }
        return worker + coordinator
    }()

    /// Decodes as both kinds; what is accepted must survive another round.
    private func decode(_ bytes: [UInt8]) -> Bool {
        var isAccepted = false
        if let message = try? WireProtocol.decodeWorkerMessage(bytes, checksHash: false) {
            isAccepted = true
            let again = (try? WireProtocol.encode(message)).flatMap { try? WireProtocol.decodeWorkerMessage($0) }
            // NaN differs from itself, so the comparison is by text.
            #expect(again.map { "\($0)" } == "\(message)")
        }
        if let message = try? WireProtocol.decodeCoordinatorMessage(bytes, checksHash: false) {
            isAccepted = true
            let again = (try? WireProtocol.encode(message)).flatMap { try? WireProtocol.decodeCoordinatorMessage($0) }
            #expect(again.map { "\($0)" } == "\(message)")
        }
        return isAccepted
    }

    @Test(.timeLimit(.minutes(15)), arguments: 0..<4)
    func mutatedMessages(part: Int) {
        #expect(Self.samples.count == SampleMessages.worker.count + SampleMessages.coordinator.count)
        var random = TestRandom(seed: UInt64(100 + part))
        var accepted = 0
        for _ in 0..<20_000 {
            var bytes = Self.samples[random.below(Self.samples.count)]
            for _ in 0...random.below(3) { mutate(&bytes, &random) }
            if decode(bytes) { accepted += 1 }
        }
        // Mutations that mostly miss the decoders' depths would show nothing; so would ones that never break anything.
        #expect(accepted > 1_000 && accepted < 18_000, "\(accepted) of 20,000 were accepted")
    }

    private func mutate(_ bytes: inout [UInt8], _ random: inout TestRandom) {
        guard !bytes.isEmpty else { return }
        let position = random.below(bytes.count)
        switch random.below(6) {
        case 0: bytes[position] ^= 1 << UInt8(random.below(8))
        case 1: bytes[position] = UInt8(random.below(256))
        case 2: bytes.removeSubrange(position..<min(bytes.count, position + 1 + random.below(4)))
        case 3: bytes.insert(contentsOf: random.bytes(1 + random.below(10)), at: position)
        case 4:
            // The largest varint in place of what stood there.
            bytes.replaceSubrange(
                position..<(position + 1),
                with: [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01]
            )
        default:
            let other = Self.samples[random.below(Self.samples.count)]
            bytes.replaceSubrange(position..., with: other.suffix(random.below(other.count + 1)))
        }
    }

    @Test(.timeLimit(.minutes(15))) func randomBytes() {
        var random = TestRandom(seed: 1)
        for _ in 0..<20_000 { _ = decode(random.bytes(random.below(80))) }
    }

    @Test func everyPrefix() {
        for sample in Self.samples {
            for count in 0..<sample.count { _ = decode(Array(sample.prefix(count))) }
        }
    }

    /// The costliest message per byte: a list of empty members.
    ///
    /// It must be refused, in bounded time and memory.
    @Test(.timeLimit(.minutes(15))) func listsOfNothing() {
        let count = WireProtocol.maximumCoordinatorMessageBytes - 16
        // Field 4 of FromCoordinator (members), its length, then field 2 of Members (an empty member) over and over.
        var bytes: [UInt8] = [0x22]
        var length = count
        while length >= 0x80 {
            bytes.append(UInt8(length & 0x7F | 0x80))
            length >>= 7
        }
        bytes.append(UInt8(length))
        for _ in 0..<(count / 2) { bytes += [0x12, 0x00] }
        #expect(throws: WireError.tooMany("members", limit: 1 << 16)) {
            try WireProtocol.decodeCoordinatorMessage(bytes, checksHash: false)
        }
    }
}
