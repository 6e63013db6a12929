import CHash
import CSystem
import Glibc
import Messaging
import Reduction

/// Another member as this worker sees it.
final class Peer: @unchecked Sendable {
    // `address`, `region`, `doorbell` and `processDescriptor` never change. Everything under "Communication thread" is
    // touched by that thread alone.
    let address: PeerAddress
    /// Its memory, where it is read in place; nil where its frames come over ZeroMQ.
    let region: PeerRegion?
    /// Its pipe, to wake it; -1 where it is not read in place.
    let doorbell: Int32
    /// Readable when its process has ended; -1 where that cannot be watched.
    let processDescriptor: Int32

    // MARK: Communication thread

    /// Why it counts as lost.
    var loss: String?
    var link: FrameLink?
    /// Whether a connection for frames to it was ever made.
    var hasConnected = false
    /// Attempts at a connection since the last one that was made.
    var failedConnections = 0
    /// The plan whose frames it can take.
    var ready: (step: UInt64, generation: UInt32)?
    /// 1 + the last step that it said, by a frame, to have applied.
    var releasedByFrame: UInt64 = 0
    /// The hash of the sum frames of the slice that it is sending.
    let hashState: OpaquePointer?

    /// Opens what the transport asks for; throws `.unreachable` where that cannot be had.
    init(
        _ address: PeerAddress,
        own: PeerAddress,
        transport: TransportChoice,
        layout: RegionLayout,
        job: UInt64
    ) throws(AllreduceError) {
        self.address = address
        let isLocal = address.host == own.host && address.region >= 0 && address.doorbell >= 0 && address.process > 0
        var region: PeerRegion?
        var doorbell: Int32 = -1
        var processDescriptor: Int32 = -1
        switch transport {
        case .sharedMemory where !isLocal:
            throw .unreachable(
                worker: address.worker,
                reason: "it does not share this host (\(own.host)); use --transport auto or zeromq"
            )
        case .sharedMemory, .auto:
            guard isLocal else { break }
            // The process first: were its number given to another meanwhile, the region's header would tell.
            if address.process != own.process { processDescriptor = system_process_descriptor(address.process) }
            do throws(AllreduceError) {
                let opened = try PeerRegion(address, layout: layout, job: job)
                doorbell = try Doorbell.open(of: address)
                region = opened
            } catch {
                // Containers may share a host's identity and still forbid this; frames do the same work.
                if transport == .sharedMemory || address.endpoint == nil || own.endpoint == nil {
                    if processDescriptor >= 0 { close(processDescriptor) }
                    throw error
                }
            }
        case .zeromq: break
        }
        if region == nil, address.endpoint == nil {
            throw .unreachable(worker: address.worker, reason: "it gives no endpoint for frames")
        }
        if region == nil, let endpoint = address.endpoint, address.isLoopbackOfAnotherMachine(than: own) {
            throw .unreachable(
                worker: address.worker,
                reason: "it runs on another host, but says to listen on \(endpoint), which is this host itself; start "
                    + "it with --listen tcp://0.0.0.0:* and --advertise with the address by which it is reached"
            )
        }
        self.region = region
        self.doorbell = doorbell
        self.processDescriptor = processDescriptor
        hashState = hash_stream_create()
    }

    deinit {
        if doorbell >= 0 { close(doorbell) }
        if processDescriptor >= 0 { close(processDescriptor) }
        hash_stream_free(hashState)
    }

    /// Whether it reads no sums of `step` any more: it said so, or it is gone.
    func hasReleased(_ step: UInt64) -> Bool {
        if loss != nil || releasedByFrame > step { return true }
        guard let region else { return false }
        return region.load(at: region.layout.offset(of: .released)) > step
    }

    func isReady(for plan: ReductionPlan) -> Bool {
        ready.map { $0 == (plan.step, plan.generation) } ?? false
    }
}

/// The frames on their way to one peer, over a DEALER socket of the communication thread.
final class FrameLink {
    /// Elements of a full frame; 1 MiB, so that one slow frame does not hold up the others for long.
    static let frameElements = 1 << 18
    static let maximumFrameBytes = frameElements * 4
    /// A header, a seal and a payload.
    static let maximumMessageBytes = maximumFrameBytes + 4096

    private struct Frame {
        var header: FrameHeader
        /// The address of element 0, and which ones; nil where the header is all.
        var vector: UnsafePointer<Float>?
        var elements: Range<Int>
        /// The payload, once it was made and did not go out at once.
        var packed: Message?
        /// The seal, once it was made and the frame did not go out at once.
        var seal: [UInt8]?
    }

    let socket: Socket
    let monitor: ConnectionMonitor
    private let owner: SharedRegion
    private let wire: WireFormat
    private let sealer: FrameSealer?
    private var queue: [Frame] = []
    private var sent = 0

    init(
        to address: PeerAddress,
        context: MessagingContext,
        options: SocketOptions,
        owner: SharedRegion,
        wire: WireFormat,
        keys: PlaneKeys?
    ) throws(MessagingError) {
        guard let endpoint = address.endpoint else { throw .endpoint("", problem: "the peer gives none") }
        // Without a name: the listening end never answers, and would know a stranger by the same name.
        var options = options
        var sealer: FrameSealer?
        if let keys {
            guard let name = address.key, let curve = keys.connecting(to: name) else {
                throw .endpoint(endpoint, problem: "the key \(address.key ?? "of its worker") is not on the allow-list")
            }
            switch keys.protection {
            case .encrypted: options.curve = curve
            case .authenticated:
                sealer = FrameSealer(keys, to: name)
                if sealer == nil { throw .endpoint(endpoint, problem: "libcrypto makes no key for \(name)") }
            }
        }
        self.sealer = sealer
        socket = try Socket(.dealer, in: context, options: options)
        monitor = try ConnectionMonitor(socket)
        self.owner = owner
        self.wire = wire
        try socket.connect(endpoint)
    }

    /// Options of both ends: 16 frames of 1 MiB a peer and direction are under way at most.
    static var options: SocketOptions {
        var options = SocketOptions()
        options.sendHighWater = 32
        options.receiveHighWater = 32
        options.maximumFrameBytes = Int64(maximumFrameBytes)
        // Everything that matters was confirmed by the peer's own messages.
        options.lingerMilliseconds = 0
        options.reconnectMaximumMilliseconds = 500
        return options
    }

    var isIdle: Bool { sent == queue.count }

    func enqueue(_ header: FrameHeader, _ vector: UnsafePointer<Float>? = nil, _ elements: Range<Int> = 0..<0) {
        queue.append(Frame(header: header, vector: vector, elements: elements))
    }

    /// Forgets frames of earlier plans that were not sent.
    func clear() {
        queue = []
        sent = 0
    }

    /// Sends what the socket takes; returns the bytes of payload.
    func flush() throws(MessagingError) -> Int {
        var bytes = 0
        while sent < queue.count {
            var frame = queue[sent]
            let payload = try payload(of: frame)
            // TCP's own checksum lets one damaged segment in some thousands through. Now and not when it was queued: the
            // kernel copies it next, from the cache.
            if frame.header.kind == .node, let payload {
                frame.header.hash = payload.withBytes { hash_xxh3($0.baseAddress, $0.count) }
            }
            let byteCount = payload?.count ?? 0
            var frames = [try Self.head(frame.header)]
            if let seal = try seal(of: frame, frames[0], payload) {
                queue[sent].seal = seal
                frames.append(try Self.message(seal))
            }
            if let payload { frames.append(payload) }
            guard try socket.send(frames) == .sent else {
                if wire.packs(frame.elements) { queue[sent].packed = payload }
                break
            }
            bytes += byteCount
            queue[sent].packed = nil
            queue[sent].seal = nil
            sent += 1
        }
        if sent == queue.count { clear() }
        return bytes
    }

    /// The elements where they lie, or packed into memory of the message's own.
    private func payload(of frame: Frame) throws(MessagingError) -> Message? {
        guard let vector = frame.vector else { return nil }
        if let packed = frame.packed { return packed }
        if wire.packs(frame.elements) { return try wire.message(of: vector, frame.elements) }
        let first = vector + frame.elements.lowerBound
        return try Message(
            borrowing: UnsafeRawBufferPointer(start: first, count: frame.elements.count * 4),
            owner: owner
        )
    }

    /// Nil where frames have none.
    private func seal(of frame: Frame, _ head: Message, _ payload: Message?) throws(MessagingError) -> [UInt8]? {
        guard let sealer else { return nil }
        if let seal = frame.seal { return seal }
        let seal = withExtendedLifetime((head, payload)) { sealer.seal(head.unsafeBytes, payload?.unsafeBytes) }
        guard let seal else { throw .failed(reason: "libcrypto cannot authenticate a frame") }
        return seal
    }

    private static func message(_ bytes: [UInt8]) throws(MessagingError) -> Message {
        let message = try Message(byteCount: bytes.count)
        message.withMutableBytes { $0.copyBytes(from: bytes) }
        return message
    }

    private static func head(_ header: FrameHeader) throws(MessagingError) -> Message {
        let result: Result<Message, MessagingError> = withUnsafeTemporaryAllocation(
            byteCount: FrameHeader.byteCount,
            alignment: 8
        ) { bytes in
            header.encode(into: bytes)
            do throws(MessagingError) {
                return .success(try Message(copying: UnsafeRawBufferPointer(bytes)))
            } catch { return .failure(error) }
        }
        return try result.get()
    }
}
