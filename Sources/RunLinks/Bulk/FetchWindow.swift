package import Messaging

/// Which requests for bytes of files are answered now: an answer has 4 MiB, and who asks need not take it.
///
/// A peer has at most `perPeer` answers that it has not said to have received, all together `inTotal`; further requests
/// wait, and those that wait are bounded too. Who keeps others waiting and takes nothing for `patience` is cut off. Pure;
/// the keeper of checkpoints runs it.
package struct FetchWindow: Sendable {
    package struct Limits: Hashable, Sendable {
        /// 32 MiB at 4 MiB an answer.
        package var perPeer = 8
        /// 256 MiB.
        package var inTotal = 64
        /// Requests of one peer that wait.
        package var waitingPerPeer = 64
        /// Requests that wait of all.
        package var waitingInTotal = 16_384
        /// How long an answer may be under way where others wait for theirs.
        package var patience: Duration = .seconds(5)

        package init() {}
    }

    /// What a peer asks for.
    package struct Request: Hashable, Sendable {
        package var peer: PeerIdentity
        package var number: UInt64
        package var file: BulkFile
        package var offset: Int
        package var length: Int

        package init(peer: PeerIdentity, number: UInt64, file: BulkFile, offset: Int, length: Int) {
            self.peer = peer
            self.number = number
            self.file = file
            self.offset = offset
            self.length = length
        }
    }

    /// What is to be done.
    package struct Actions: Hashable, Sendable {
        package var answers: [Request] = []
        /// Peers that are to be cut off, and why.
        package var refusals: [PeerIdentity: String] = [:]
    }

    private let limits: Limits
    /// Answers that were sent and not said to have been received, and since when.
    private var underWay: [PeerIdentity: [UInt64: ContinuousClock.Instant]] = [:]
    private var underWayInTotal = 0
    private var waiting: [Request] = []

    package init(_ limits: Limits = Limits()) { self.limits = limits }

    /// A request has come. One that came before and waits, or whose answer is under way, is no new one.
    package mutating func ask(_ request: Request, at now: ContinuousClock.Instant) -> Actions {
        var actions = Actions()
        let isKnown =
            underWay[request.peer]?[request.number] != nil
            || waiting.contains { $0.peer == request.peer && $0.number == request.number }
        if !isKnown {
            let own = waiting.count { $0.peer == request.peer }
            if own >= limits.waitingPerPeer || waiting.count >= limits.waitingInTotal {
                actions.refusals[request.peer] =
                    "it asks for more than it takes: \(own) requests for parts of files wait already"
                end(request.peer)
            } else {
                waiting.append(request)
            }
        }
        advance(&actions, at: now)
        return actions
    }

    /// A peer has received the answer to a request.
    package mutating func received(_ number: UInt64, by peer: PeerIdentity, at now: ContinuousClock.Instant) -> Actions
    {
        if underWay[peer]?.removeValue(forKey: number) != nil { underWayInTotal -= 1 }
        var actions = Actions()
        advance(&actions, at: now)
        return actions
    }

    /// A peer is gone, and what it had asked for with it.
    package mutating func lost(_ peer: PeerIdentity, at now: ContinuousClock.Instant) -> Actions {
        end(peer)
        var actions = Actions()
        advance(&actions, at: now)
        return actions
    }

    private mutating func end(_ peer: PeerIdentity) {
        underWayInTotal -= underWay.removeValue(forKey: peer)?.count ?? 0
        waiting.removeAll { $0.peer == peer }
    }

    private mutating func advance(_ actions: inout Actions, at now: ContinuousClock.Instant) {
        start(&actions, at: now)
        guard underWayInTotal >= limits.inTotal, !waiting.isEmpty else { return }
        for (peer, answers) in underWay {
            guard let oldest = answers.values.min(), now - oldest >= limits.patience else { continue }
            actions.refusals[peer] =
                "it has asked for \(answers.count) parts of files and not received any for \(limits.patience)"
            end(peer)
        }
        start(&actions, at: now)
    }

    /// Those who have the least under way come first, in the order in which they asked.
    private mutating func start(_ actions: inout Actions, at now: ContinuousClock.Instant) {
        while underWayInTotal < limits.inTotal {
            var next: (place: Int, count: Int)?
            for (place, request) in waiting.enumerated() {
                let count = underWay[request.peer]?.count ?? 0
                if count < limits.perPeer, count < next?.count ?? .max { next = (place, count) }
                if next?.count == 0 { break }
            }
            guard let next else { return }
            let request = waiting.remove(at: next.place)
            underWay[request.peer, default: [:]][request.number] = now
            underWayInTotal += 1
            actions.answers.append(request)
        }
    }
}
