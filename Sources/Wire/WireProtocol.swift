package import Coordination
import SwiftProtobuf

/// The bytes of control messages.
///
/// Nothing in a decoded message is out of the ranges that `WireLimits` lists, so its users need no further checks
/// against overflow or size. Decoding allocates at most a small multiple of the bytes given: they are limited first, and
/// the elements in them counted (`WireShape`).
package enum WireProtocol {
    /// The version of the protocol; raised by every change that an older program cannot read.
    package static let version: UInt32 = 3
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
    package static func decodeWorkerMessage(_ bytes: [UInt8]) throws(WireError) -> WorkerMessage {
        try message(Pleura_Wire_FromWorker.self, in: bytes, shape: .fromWorker, limit: maximumWorkerMessageBytes)
            .message()
    }

    /// The message of a coordinator that `bytes` holds; any bytes may be given.
    package static func decodeCoordinatorMessage(_ bytes: [UInt8]) throws(WireError) -> CoordinatorMessage {
        try message(
            Pleura_Wire_FromCoordinator.self,
            in: bytes,
            shape: .fromCoordinator,
            limit: maximumCoordinatorMessageBytes
        ).message()
    }

    static func bytes(of message: some Message, limit: Int) throws(WireError) -> [UInt8] {
        let result: [UInt8]
        do {
            result = try message.serializedBytes()
        } catch {
            // Proto3 without required fields serializes always, up to 2 GiB.
            throw .tooLong(bytes: Int(Int32.max), limit: limit)
        }
        if result.count > limit { throw .tooLong(bytes: result.count, limit: limit) }
        return result
    }

    static func message<M: Message>(
        _: M.Type,
        in bytes: [UInt8],
        shape: WireShape,
        limit: Int
    ) throws(WireError) -> M {
        if bytes.count > limit { throw .tooLong(bytes: bytes.count, limit: limit) }
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
