/// Bounds the bytes that a peer may send of a message without ever ending it.
///
/// libzmq limits the size of a frame, not of a message: frames that announce another one pile up in its memory until
/// the last one comes, and the receiver is told of none of them. The kernel tells how many bytes were taken from a
/// connection; what was taken since the last whole message was read is unfinished. A connection that exceeds its limit
/// at one look, and has finished no message when the owner has read once more, is cut off: a message within the limits
/// would have been read by then.
///
/// Only its bytes are counted, as they came: libzmq takes 64 bytes more for every frame, so that a flood of empty frames
/// holds some thirty times as many bytes of memory for the time between two looks.
package struct UnfinishedBytes {
    /// What may be unfinished; bytes on the wire.
    package struct Limits: Hashable, Sendable {
        /// Of a connection that has sent a whole message.
        package var ofPeer: Int
        /// Of one that has not, its greeting included.
        package var ofStranger: Int
        /// Of all of those together.
        package var ofAllStrangers: Int

        /// For messages of at most `message` bytes; a stranger's first one has at most `first` (nil: as many).
        ///
        /// Twice the message, because the last bytes of one may have been taken and not handed on yet when the next
        /// begins.
        package init(message: Int, first: Int? = nil) {
            ofPeer = 2 * message + 64 << 10
            ofStranger = first.map { $0 + 4096 } ?? ofPeer
            ofAllStrangers = max(8 << 20, 8 * ofStranger)
        }
    }

    /// Who has exceeded a limit.
    package struct Excess: Hashable, Sendable {
        package var connection: Int32
        package var bytes: Int
        package var limit: Int
        package var isStranger: Bool
    }

    private struct Connection {
        /// Bytes that were taken until the last whole message was read.
        var settled = 0
        var isStranger = true
        /// Whether a message was read since the last look.
        var hasFinished = false
    }

    private let limits: Limits
    private var connections: [Int32: Connection] = [:]
    private var suspects: [Excess] = []
    private var readsSinceSuspicion = 0
    private var lookedAt: ContinuousClock.Instant?

    package init(_ limits: Limits) { self.limits = limits }

    /// Bytes are counted from here on.
    package mutating func begin(_ connection: Int32) { connections[connection] = Connection() }

    package mutating func end(_ connection: Int32) {
        connections[connection] = nil
        suspects.removeAll { $0.connection == connection }
    }

    /// A whole message of the connection was read; `isPeer`: one of the protocol's form.
    package mutating func finish(_ connection: Int32, isPeer: Bool) {
        guard var known = connections[connection] else { return }
        known.hasFinished = true
        if isPeer { known.isStranger = false }
        connections[connection] = known
    }

    /// How often the owner looks: the more connections the less often, so that it costs little; nil where none is there.
    ///
    /// Between two looks a connection can exceed its limit by what the network carries in that time.
    private var period: Duration? {
        connections.isEmpty ? nil : max(.milliseconds(50), .microseconds(50) * connections.count)
    }

    /// How long the owner may sleep before it must look again; nil: until a connection comes.
    package func patience(at now: ContinuousClock.Instant) -> Duration? {
        if !suspects.isEmpty { return .zero }
        guard let period else { return nil }
        return lookedAt.map { max(.zero, $0 + period - now) } ?? .zero
    }

    /// Who is to be cut off. Call it after each time that messages were read; `isDrained`: all that was there was.
    ///
    /// `taken` tells the bytes that were taken from a connection, or nil where that is not known (a socket of this host's
    /// file system): it is not bounded then, and only users of this host's account reach it.
    package mutating func look(
        at now: ContinuousClock.Instant,
        isDrained: Bool,
        taken: (Int32) -> Int?
    ) -> [Excess] {
        var result: [Excess] = []
        if !suspects.isEmpty {
            readsSinceSuspicion += 1
            // Under a flood of whole messages it is never drained; each connection has had its turn after some passes.
            guard isDrained || readsSinceSuspicion >= 4 else { return [] }
            result = suspects.filter { connections[$0.connection]?.hasFinished == false }
            suspects = []
        }
        if let lookedAt, let period, now - lookedAt < period { return result }
        lookedAt = now
        var strangers: [Excess] = []
        for (descriptor, known) in connections {
            guard let bytes = taken(descriptor) else { continue }
            var known = known
            if known.hasFinished {
                known.settled = bytes
                known.hasFinished = false
                connections[descriptor] = known
                continue
            }
            let unfinished = Excess(
                connection: descriptor,
                bytes: bytes - known.settled,
                limit: known.isStranger ? limits.ofStranger : limits.ofPeer,
                isStranger: known.isStranger
            )
            if known.isStranger { strangers.append(unfinished) }
            if unfinished.bytes > unfinished.limit { suspects.append(unfinished) }
        }
        var all = strangers.reduce(0) { $0 + min($1.bytes, $1.limit) }
        if all > limits.ofAllStrangers {
            for var largest in strangers.sorted(by: { $0.bytes > $1.bytes }) where largest.bytes <= largest.limit {
                if all <= limits.ofAllStrangers { break }
                all -= largest.bytes
                largest.limit = limits.ofAllStrangers
                suspects.append(largest)
            }
        }
        readsSinceSuspicion = 0
        return result
    }
}
