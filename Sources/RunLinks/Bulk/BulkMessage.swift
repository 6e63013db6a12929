import CHash
package import Coordination

/// What goes over the bulk connection, beside the control messages: tensors of checkpoints to the coordinator, files
/// from it.
///
/// The XXH3-64 of the rest, a fixed header and the payload in one message, little-endian. Everything is checked before it
/// is used: the sender may be anybody who reaches the port. The hash finds what a network has changed, which TCP's sum of
/// 16 bits does not always; it is no proof of who has sent it.
package enum BulkMessage: Hashable, Sendable {
    /// The pieces of `part` follow; counts begin anew. `share` is the sender's number for this attempt at it.
    case shareBegin(part: BulkPart, share: UInt64)
    /// Bytes of one tensor of `part`, from `offset` on.
    case piece(part: BulkPart, name: String, shape: [Int], offset: Int, bytes: [UInt8])
    /// All tensors of `part` have been sent, with so many bytes.
    case shareDone(part: BulkPart, byteCount: UInt64)
    /// The coordinator has taken `count` pieces since the beginning of the share with that number.
    ///
    /// By number, since an answer to an earlier attempt at the same part may come over the connection of the next one.
    case taken(share: UInt64, count: UInt64)
    /// Asks for bytes of a file.
    case fetch(request: UInt64, file: BulkFile, offset: Int, length: Int)
    /// The answer: the file's whole size and bytes from the asked offset on.
    case chunk(request: UInt64, fileSize: Int, bytes: [UInt8])
    /// The answer to a request has come: another one may be sent.
    case received(request: UInt64)
    /// The answer where there is no such file.
    case refused(request: UInt64, reason: String)

    /// The most bytes of a piece or chunk.
    package static let largestPayload = 4 << 20
    /// The most bytes of a message: the payload, the longest name and numbers.
    package static let largestMessage = largestPayload + 4096
    /// The most bytes of a message that a connection begins with: a request or the beginning of a share.
    package static let largestFirstMessage = 64 << 10

    private enum Kind: UInt8 {
        case piece = 1, shareDone, taken, fetch, chunk, refused, shareBegin, received
    }

    /// The message as bytes.
    package var encoded: [UInt8] {
        var writer = ByteWriter()
        // The hash's place.
        writer.put(0 as UInt64)
        switch self {
        case .shareBegin(let part, let share):
            writer.put(Kind.shareBegin.rawValue)
            writer.put(part)
            writer.put(share)
        case .piece(let part, let name, let shape, let offset, let bytes):
            writer.put(Kind.piece.rawValue)
            writer.put(part)
            writer.put(text: name)
            writer.put(UInt8(truncatingIfNeeded: shape.count))
            for extent in shape { writer.put(UInt32(truncatingIfNeeded: extent)) }
            writer.put(UInt64(offset))
            writer.bytes += bytes
        case .shareDone(let part, let byteCount):
            writer.put(Kind.shareDone.rawValue)
            writer.put(part)
            writer.put(byteCount)
        case .taken(let share, let count):
            writer.put(Kind.taken.rawValue)
            writer.put(share)
            writer.put(count)
        case .fetch(let request, let file, let offset, let length):
            writer.put(Kind.fetch.rawValue)
            writer.put(request)
            writer.put(file.isCheckpoint ? 1 as UInt8 : 0)
            writer.put(text: file.name)
            writer.put(UInt64(offset))
            writer.put(UInt32(length))
        case .chunk(let request, let fileSize, let bytes):
            writer.put(Kind.chunk.rawValue)
            writer.put(request)
            writer.put(UInt64(fileSize))
            writer.bytes += bytes
        case .refused(let request, let reason):
            writer.put(Kind.refused.rawValue)
            writer.put(request)
            writer.put(text: reason)
        case .received(let request):
            writer.put(Kind.received.rawValue)
            writer.put(request)
        }
        let hash = Self.hash(writer.bytes)
        withUnsafeBytes(of: hash.littleEndian) { writer.bytes.replaceSubrange(0..<8, with: $0) }
        return writer.bytes
    }

    /// The hash of what follows its own place.
    private static func hash(_ message: [UInt8]) -> UInt64 {
        message.withUnsafeBytes { bytes in
            hash_xxh3(bytes.baseAddress.map { $0 + 8 }, bytes.count - 8)
        }
    }

    /// Reads a message; nil where the bytes are none, or not as they were sent.
    ///
    /// `checksHash`: false for who only looks what other bytes would do.
    package init?(_ message: [UInt8], checksHash: Bool = true) {
        var reader = ByteReader(message)
        guard let hash = reader.take(UInt64.self), !checksHash || hash == Self.hash(message),
            let code = reader.take(UInt8.self), let kind = Kind(rawValue: code)
        else { return nil }
        switch kind {
        case .piece:
            guard let part = reader.part(), let name = reader.text(limit: 512),
                let rank = reader.take(UInt8.self), rank <= 8
            else { return nil }
            var shape: [Int] = []
            for _ in 0..<rank {
                guard let extent = reader.take(UInt32.self) else { return nil }
                shape.append(Int(extent))
            }
            guard let offset = reader.take(UInt64.self), offset < 1 << 48, reader.left <= Self.largestPayload else {
                return nil
            }
            self = .piece(part: part, name: name, shape: shape, offset: Int(offset), bytes: reader.rest())
        case .shareDone:
            guard let part = reader.part(), let count = reader.take(UInt64.self), reader.left == 0
            else { return nil }
            self = .shareDone(part: part, byteCount: count)
        case .taken:
            guard let share = reader.take(UInt64.self), let count = reader.take(UInt64.self), reader.left == 0
            else { return nil }
            self = .taken(share: share, count: count)
        case .shareBegin:
            guard let part = reader.part(), let share = reader.take(UInt64.self), reader.left == 0 else { return nil }
            self = .shareBegin(part: part, share: share)
        case .fetch:
            guard let request = reader.take(UInt64.self), let group = reader.take(UInt8.self), group <= 1,
                let name = reader.text(limit: 256), let offset = reader.take(UInt64.self), offset < 1 << 48,
                let length = reader.take(UInt32.self), length <= Self.largestPayload, reader.left == 0
            else { return nil }
            self = .fetch(
                request: request,
                file: BulkFile(isCheckpoint: group == 1, name: name),
                offset: Int(offset),
                length: Int(length)
            )
        case .chunk:
            guard let request = reader.take(UInt64.self), let size = reader.take(UInt64.self), size < 1 << 48,
                reader.left <= Self.largestPayload
            else { return nil }
            self = .chunk(request: request, fileSize: Int(size), bytes: reader.rest())
        case .refused:
            guard let request = reader.take(UInt64.self), let reason = reader.text(limit: 4096) else { return nil }
            self = .refused(request: request, reason: reason)
        case .received:
            guard let request = reader.take(UInt64.self), reader.left == 0 else { return nil }
            self = .received(request: request)
        }
    }
}

/// A part of a checkpoint, as somebody was asked for it.
package struct BulkPart: Hashable, Sendable {
    /// The completed steps that the checkpoint is named by.
    package var step: UInt64
    package var part: UInt32
    package var parts: UInt32
    /// Drawn for each attempt and part, and told to who is asked for it: what anybody else sends is no part of the
    /// checkpoint, nor what was meant for an earlier attempt.
    package var token: UInt64

    package init(step: UInt64, part: UInt32, parts: UInt32, token: UInt64) {
        self.step = step
        self.part = part
        self.parts = parts
        self.token = token
    }

    /// The part of the checkpoint of `step` that `share` asks for.
    package init(step: UInt64, _ share: CheckpointShare) {
        self.init(step: step, part: share.part, parts: share.parts, token: share.token)
    }
}

/// A file that workers may fetch: a shard or the manifest of the run's data set, or a checkpoint of the run.
package struct BulkFile: Hashable, Sendable {
    package var isCheckpoint: Bool
    /// A name without folders.
    package var name: String

    package init(isCheckpoint: Bool, name: String) {
        self.isCheckpoint = isCheckpoint
        self.name = name
    }

    /// Whether the name stays within its folder.
    package var isSafe: Bool {
        !name.isEmpty && !name.hasPrefix(".") && !name.utf8.contains(UInt8(ascii: "/")) && !name.utf8.contains(0)
    }
}

private struct ByteWriter {
    var bytes: [UInt8] = []

    mutating func put<Value: FixedWidthInteger>(_ value: Value) {
        withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }

    mutating func put(_ part: BulkPart) {
        put(part.step)
        put(part.part)
        put(part.parts)
        put(part.token)
    }

    mutating func put(text: String) {
        let utf8 = Array(text.utf8.prefix(4096))
        put(UInt16(utf8.count))
        bytes += utf8
    }
}

private struct ByteReader {
    private let bytes: [UInt8]
    private var position = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var left: Int { bytes.count - position }

    mutating func take<Value: FixedWidthInteger>(_ type: Value.Type) -> Value? {
        let size = MemoryLayout<Value>.size
        guard left >= size else { return nil }
        var value: Value = 0
        for index in 0..<size { value |= Value(truncatingIfNeeded: bytes[position + index]) << (8 * index) }
        position += size
        return value
    }

    mutating func part() -> BulkPart? {
        guard let step = take(UInt64.self), let part = take(UInt32.self), let parts = take(UInt32.self),
            let token = take(UInt64.self)
        else { return nil }
        return BulkPart(step: step, part: part, parts: parts, token: token)
    }

    mutating func text(limit: Int) -> String? {
        guard let count = take(UInt16.self), Int(count) <= limit, left >= Int(count) else { return nil }
        defer { position += Int(count) }
        return String(validating: bytes[position..<position + Int(count)], as: UTF8.self)
    }

    mutating func rest() -> [UInt8] {
        defer { position = bytes.count }
        return Array(bytes[position...])
    }
}
