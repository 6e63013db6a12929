import CHash
import Glibc
import Messaging
import Platform
import Reduction

/// The communication thread of one worker: adds its slices as soon as their nodes are there, tells the peers, and
/// notices who is gone.
///
/// It owns the sockets of the data plane. Control messages have a thread of their own (`Messaging`), because adding a
/// bucket takes milliseconds and an answer to the coordinator must not.
final class Communicator: @unchecked Sendable {
    // Everything but the constants is touched by the communication thread alone.

    let own: PeerAddress
    let job: UInt64
    let region: SharedRegion
    let doorbell: Doorbell
    let mailbox: Mailbox
    let wire: WireFormat
    let keys: PlaneKeys?
    private let onRefusal: (@Sendable (Int, String) -> Void)?
    var plane: NetworkPlane?

    var round: Round?
    /// The step whose sums the region holds, and who may read them.
    var held: (step: UInt64, readers: [Peer])?
    /// 1 + the last step that this worker has released.
    var released: UInt64 = 0
    /// What workers that are no members yet have said to be ready for, and with whose key: their first plan may reach
    /// this one later.
    var earlyReady: [ReductionPlan.Worker: (header: FrameHeader, user: String?)] = [:]
    private let hashState = hash_stream_create()
    private var scratch: [Float] = []

    init(
        own: PeerAddress,
        job: UInt64,
        region: SharedRegion,
        doorbell: Doorbell,
        mailbox: Mailbox,
        plane: NetworkPlane?,
        wire: WireFormat,
        keys: PlaneKeys? = nil,
        onRefusal: (@Sendable (Int, String) -> Void)? = nil
    ) {
        self.own = own
        self.job = job
        self.region = region
        self.doorbell = doorbell
        self.mailbox = mailbox
        self.plane = plane
        self.wire = wire
        self.keys = keys
        self.onRefusal = onRefusal
    }

    deinit { hash_stream_free(hashState) }

    /// The thread's body.
    func run() {
        plane?.adopt()
        while true {
            // What is rung after this is seen by the next wait, so nothing published is overlooked.
            doorbell.clear()
            for command in mailbox.take() {
                if case .close = command {
                    close()
                    return
                }
                handle(command)
            }
            let start = ContinuousClock.now
            if let refusal = plane?.watch() { onRefusal?(refusal.count, refusal.reason) }
            var didWork = false
            do throws(AllreduceError) {
                didWork = try network { () throws(MessagingError) in try receiveFrames() }
                // It adds gradients, after libzmq was called.
                Arithmetic.restore()
                didWork = try advance() || didWork
                didWork = try network { () throws(MessagingError) in try sendFrames() } || didWork
                if didWork { round?.timings.busy += .now - start }
                settleIfReduced()
                if !didWork {
                    failIfHopeless()
                    try network { () throws(MessagingError) in try sleep() }
                }
            } catch {
                settle(.failure(error))
                // Nothing of this round can be trusted any more; the next `begin` starts afresh.
                round = nil
                // Not a wait for anything: keeps a lasting failure from taking a whole processor.
                usleep(10_000)
            }
        }
    }

    private func network<Value>(_ body: () throws(MessagingError) -> Value) throws(AllreduceError) -> Value {
        do throws(MessagingError) { return try body() } catch { throw .messaging(error) }
    }

    private func handle(_ command: Mailbox.Command) {
        switch command {
        case .begin(let next): begin(next)
        case .release(let step):
            released = max(released, step + 1)
            for case let peer? in round?.peers ?? [] { tellReleased(step, to: peer) }
        case .deadline(let step, let generation, let at, let after):
            if let round, round.plan.step == step, round.plan.generation == generation {
                round.deadline = (at, after)
                if round.isTimedOut { (round.isTimedOut, round.isSettled) = (false, false) }
            }
        case .close: break
        }
    }

    private func begin(_ next: Round) {
        if let round {
            let staying = next.peers.compactMap { $0?.address }
            // Sockets are closed by their owner, this thread.
            for case let peer? in round.peers where !staying.contains(peer.address) { peer.link = nil }
        }
        round = next
        for case let peer? in next.peers {
            peer.link?.clear()
            peer.failedConnections = 0
            // It may have been among what was just forgotten.
            if released > 0 { tellReleased(released - 1, to: peer) }
            // A connection that broke may have come back: whoever the plan names is asked again.
            if peer.processDescriptor < 0 || peer.region == nil { peer.loss = nil }
            if let early = earlyReady.removeValue(forKey: peer.address.worker), isBound(early.user, to: peer) {
                takeReady(early.header, from: peer)
            }
        }
    }

    private func close() {
        for case let peer? in round?.peers ?? [] { peer.link = nil }
        for peer in held?.readers ?? [] { peer.link = nil }
        round = nil
        held = nil
        plane = nil
    }

    // MARK: Progress

    /// Does what can be done at once; returns whether that was anything.
    func advance() throws(AllreduceError) -> Bool {
        guard let round else { return false }
        try openIfReady(round)
        var didWork = queueFrames(round)
        if round.missingSlices == 0 { return didWork }
        if isWritable(for: round) {
            for bucket in round.isReduced.indices where !round.isReduced[bucket] && hasAllNodes(round, bucket) {
                reduce(round, bucket)
                didWork = true
                // Frames flow between the buckets.
                break
            }
        }
        for bucket in round.isReduced.indices {
            for (member, peer) in round.peers.enumerated() {
                guard let peer, let theirs = peer.region, round.hashes[round.sliceIndex(bucket, member)] == nil,
                    theirs.load(at: theirs.layout.sumStampOffset(bucket: bucket)) == round.sumStamp
                else { continue }
                round.hashes[round.sliceIndex(bucket, member)] = theirs.load(
                    at: theirs.layout.sumHashOffset(bucket: bucket)
                )
                round.missingSlices -= 1
                round.note(member)
                didWork = true
                if let gather = round.gather {
                    let slice = round.slice(bucket, member)
                    (gather + slice.lowerBound).update(from: theirs.sums + slice.lowerBound, count: slice.count)
                    round.timings.sharedBytes += slice.count * 4
                }
            }
        }
        return didWork
    }

    /// Whether the sums in the region may be written over: all who may read them have released them.
    ///
    /// A step that is done once more replaces sums that nobody has applied.
    private func isWritable(for round: Round) -> Bool {
        guard let held, held.step < round.plan.step else { return true }
        return awaitedReleases(round).isEmpty
    }

    /// Who has not released the sums that stand in the way; members of this plan only, since others are gone.
    func awaitedReleases(_ round: Round) -> [ReductionPlan.Worker] {
        guard let held, held.step < round.plan.step else { return [] }
        var late: [ReductionPlan.Worker] = []
        if released <= held.step { late.append(own.worker) }
        for case let peer? in round.peers where held.readers.contains(where: { $0 === peer }) {
            if !peer.hasReleased(held.step) { late.append(peer.address.worker) }
        }
        return late
    }

    private func hasAllNodes(_ round: Round, _ bucket: Int) -> Bool {
        // A slice without elements needs nothing.
        if round.slice(bucket, round.position).isEmpty { return true }
        var complete = true
        for (index, contribution) in round.contributions.enumerated() {
            let place = round.contributionIndex(bucket, index)
            if round.slots[place] != -1 { continue }
            let slot: Int?
            if contribution.owner == round.position {
                slot = (0..<region.layout.nodeCapacity).first {
                    region.load(at: region.layout.nodeStampOffset(slot: $0, bucket: bucket)) == contribution.stamp
                }
            } else {
                slot = round.peers[contribution.owner]?.region?.slot(holding: contribution.stamp, bucket: bucket)
            }
            if let slot {
                round.slots[place] = Int32(slot)
                round.note(contribution.owner)
            } else {
                complete = false
            }
        }
        return complete
    }

    /// Adds this worker's slice of `bucket`, block by block, hashing each while it is in the cache.
    private func reduce(_ round: Round, _ bucket: Int) {
        let slice = round.slice(bucket, round.position)
        let block = AdditionProgram.blockCount
        // Elements of packed frames are unpacked block by block, behind the program's own blocks.
        let unpackedCount = wire.roundedCount > 0 ? round.contributions.count : 0
        let scratchCount = (round.program.scratchCount + unpackedCount) * block
        if scratch.count < scratchCount { scratch = Array(repeating: 0, count: scratchCount) }
        held = (round.plan.step, round.peers.compactMap { $0 })
        region.store(0, at: region.layout.sumStampOffset(bucket: bucket))
        hash_stream_reset(hashState)
        scratch.withUnsafeMutableBufferPointer { scratch in
            let scratchBase = scratch.baseAddress ?? region.sums
            withUnsafeTemporaryAllocation(of: UnsafePointer<Float>.self, capacity: round.contributions.count) {
                sources in
                var offset = 0
                while offset < slice.count {
                    // Up to the next multiple of the block, and on one side of the rounded elements' end.
                    var count = min(block - offset % block, slice.count - offset)
                    let first = slice.lowerBound + offset
                    let rounds = first < wire.roundedCount
                    if rounds { count = min(count, wire.roundedCount - first) }
                    for index in round.contributions.indices {
                        sources[index] = source(
                            round,
                            bucket,
                            index,
                            slice,
                            offset..<offset + count,
                            unpacked: scratchBase + (round.program.scratchCount + index) * block
                        )
                    }
                    let sum = region.sums + slice.lowerBound + offset
                    if round.hasOneNode {
                        hash_stream_update(hashState, sources[0], count * 4)
                        offset += count
                        continue
                    }
                    round.program.run(
                        sources: UnsafeBufferPointer(sources),
                        into: sum,
                        count: count,
                        scratch: scratchBase,
                        additions: wire.additions,
                        rounds: rounds
                    )
                    hash_stream_update(hashState, sum, count * 4)
                    if let gather = round.gather {
                        (gather + slice.lowerBound + offset).update(from: sum, count: count)
                    }
                    offset += count
                }
            }
        }
        for (index, contribution) in round.contributions.enumerated() where contribution.owner != round.position {
            let place = round.contributionIndex(bucket, index)
            if round.slots[place] == Round.received {
                round.received[place].frames = []
            } else {
                round.timings.sharedBytes += slice.count * 4
            }
        }
        let hash = hash_stream_digest(hashState)
        region.store(hash, at: region.layout.sumHashOffset(bucket: bucket))
        region.store(round.sumStamp, at: region.layout.sumStampOffset(bucket: bucket))
        mailbox.ringPeers()
        round.isReduced[bucket] = true
        round.hashes[round.sliceIndex(bucket, round.position)] = hash
        round.missingSlices -= 1
    }

    /// Where the elements `part` of the slice of a contribution lie; a block never crosses two frames.
    ///
    /// Where frames are packed, `unpacked` is memory for a block.
    private func source(
        _ round: Round,
        _ bucket: Int,
        _ index: Int,
        _ slice: Range<Int>,
        _ part: Range<Int>,
        unpacked: UnsafeMutablePointer<Float>
    ) -> UnsafePointer<Float> {
        let place = round.contributionIndex(bucket, index)
        let slot = round.slots[place]
        if slot == Round.received {
            let frame = round.received[place].frames[part.lowerBound / FrameLink.frameElements]
            guard wire.packs(frame.range) else { return frame.floats + part.lowerBound % FrameLink.frameElements }
            let elements = slice.lowerBound + part.lowerBound..<slice.lowerBound + part.upperBound
            wire.unpack(elements, of: frame.range, frame.bytes, to: unpacked)
            return UnsafePointer(unpacked)
        }
        let element = slice.lowerBound + part.lowerBound
        let owner = round.contributions[index].owner
        guard owner != round.position, let theirs = round.peers[owner]?.region else {
            return UnsafePointer(region.nodeBuffer(slot: Int(slot)) + element)
        }
        return theirs.nodeBuffer(slot: Int(slot)) + element
    }

    // MARK: The outcome

    private func settleIfReduced() {
        guard let round, !round.isSettled, round.missingSlices == 0 else { return }
        let hashes = round.hashes.map { $0 ?? 0 }
        let digest = hashes.withUnsafeBytes { hash_xxh3($0.baseAddress, $0.count) }
        let memory: SumMemory
        if let gather = round.gather {
            memory = SumMemory(bases: [UnsafePointer(gather)], owners: [])
        } else if round.hasOneNode, let slot = round.slots.first(where: { $0 >= 0 }) {
            memory = SumMemory(bases: [UnsafePointer(region.nodeBuffer(slot: Int(slot)))], owners: [region])
        } else {
            let places: [(UnsafePointer<Float>, AnyObject)] = round.peers.map { peer in
                // Frames' sums stand in the own region at their place.
                peer?.region.map { ($0.sums, $0) } ?? (UnsafePointer(region.sums), region)
            }
            let isWhole = places.allSatisfy { $0.1 === region }
            memory = SumMemory(
                bases: isWhole ? [UnsafePointer(region.sums)] : places.map(\.0),
                owners: places.map(\.1)
            )
        }
        round.timings.total = .now - round.began
        settle(
            .success(
                ReducedSums(
                    step: round.plan.step,
                    generation: round.plan.generation,
                    digest: digest,
                    timings: round.timings,
                    layout: round.layout,
                    memory: memory
                )
            )
        )
    }

    func settle(_ outcome: Result<ReducedSums, AllreduceError>) {
        guard let round, !round.isSettled else { return }
        round.isSettled = true
        mailbox.settle(round.plan, outcome)
    }

    /// Fails the round when a lost peer is still needed, or its time is up.
    private func failIfHopeless() {
        guard let round, !round.isSettled else { return }
        for (member, peer) in round.peers.enumerated() {
            guard let peer, let loss = peer.loss, let missing = round.missing(from: member) else { continue }
            settle(
                .failure(
                    .peerLost(
                        worker: peer.address.worker,
                        how: loss,
                        missing: missing,
                        step: round.plan.step,
                        after: .now - round.began
                    )
                )
            )
            return
        }
        guard let deadline = round.deadline, deadline.at <= .now else { return }
        var missing = round.plan.members.enumerated().compactMap { member, worker in
            round.missing(from: member).map { "worker \(worker) has not given \($0)" }
        }
        let late = awaitedReleases(round)
        round.isTimedOut = true
        if !late.isEmpty { missing.append("workers \(late) have not released the step before") }
        for case let peer? in round.peers where peer.link != nil && !peer.hasConnected {
            missing.append(
                "no connection to worker \(peer.address.worker) at \(peer.address.endpoint ?? "its endpoint") was ever made"
            )
        }
        if let plane, plane.strangeFrames + plane.lateFrames > 0 {
            missing.append(
                "so far \(plane.strangeFrames) frames were dropped that belong to no plan, and \(plane.lateFrames) of "
                    + "other plans than the present one"
            )
        }
        settle(
            .failure(
                .timedOut(
                    missing: missing,
                    behind: late.isEmpty ? round.membersBehind : late,
                    step: round.plan.step,
                    generation: round.plan.generation,
                    after: deadline.after
                )
            )
        )
    }

    // MARK: Sleep

    /// Sleeps until something may have changed.
    private func sleep() throws(MessagingError) {
        var poller = Poller()
        _ = poller.add(descriptor: doorbell.readEnd)
        if let plane {
            _ = poller.add(plane.router)
            _ = poller.add(plane.monitor)
        }
        var watched: [(Poller.Index, Peer)] = []
        for case let peer? in round?.peers ?? [] {
            if let link = peer.link {
                poller.wantsToSend(poller.add(link.socket), !link.isIdle)
                _ = poller.add(link.monitor)
            }
            if peer.processDescriptor >= 0 && peer.loss == nil {
                watched.append((poller.add(descriptor: peer.processDescriptor), peer))
            }
        }
        // A doorbell that could not be rung must not hold anything up for long.
        var milliseconds = round.map { $0.isSettled ? 1000 : 50 } ?? 1000
        if let deadline = round?.deadline, round?.isSettled == false {
            let left = (deadline.at - .now).inSeconds * 1000
            milliseconds = max(0, min(milliseconds, Int(left.rounded(.up))))
        }
        if let patience = plane?.doorkeeper.patience(at: .now) {
            milliseconds = min(milliseconds, Int((patience.inSeconds * 1000).rounded(.up)))
        }
        try poller.wait(milliseconds: milliseconds)
        for (index, peer) in watched where poller.isReadable(index) {
            peer.loss = "its process \(peer.address.process) has ended"
        }
        for case let peer? in round?.peers ?? [] {
            while let event = peer.link?.monitor.next() {
                switch event {
                case .listening, .accepted: break
                case .ready:
                    peer.failedConnections = 0
                    peer.hasConnected = true
                case .retrying:
                    // It listened before it gave its address: one that lives is reached at the first attempt. Five
                    // take about a second.
                    peer.failedConnections += 1
                    if peer.failedConnections >= 5 {
                        peer.loss = peer.loss ?? "no connection to \(peer.address.endpoint ?? "it") can be made"
                    }
                case .disconnected: peer.loss = peer.loss ?? "the connection to \(peer.address.endpoint ?? "it") broke"
                case .refused(let reason): peer.loss = peer.loss ?? "it refuses the connection: \(reason)"
                }
            }
        }
    }
}
