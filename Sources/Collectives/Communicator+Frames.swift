import CHash
import Messaging
import Reduction

// Frames go to whoever asks for them: a worker that does not read a peer's memory in place says `ready` for a plan, and
// the peer then sends what belongs to that plan as it becomes final. The receiver has memory for all of it, so nothing
// else holds the sender back than ZeroMQ's high-water marks, and frames of no plan are never sent.
extension Communicator {
    // MARK: Sending

    /// Says `ready` to all whose frames are needed, once this worker's own reading of earlier sums is over: the frames'
    /// sums are written over them.
    func openIfReady(_ round: Round) throws(AllreduceError) {
        if round.isOpen { return }
        if round.gather == nil, let held, held.step < round.plan.step, released <= held.step { return }
        round.isOpen = true
        for case let peer? in round.peers where peer.region == nil {
            try openLink(to: peer)
            peer.link?.enqueue(header(.ready, to: peer, round.plan.step, round.plan.generation))
        }
    }

    private func openLink(to peer: Peer) throws(AllreduceError) {
        guard peer.link == nil else { return }
        guard let plane else {
            throw .unreachable(worker: peer.address.worker, reason: "this worker was told not to use ZeroMQ")
        }
        do throws(MessagingError) {
            peer.link = try FrameLink(
                to: peer.address,
                context: plane.context,
                options: plane.linkOptions,
                owner: region,
                wire: wire,
                keys: keys
            )
            // What was said over an earlier connection may be lost, and a peer that joins has never heard it.
            if released > 0 { tellReleased(released - 1, to: peer) }
        } catch .endpoint(let endpoint, let problem) {
            let reason = "its endpoint \(endpoint) cannot be used: \(problem)"
            throw .unreachable(worker: peer.address.worker, reason: reason)
        } catch { throw .messaging(error) }
    }

    /// Queues what is final for the peers that take frames; returns whether that was anything.
    func queueFrames(_ round: Round) -> Bool {
        var didWork = false
        for (member, peer) in round.peers.enumerated() {
            guard let peer, peer.isReady(for: round.plan), let link = peer.link else { continue }
            for bucket in round.isReduced.indices {
                for (index, contribution) in round.contributions.enumerated()
                where contribution.owner == round.position {
                    let sent = (member * round.contributions.count + index) * round.isReduced.count + bucket
                    if round.sentNodes[sent] { continue }
                    guard let slot = slot(of: contribution, bucket) else { continue }
                    round.sentNodes[sent] = true
                    didWork = true
                    queue(
                        round.slice(bucket, member),
                        of: UnsafePointer(region.nodeBuffer(slot: slot)),
                        to: link,
                        header(.node, to: peer, round.plan.step, round.plan.generation),
                        bucket,
                        contribution.node
                    )
                }
                let sent = member * round.isReduced.count + bucket
                if round.isReduced[bucket] && !round.sentSums[sent] {
                    round.sentSums[sent] = true
                    didWork = true
                    var header = header(.sum, to: peer, round.plan.step, round.plan.generation)
                    header.hash = round.hashes[round.sliceIndex(bucket, round.position)] ?? 0
                    queue(
                        round.slice(bucket, round.position),
                        of: UnsafePointer(region.sums),
                        to: link,
                        header,
                        bucket,
                        nil
                    )
                }
            }
        }
        return didWork
    }

    private func slot(of contribution: Round.Contribution, _ bucket: Int) -> Int? {
        (0..<region.layout.nodeCapacity).first {
            region.load(at: region.layout.nodeStampOffset(slot: $0, bucket: bucket)) == contribution.stamp
        }
    }

    private func queue(
        _ range: Range<Int>,
        of vector: UnsafePointer<Float>,
        to link: FrameLink,
        _ header: FrameHeader,
        _ bucket: Int,
        _ node: TreeNode?
    ) {
        var header = header
        header.bucket = UInt32(bucket)
        if let node { header.node = node }
        var offset = range.lowerBound
        // A slice without elements is one frame without payload: its hash still counts.
        repeat {
            let count = min(FrameLink.frameElements, range.upperBound - offset)
            header.elementOffset = UInt64(offset)
            header.elementCount = UInt32(count)
            link.enqueue(header, vector, offset..<offset + count)
            offset += count
        } while offset < range.upperBound
    }

    /// Tells a peer that cannot read it in this worker's region.
    func tellReleased(_ step: UInt64, to peer: Peer) {
        peer.link?.enqueue(header(.released, to: peer, step, 0))
    }

    func sendFrames() throws(MessagingError) -> Bool {
        var sent = 0
        for case let peer? in round?.peers ?? [] {
            guard let link = peer.link, !link.isIdle else { continue }
            sent += try link.flush()
        }
        round?.timings.sentBytes += sent
        return sent > 0
    }

    private func header(
        _ kind: FrameHeader.Kind,
        to peer: Peer,
        _ step: UInt64,
        _ generation: UInt32
    ) -> FrameHeader {
        FrameHeader(kind: kind, job: job, from: own, to: peer.address, step: step, generation: generation)
    }

    // MARK: Receiving

    /// Takes what has come in, a bounded number of frames; returns whether that was anything.
    func receiveFrames() throws(MessagingError) -> Bool {
        guard let plane else { return false }
        for received in 0..<64 {
            guard let frames = try plane.receive() else { return received > 0 }
            guard let (header, payload, user) = plane.parts(of: frames) else {
                plane.strangeFrames += 1
                plane.refuse(
                    frames,
                    "a message of the data plane without \(keys == nil ? "a header of its form" : "its form or seal")"
                )
                continue
            }
            let counted = plane.doorkeeper.count
            if !take(header, payload, from: user) {
                plane.strangeFrames += 1
                // With another's key it is no peer's. What fits no plan is dropped alone: a peer may be behind.
                if plane.doorkeeper.count > counted { plane.refuse(frames, nil) }
            }
        }
        return true
    }

    /// Whether a frame that came with the key of `user` may be `peer`'s.
    func isBound(_ user: String?, to peer: Peer) -> Bool {
        if keys == nil || user != nil && user == peer.address.key { return true }
        plane?.doorkeeper.refuse(
            "a frame in the name of worker \(peer.address.worker) with the key of \(user ?? "nobody")",
            at: .now
        )
        return false
    }

    /// Uses a frame, which came with the key of `user`; false where nobody who follows a plan would have sent it.
    func take(_ header: FrameHeader, _ payload: Message?, from user: String?) -> Bool {
        guard header.job == job, header.receiver == own.worker, header.receiverIncarnation == own.incarnation else {
            return false
        }
        guard let round,
            let member = round.plan.members.firstIndex(of: header.sender), let peer = round.peers[member],
            peer.address.incarnation == header.senderIncarnation
        else {
            // A stranger, one that the plan does not name any more, or one that a later plan will name.
            if header.kind == .ready && earlyReady.count < 4096 { earlyReady[header.sender] = (header, user) }
            plane?.lateFrames += 1
            return true
        }
        guard isBound(user, to: peer) else { return false }
        switch header.kind {
        case .ready:
            guard payload == nil else { return false }
            takeReady(header, from: peer)
            return true
        case .released:
            guard payload == nil, header.step < UInt64(UInt32.max) else { return false }
            peer.releasedByFrame = max(peer.releasedByFrame, header.step + 1)
            return true
        case .node, .sum:
            guard header.step == round.plan.step, header.generation == round.plan.generation, peer.region == nil
            else {
                plane?.lateFrames += 1
                return true
            }
            guard round.isReduced.indices.contains(Int(header.bucket)),
                let elements = elements(of: header), (payload?.count ?? 0) == wire.byteCount(of: elements)
            else { return false }
            round.timings.receivedBytes += payload?.count ?? 0
            return header.kind == .node
                ? takeNode(header, payload, round, member) : takeSum(header, payload, round, member, peer)
        }
    }

    /// Nil where the vector has no such elements.
    private func elements(of header: FrameHeader) -> Range<Int>? {
        guard let first = Int(exactly: header.elementOffset), first <= region.layout.buckets.elementCount,
            Int(header.elementCount) <= region.layout.buckets.elementCount - first
        else { return nil }
        return first..<first + Int(header.elementCount)
    }

    func takeReady(_ header: FrameHeader, from peer: Peer) {
        guard header.senderIncarnation == peer.address.incarnation else { return }
        // One that somebody has recorded and plays again does not take back a later one; a process never goes back.
        if let known = peer.ready, known > (header.step, header.generation) { return }
        // Where no socket can be had, this worker answers nobody, and the plan's deadline names it.
        if (try? openLink(to: peer)) != nil { peer.ready = (header.step, header.generation) }
    }

    private func takeNode(_ header: FrameHeader, _ payload: Message?, _ round: Round, _ member: Int) -> Bool {
        let bucket = Int(header.bucket)
        let slice = round.slice(bucket, round.position)
        guard
            let index = round.contributions.firstIndex(where: { $0.node == header.node && $0.owner == member }),
            !round.isReduced[bucket]
        else { return false }
        let place = round.contributionIndex(bucket, index)
        let expected = min(FrameLink.frameElements, slice.count - round.received[place].elements)
        let first = slice.lowerBound + round.received[place].elements
        guard round.slots[place] == -1, Int(header.elementCount) == expected, header.elementOffset == UInt64(first)
        else { return false }
        if let payload, expected > 0 {
            // A gradient that changed on the way would be the same wrong sum everywhere.
            if payload.withBytes({ hash_xxh3($0.baseAddress, $0.count) }) != header.hash {
                fail(round, member, bucket)
                return true
            }
            round.received[place].frames.append(FramePayload(payload, first..<first + expected))
        }
        round.received[place].elements += expected
        if round.received[place].elements == slice.count {
            round.slots[place] = Round.received
            round.note(member)
        }
        return true
    }

    /// Writes and hashes a frame's elements block by block, while they are in the cache.
    private func unpack(_ frame: FramePayload, to target: UnsafeMutablePointer<Float>, _ peer: Peer) {
        var first = frame.range.lowerBound
        while first < frame.range.upperBound {
            let part = first..<min(first + AdditionProgram.blockCount, frame.range.upperBound)
            let place = target + (first - frame.range.lowerBound)
            wire.unpack(part, of: frame.range, frame.bytes, to: place)
            hash_stream_update(peer.hashState, place, part.count * 4)
            first = part.upperBound
        }
    }

    /// Ends the wait for a round: what came damaged was sent once, and does not come again.
    private func fail(_ round: Round, _ member: Int, _ bucket: Int) {
        settle(
            .failure(.corrupted(worker: round.plan.members[member], bucket: bucket, step: round.plan.step))
        )
    }

    private func takeSum(
        _ header: FrameHeader,
        _ payload: Message?,
        _ round: Round,
        _ member: Int,
        _ peer: Peer
    ) -> Bool {
        let bucket = Int(header.bucket)
        let slice = round.slice(bucket, member)
        let place = round.sliceIndex(bucket, member)
        let expected = min(FrameLink.frameElements, slice.count - round.sumElements[place])
        let first = slice.lowerBound + round.sumElements[place]
        guard round.hashes[place] == nil, Int(header.elementCount) == expected, header.elementOffset == UInt64(first)
        else { return false }
        if round.sumElements[place] == 0 { hash_stream_reset(peer.hashState) }
        let target = (round.gather ?? region.sums) + first
        let elements = first..<first + expected
        if let payload, wire.packs(elements) {
            // The hash is that of the values, packed or not.
            unpack(FramePayload(payload, elements), to: target, peer)
        } else {
            payload?.withBytes { bytes in
                guard let source = bytes.baseAddress else { return }
                UnsafeMutableRawPointer(target).copyMemory(from: source, byteCount: bytes.count)
                hash_stream_update(peer.hashState, source, bytes.count)
            }
        }
        round.sumElements[place] += expected
        if round.sumElements[place] == slice.count {
            guard hash_stream_digest(peer.hashState) == header.hash else {
                round.sumElements[place] = 0
                fail(round, member, bucket)
                return true
            }
            round.hashes[place] = header.hash
            round.missingSlices -= 1
            round.note(member)
        }
        return true
    }
}
