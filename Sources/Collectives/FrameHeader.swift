import CHash
import Reduction

/// The fixed first frame of everything that travels between hosts: 88 bytes, little-endian, of which the last
/// eight are the XXH3-64 of the others.
///
/// Whoever reaches the port can send one, so every field is checked against the plan before it is used.
struct FrameHeader: Hashable {
    static let byteCount = 88
    /// Those that the header's own hash is of.
    private static let hashedBytes = 80
    static let magic: UInt32 = 0x5050_4c46
    static let version: UInt16 = 2

    enum Kind: UInt8 {
        /// The sender follows the plan of (step, generation) and can take all that belongs to it.
        case ready = 1
        /// Elements of a node's value follow.
        case node
        /// Elements of a slice's sum follow.
        case sum
        /// The sender has applied `step` and reads no sums of it any more.
        case released
    }

    var kind: Kind
    var job: UInt64
    var sender: ReductionPlan.Worker
    var senderIncarnation: UInt64
    var receiver: ReductionPlan.Worker
    var receiverIncarnation: UInt64
    var step: UInt64
    var generation: UInt32
    var bucket: UInt32 = 0
    var node = TreeNode(level: 0, index: 0)
    /// The first element of the payload, in the whole vector.
    var elementOffset: UInt64 = 0
    var elementCount: UInt32 = 0
    /// Of a node frame: XXH3-64 of the payload.
    ///
    /// Of a sum frame: that of the whole slice.
    var hash: UInt64 = 0

    /// Writes the header to `bytes`, which has `byteCount` bytes.
    func encode(into bytes: UnsafeMutableRawBufferPointer) {
        precondition(bytes.count == Self.byteCount)
        func put<Value: FixedWidthInteger>(_ value: Value, _ offset: Int) {
            bytes.storeBytes(of: value.littleEndian, toByteOffset: offset, as: Value.self)
        }
        put(Self.magic, 0)
        put(Self.version, 4)
        put(kind.rawValue, 6)
        put(UInt8(clamping: node.level), 7)
        put(job, 8)
        put(senderIncarnation, 16)
        put(receiverIncarnation, 24)
        put(sender, 32)
        put(receiver, 36)
        put(step, 40)
        put(generation, 48)
        put(bucket, 52)
        put(elementOffset, 56)
        put(elementCount, 64)
        put(UInt32(clamping: node.index), 68)
        put(hash, 72)
        put(hash_xxh3(bytes.baseAddress, Self.hashedBytes), 80)
    }

    /// Nil where `bytes` is not a header of this version, or not as it was sent.
    ///
    /// `checksHash`: false for who only looks what other bytes would do.
    init?(_ bytes: UnsafeRawBufferPointer, checksHash: Bool = true) {
        guard bytes.count == Self.byteCount else { return nil }
        func get<Value: FixedWidthInteger>(_ offset: Int, _ type: Value.Type) -> Value {
            Value(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: type))
        }
        guard get(0, UInt32.self) == Self.magic, get(4, UInt16.self) == Self.version,
            let kind = Kind(rawValue: get(6, UInt8.self)),
            !checksHash || get(80, UInt64.self) == hash_xxh3(bytes.baseAddress, Self.hashedBytes)
        else { return nil }
        self.kind = kind
        job = get(8, UInt64.self)
        senderIncarnation = get(16, UInt64.self)
        receiverIncarnation = get(24, UInt64.self)
        sender = get(32, UInt32.self)
        receiver = get(36, UInt32.self)
        step = get(40, UInt64.self)
        generation = get(48, UInt32.self)
        bucket = get(52, UInt32.self)
        elementOffset = get(56, UInt64.self)
        elementCount = get(64, UInt32.self)
        node = TreeNode(level: Int(get(7, UInt8.self)), index: Int(get(68, UInt32.self)))
        hash = get(72, UInt64.self)
    }

    init(
        kind: Kind,
        job: UInt64,
        from sender: PeerAddress,
        to receiver: PeerAddress,
        step: UInt64,
        generation: UInt32
    ) {
        self.kind = kind
        self.job = job
        self.sender = sender.worker
        senderIncarnation = sender.incarnation
        self.receiver = receiver.worker
        receiverIncarnation = receiver.incarnation
        self.step = step
        self.generation = generation
    }
}
