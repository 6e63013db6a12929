import RunLinks
import TestSupport
import Testing

@Suite struct BulkMessageTests {
    private static let samples: [BulkMessage] = [
        .piece(
            part: BulkPart(step: 7, part: 1, parts: 3, token: 11),
            name: "model/encoder.größe",
            shape: [2, 3, 4],
            offset: 8,
            bytes: [1, 2, 3]
        ),
        .piece(
            part: BulkPart(step: .max, part: .max, parts: .max, token: 11),
            name: "",
            shape: [],
            offset: 0,
            bytes: []
        ),
        .shareDone(part: BulkPart(step: 7, part: 1, parts: 3, token: 11), byteCount: .max),
        .shareBegin(part: BulkPart(step: 7, part: 1, parts: 3, token: 11), share: 2),
        .taken(share: 3, count: 12), .taken(share: .max, count: .max),
        .fetch(request: 1, file: BulkFile(isCheckpoint: true, name: "step-1.h5"), offset: 4096, length: 1 << 20),
        .fetch(request: 2, file: BulkFile(isCheckpoint: false, name: "dataset.json"), offset: 0, length: 0),
        .chunk(request: 3, fileSize: 100, bytes: [UInt8](0...99)), .chunk(request: 4, fileSize: 0, bytes: []),
        .refused(request: 5, reason: "it does not exist"), .received(request: 6),
    ]

    @Test func everyMessageComesBack() {
        for message in Self.samples { #expect(BulkMessage(message.encoded) == message) }
    }

    @Test func whatIsCutShortOrTooLargeIsNoMessage() {
        for message in Self.samples {
            let bytes = message.encoded
            let (prefix, hasRest): (Int, Bool) =
                switch message {
                case .piece(_, _, _, _, let rest), .chunk(_, _, let rest): (bytes.count - rest.count, true)
                default: (bytes.count, false)
                }
            for length in 0..<prefix { #expect(BulkMessage(Array(bytes.prefix(length))) == nil) }
            // A piece or chunk ends where the message does; it has a limit of its own.
            if hasRest {
                let filler = [UInt8](repeating: 0, count: BulkMessage.largestPayload)
                #expect(BulkMessage(bytes[..<prefix] + filler, checksHash: false) != nil)
                #expect(BulkMessage(bytes[..<prefix] + filler + [0], checksHash: false) == nil)
            }
        }
        let fetch = BulkMessage.fetch(
            request: 1,
            file: BulkFile(isCheckpoint: false, name: "a"),
            offset: 0,
            length: BulkMessage.largestPayload + 1
        )
        #expect(BulkMessage(fetch.encoded) == nil)
        #expect(BulkMessage(BulkMessage.taken(share: 1, count: 1).encoded + [0]) == nil)
    }

    /// TCP's own sum lets some through.
    @Test func aFlippedBitIsFound() {
        for message in Self.samples {
            let bytes = message.encoded
            for bit in 0..<8 * bytes.count {
                var changed = bytes
                changed[bit / 8] ^= 1 << UInt8(bit % 8)
                if BulkMessage(changed) != nil { Issue.record("bit \(bit) of \(message)") }
            }
        }
    }

    /// Whoever reaches the port can send anything.
    @Test func randomAndMutatedBytesDoNoHarm() {
        let seed: UInt64 = 20_241
        var random = SeededRandom(seed: seed)
        let valid = Self.samples.map(\.encoded)
        var decoded = 0
        for round in 0..<100_000 {
            var bytes: [UInt8]
            if round % 4 == 0 {
                bytes = (0..<Int.random(in: 0...80, using: &random)).map { _ in .random(in: 0...255, using: &random) }
                if bytes.count > 8 { bytes[8] = .random(in: 0...9, using: &random) }
            } else {
                bytes = valid[round % valid.count]
                for _ in 0..<Int.random(in: 1...6, using: &random) where !bytes.isEmpty {
                    let place = Int.random(in: 0..<bytes.count, using: &random)
                    switch Int.random(in: 0...3, using: &random) {
                    case 0: bytes[place] = .random(in: 0...255, using: &random)
                    case 1: bytes[place] = [0, 1, 0x7f, 0x80, 0xff].randomElement(using: &random) ?? 0
                    case 2: bytes.removeSubrange(place...)
                    default: bytes.insert(.random(in: 0...255, using: &random), at: place)
                    }
                }
            }
            guard let message = BulkMessage(bytes, checksHash: false) else { continue }
            decoded += 1
            // Nothing is larger than the message that it came in.
            let again = message.encoded
            if again.count > bytes.count {
                Issue.record("\(message) grew, seed \(seed), round \(round): \(bytes.count) to \(again.count) bytes")
            }
            if BulkMessage(again) != message {
                Issue.record("\(message) does not come back, seed \(seed), round \(round)")
            }
        }
        #expect(decoded > 1000)
    }

    @Test func namesStayWithinTheirFolder() {
        for name in ["dataset.json", "shard-00000.h5", "step-000000012.h5", "größe..h5"] {
            #expect(BulkFile(isCheckpoint: false, name: name).isSafe, "\(name)")
        }
        for name in ["", ".", "..", "../key", "/etc/passwd", "a/b", ".lock", "a\0b"] {
            #expect(!BulkFile(isCheckpoint: false, name: name).isSafe, "\(name)")
        }
    }
}
