import CHash
package import Coordination
import SwiftProtobuf

/// The bytes of control messages.
///
/// Nothing in a decoded message is out of the ranges that `WireLimits` lists, so its users need no further checks
/// against overflow or size. Decoding allocates at most a small multiple of the bytes given: they are limited first, and
/// the elements in them counted (`WireShape`).
///
/// Each message ends with the XXH3-64 of all that comes before it. It finds what a network has changed, which TCP's sum of
/// 16 bits does not always: a commit with another learning rate would be obeyed. It is no proof of who has sent it.
package enum WireProtocol {
    /// The version of the protocol; raised by every change that an older program cannot read.
    package static let version: UInt32 = 5
    /// The most bytes that a worker may send in one message.
    package static let maximumWorkerMessageBytes = 1 << 20
    /// The most bytes of a worker's hello, with which each of its connections begins.
    package static let maximumHelloBytes = 64 << 10
    /// The most bytes that a coordinator may send in one message (the membership of 4,096 workers takes 0.6 MB).
    package static let maximumCoordinatorMessageBytes = 4 << 20

    /// The bytes of a worker's message.
    ///
    /// Sentences that are too long are cut. Throws where the whole message is too long all the same.
    package static func encode(_ message: WorkerMessage) throws(WireError) -> [UInt8] {
        try bytes(of: Pleura_Wire_FromWorker(message), limit: maximumWorkerMessageBytes)
    }

    /// The bytes of a coordinator's message.
    ///
    /// Sentences that are too long are cut. Throws where the whole message is too long all the same.
    package static func encode(_ message: CoordinatorMessage) throws(WireError) -> [UInt8] {
        try bytes(of: Pleura_Wire_FromCoordinator(message), limit: maximumCoordinatorMessageBytes)
    }

    /// The message of a worker that `bytes` holds; any bytes may be given.
    ///
    /// A hello of another version may come without a hash: its sender is to be told why it is refused. `checksHash`: false
    /// for who only looks what other bytes would do.
    package static func decodeWorkerMessage(
        _ bytes: [UInt8],
        checksHash: Bool = true
    ) throws(WireError) -> WorkerMessage {
        let result = try message(
            Pleura_Wire_FromWorker.self,
            in: bytes,
            shape: Pleura_Wire_FromWorker.shape,
            limit: maximumWorkerMessageBytes,
            checksHash: false
        ).message()
        if checksHash, !endsWithHash(bytes) {
            guard case .hello(let hello) = result.body, hello.protocolVersion != version else { throw .damaged }
        }
        return result
    }

    /// The message of a coordinator that `bytes` holds; any bytes may be given.
    ///
    /// `checksHash`: false for who only looks what other bytes would do.
    package static func decodeCoordinatorMessage(
        _ bytes: [UInt8],
        checksHash: Bool = true
    ) throws(WireError) -> CoordinatorMessage {
        try message(
            Pleura_Wire_FromCoordinator.self,
            in: bytes,
            shape: Pleura_Wire_FromCoordinator.shape,
            limit: maximumCoordinatorMessageBytes,
            checksHash: checksHash
        ).message()
    }

    /// Which fields of a worker's and of a coordinator's messages are counted before they are decoded, as numbers of
    /// control.proto: "5/9" is field 9 of the message in field 5. A test holds them against that file.
    package static var countedFields: (worker: [String], coordinator: [String]) {
        (Pleura_Wire_FromWorker.shape.paths, Pleura_Wire_FromCoordinator.shape.paths)
    }

    static func bytes(of message: some Message, limit: Int) throws(WireError) -> [UInt8] {
        var result: [UInt8]
        do {
            result = try message.serializedBytes()
        } catch {
            // Proto3 without required fields serializes always, up to 2 GiB.
            throw .tooLong(bytes: Int(Int32.max), limit: limit)
        }
        let hash = hash_xxh3(result, result.count)
        result.append(hashTag)
        withUnsafeBytes(of: hash.littleEndian) { result += $0 }
        if result.count > limit { throw .tooLong(bytes: result.count, limit: limit) }
        return result
    }

    /// Protobuf's tag of the hash: field 15, of eight bytes. A program that does not know it skips it.
    private static let hashTag: UInt8 = 15 << 3 | 1
    private static let hashBytes = 1 + 8

    /// Whether the last field is the hash of all others.
    private static func endsWithHash(_ bytes: [UInt8]) -> Bool {
        let count = bytes.count - hashBytes
        guard count >= 0, bytes[count] == hashTag else { return false }
        var hash: UInt64 = 0
        for byte in bytes.suffix(8).reversed() { hash = hash << 8 | UInt64(byte) }
        return hash == hash_xxh3(bytes, count)
    }

    static func message<M: Message>(
        _: M.Type,
        in bytes: [UInt8],
        shape: WireShape,
        limit: Int,
        checksHash: Bool
    ) throws(WireError) -> M {
        if bytes.count > limit { throw .tooLong(bytes: bytes.count, limit: limit) }
        if checksHash, !endsWithHash(bytes) { throw .damaged }
        try shape.check(bytes)
        var options = BinaryDecodingOptions()
        // No message of ours is deeper than commit → assign.
        options.messageDepthLimit = 8
        options.discardUnknownFields = true
        do {
            return try M(serializedBytes: bytes, options: options)
        } catch {
            throw .undecodable
        }
    }
}
