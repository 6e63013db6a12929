import CSystem
import Glibc
import Kernels
import Messaging
import Platform
package import Reduction
import Synchronization

/// One worker's part in the all-reduce of every step.
///
/// Each worker folds the gradients of its microbatches to the values of the tree nodes that the plan assigns to it,
/// right into its shared region (`begin` says where), and publishes each bucket as it is complete. Member i of the plan
/// adds slice i of every bucket, over all nodes of the plan in the canonical order, as soon as they are published, and
/// publishes the sum; then everybody can read all slices. A communication thread does the additions, so that they hide
/// behind the rest of the backward pass.
///
/// Per member and step, for P elements, N members and K nodes in the plan: K·P/N elements are read and P/N written to
/// add; the other members' sums are read in place (shared memory) or received, P·(N-1)/N (ZeroMQ).
///
/// A member that is alone and holds the one node has its value as the sum: nothing is added or copied, and no memory is
/// taken for sums.
///
/// The protocol of reuse: the sums of step t stay until all members have called `release(t)`; a node's buffer may be
/// written again when `waitReduced` has returned for its step (`release`, where it is the sum itself), or when a later
/// plan of the step does not name it.
package final class Allreduce: Sendable {
    /// A node that this worker computes.
    package struct OwnedNode: @unchecked Sendable {
        // An address and what it means; the writer's duties are in `begin`'s contract.
        package let node: TreeNode
        /// Memory for its value, as many elements as the layout has.
        package let buffer: UnsafeMutablePointer<Float>
        /// For each bucket, whether this worker has published it in an earlier generation of the step: it is final.
        package let isPublished: [Bool]
    }

    package struct Configuration: Sendable {
        package var worker: ReductionPlan.Worker
        package var incarnation: UInt64
        /// See `PeerAddress.jobNumber`.
        package var job: UInt64
        package var layout: BucketLayout
        /// The most nodes that a plan gives to this worker; each takes the memory of a whole vector once it is used.
        package var maximumNodes: Int
        package var transport: TransportChoice
        /// Where to listen for frames, `tcp://HOST:PORT` or `ipc://PATH`; not used by shared memory alone.
        package var listen: String
        /// The host under which others reach `listen`, where that says `*`.
        package var advertisedHost: String?
        package var additions: VectorAdditions
        /// The first elements that stand for bfloat16: owners write nothing else into their nodes there, each sum is
        /// rounded, and frames carry two bytes for each. 0: all are fp32.
        package var roundedCount = 0
        /// Keys, where frames are encrypted; all members have them or none.
        package var keys: PlaneKeys?
        /// A connection counts as broken when the other end has acknowledged nothing for so long.
        package var silence: Duration = .seconds(20)
        /// Hears how many connections and frames of strangers were refused so far, and why the last one; once a second at
        /// most, on the communication thread.
        package var onRefusal: (@Sendable (_ count: Int, _ reason: String) -> Void)?
        /// ZeroMQ's threads for frames.
        package var ioThreads: Int
        /// The name of this host; another value makes two parts of one machine behave as two hosts.
        package var host: String

        package init(
            worker: ReductionPlan.Worker,
            incarnation: UInt64,
            job: UInt64,
            layout: BucketLayout,
            maximumNodes: Int,
            transport: TransportChoice = .auto,
            listen: String = "tcp://127.0.0.1:*",
            advertisedHost: String? = nil,
            additions: VectorAdditions = .portable,
            ioThreads: Int = 2,
            host: String = PeerAddress.hostIdentity()
        ) {
            self.worker = worker
            self.incarnation = incarnation
            self.job = job
            self.layout = layout
            self.maximumNodes = maximumNodes
            self.transport = transport
            self.listen = listen
            self.advertisedHost = advertisedHost
            self.additions = additions
            self.ioThreads = ioThreads
            self.host = host
        }
    }

    /// Where the other members reach this worker.
    package let address: PeerAddress
    /// Why this worker shares no memory with others of its host, and sends them frames, though it was to choose by itself;
    /// nil where it does.
    package let sharingDefect: AllreduceError?

    private struct State {
        var plan: ReductionPlan?
        /// What the slots hold for the plan's step.
        var slotNodes: [TreeNode?]
        var populated: Set<Int> = []
        var sumsPopulated: (members: Int, position: Int)?
        var peers: [ReductionPlan.Worker: Peer] = [:]
        var thread: OwnedThread?
        var isClosed = false
    }

    private let configuration: Configuration
    private let layout: RegionLayout
    private let region: SharedRegion
    private let doorbell: Doorbell
    private let state: Mutex<State>
    private let mailbox: Mailbox

    package init(_ configuration: Configuration) throws(AllreduceError) {
        self.configuration = configuration
        layout = RegionLayout(buckets: configuration.layout, nodeCapacity: configuration.maximumNodes)
        (region, sharingDefect) = try Self.region(configuration, layout)
        doorbell = try Doorbell()
        state = Mutex(State(slotNodes: Array(repeating: nil, count: configuration.maximumNodes)))
        mailbox = Mailbox(doorbell)
        var plane: NetworkPlane?
        if configuration.transport != .sharedMemory {
            do throws(MessagingError) {
                plane = try NetworkPlane(
                    listen: configuration.listen,
                    advertisedHost: configuration.advertisedHost,
                    ioThreads: configuration.ioThreads,
                    silence: configuration.silence,
                    keys: configuration.keys
                )
            } catch { throw .messaging(error) }
        }
        let sharesMemory = configuration.transport != .zeromq && sharingDefect == nil
        address = PeerAddress(
            worker: configuration.worker,
            incarnation: configuration.incarnation,
            host: configuration.host,
            process: getpid(),
            region: sharesMemory ? region.descriptor : -1,
            doorbell: sharesMemory ? doorbell.readEnd : -1,
            endpoint: plane?.endpoint,
            key: configuration.keys?.name
        )
        let communicator = Communicator(
            own: address,
            job: configuration.job,
            region: region,
            doorbell: doorbell,
            mailbox: mailbox,
            plane: plane,
            wire: WireFormat(roundedCount: configuration.roundedCount, additions: configuration.additions),
            keys: configuration.keys,
            onRefusal: configuration.onRefusal
        )
        do throws(SystemError) {
            let thread = try OwnedThread(name: "pleura-comm") { communicator.run() }
            state.withLock { $0.thread = thread }
        } catch { throw .messaging(.refused(error)) }
    }

    deinit { mailbox.post(.close) }

    /// The memory for the worker's nodes and sums: shared where the transport has it so and the system lets it.
    private static func region(
        _ configuration: Configuration,
        _ layout: RegionLayout
    ) throws(AllreduceError) -> (region: SharedRegion, defect: AllreduceError?) {
        func make(isShared: Bool) throws(AllreduceError) -> SharedRegion {
            try SharedRegion(
                layout: layout,
                job: configuration.job,
                worker: configuration.worker,
                incarnation: configuration.incarnation,
                isShared: isShared
            )
        }
        do throws(AllreduceError) {
            return (try make(isShared: configuration.transport != .zeromq), nil)
        } catch {
            guard case .noSharedMemory = error, configuration.transport == .auto else { throw error }
            return (try make(isShared: false), error)
        }
    }

    /// Ends the communication thread; peers see this worker's memory until they let go of it, but no more progress.
    package func close() {
        let thread = state.withLock { state in
            state.isClosed = true
            defer { state.thread = nil }
            return state.thread
        }
        mailbox.post(.close)
        thread?.join()
    }

    // MARK: A step

    /// Takes part in `plan` from now on, in place of any earlier one, and says where this worker's nodes go.
    ///
    /// The nodes come in the plan's order. A later generation of the same step keeps what this worker has published of
    /// the nodes that it names again. Compute threads write a node's buffer and `publish` its buckets; they must have
    /// stopped writing to nodes that the new plan does not name.
    /// - Parameters:
    ///   - peers: the addresses of the plan's other members, in any order; further ones are ignored.
    ///   - gather: memory for all elements, into which the sums are copied as they come; nil to read them in place.
    ///     It must stay until the step is released or superseded.
    package func begin(
        plan: ReductionPlan,
        peers addresses: [PeerAddress],
        gather: UnsafeMutablePointer<Float>? = nil
    ) throws(AllreduceError) -> [OwnedNode] {
        if let defect = plan.defect { throw .badPlan(defect) }
        guard let position = plan.members.firstIndex(of: configuration.worker) else {
            throw .badPlan("worker \(configuration.worker) is not among its members \(plan.members)")
        }
        guard let program = AdditionProgram(tree: plan.tree, nodes: plan.contributions.map(\.node)) else {
            throw .badPlan("its nodes do not cover the microbatches")
        }
        let contributions = try Self.contributions(of: plan)
        // The state is changed under its lock; typed errors do not pass through `withLock`.
        let result: Result<[OwnedNode], AllreduceError> = state.withLock { state in
            do throws(AllreduceError) {
                if state.isClosed { throw .closed }
                if let last = state.plan, last.step == plan.step, last.generation == plan.generation {
                    throw .badPlan("step \(plan.step), generation \(plan.generation), was begun before")
                }
                let peers = try members(of: plan, addresses, &state)
                let nodes = try assignSlots(plan, &state)
                // Frames' sums go into this worker's own memory, which then takes all of them.
                let receives = gather == nil && peers.contains { $0 != nil && $0?.region == nil }
                let round = Round(
                    plan: plan,
                    layout: configuration.layout,
                    position: position,
                    peers: peers,
                    contributions: contributions,
                    program: program,
                    gather: gather
                )
                if !round.hasOneNode {
                    try populateSums(position: position, members: receives ? 1 : peers.count, &state)
                }
                state.plan = plan
                mailbox.begin(round)
                return .success(nodes)
            } catch { return .failure(error) }
        }
        return try result.get()
    }

    /// Declares `bucket` final in `node`'s buffer, or in those of all nodes that this worker owns: from here on it must
    /// not be written in this step.
    ///
    /// From any thread; returns at once.
    package func publish(bucket: Int, node: TreeNode? = nil) {
        precondition(configuration.layout.buckets.indices.contains(bucket), "there is no bucket \(bucket)")
        state.withLock { state in
            guard let plan = state.plan else { preconditionFailure("publish came before begin") }
            for case let (slot, held?) in state.slotNodes.enumerated() where node == nil || plan.sameNode(held, node) {
                guard let stamp = Stamp.node(held, step: plan.step) else { continue }
                region.store(stamp, at: layout.nodeStampOffset(slot: slot, bucket: bucket))
            }
        }
        mailbox.ringAll()
    }

    /// Waits until all sums of the last plan are there.
    ///
    /// Blocks the calling thread, which must be one of the caller's own.
    ///
    /// Throws `.peerLost` when a member that is still needed has ended or cannot be reached, `.timedOut` after
    /// `limit`, which names what is missing from whom and lets the caller wait again, and `.superseded` when another
    /// thread calls `begin`.
    package func waitReduced(within limit: Duration) throws(AllreduceError) -> ReducedSums {
        guard let plan = state.withLock({ $0.plan }) else { throw .badPlan("none was begun") }
        return try mailbox.wait(for: plan, within: limit)
    }

    /// Says that this worker has applied the sums of `step` and reads them no more.
    package func release(step: UInt64) {
        region.store(step + 1, at: layout.offset(of: .released))
        mailbox.post(.release(step: step))
        mailbox.ringAll()
    }

    // MARK: Parts of begin

    private static func contributions(of plan: ReductionPlan) throws(AllreduceError) -> [Round.Contribution] {
        var result: [Round.Contribution] = []
        for contribution in plan.contributions {
            let node = plan.tree.canonical(contribution.node)
            guard let stamp = Stamp.node(node, step: plan.step),
                let owner = plan.members.firstIndex(of: contribution.owner)
            else { throw .badPlan("node \(node) of step \(plan.step) is out of range") }
            result.append(Round.Contribution(node: node, stamp: stamp, owner: owner))
        }
        return result
    }

    private func members(
        of plan: ReductionPlan,
        _ addresses: [PeerAddress],
        _ state: inout State
    ) throws(AllreduceError) -> [Peer?] {
        var kept: [ReductionPlan.Worker: Peer] = [:]
        var result: [Peer?] = []
        for worker in plan.members {
            if worker == configuration.worker {
                result.append(nil)
                continue
            }
            guard let address = addresses.first(where: { $0.worker == worker }) else {
                throw .badPlan("no address is known for its member \(worker)")
            }
            let peer: Peer
            if let known = state.peers[worker], known.address == address {
                peer = known
            } else {
                peer = try Peer(
                    address,
                    own: self.address,
                    transport: configuration.transport,
                    layout: layout,
                    job: configuration.job
                )
            }
            kept[worker] = peer
            result.append(peer)
        }
        state.peers = kept
        return result
    }

    /// Finds a slot for each node that this worker owns, the same as before for those it holds already.
    private func assignSlots(_ plan: ReductionPlan, _ state: inout State) throws(AllreduceError) -> [OwnedNode] {
        let owned = plan.contributions.filter { $0.owner == configuration.worker }.map { plan.tree.canonical($0.node) }
        if owned.count > state.slotNodes.count {
            throw .badPlan(
                "it gives \(owned.count) nodes to worker \(configuration.worker), which has memory for "
                    + "\(state.slotNodes.count)"
            )
        }
        let isSameStep = state.plan?.step == plan.step && state.plan?.tree == plan.tree
        var slotNodes = state.slotNodes.map { node in
            node.flatMap { isSameStep && owned.contains($0) ? $0 : nil }
        }
        let bucketCount = configuration.layout.buckets.count
        var result: [OwnedNode] = []
        for node in owned {
            var isPublished = Array(repeating: false, count: bucketCount)
            let slot: Int
            if let held = slotNodes.firstIndex(of: node) {
                slot = held
                let stamp = Stamp.node(node, step: plan.step)
                isPublished = (0..<bucketCount).map {
                    region.load(at: layout.nodeStampOffset(slot: held, bucket: $0)) == stamp
                }
            } else if let free = slotNodes.indices.first(where: { slotNodes[$0] == nil }) {
                slot = free
                for bucket in 0..<bucketCount {
                    region.store(0, at: layout.nodeStampOffset(slot: slot, bucket: bucket))
                }
                if state.populated.insert(slot).inserted {
                    let offset = layout.nodeBufferOffset(slot: slot)
                    try region.populate(offset..<offset + layout.vectorBytes)
                }
                slotNodes[slot] = node
            } else {
                throw .badPlan("worker \(configuration.worker) has no free memory for node \(node)")
            }
            result.append(
                OwnedNode(node: node, buffer: region.nodeBuffer(slot: slot), isPublished: isPublished)
            )
        }
        state.slotNodes = slotNodes
        return result
    }

    private func populateSums(position: Int, members: Int, _ state: inout State) throws(AllreduceError) {
        if let known = state.sumsPopulated, known == (members, position) { return }
        for bucket in configuration.layout.buckets.indices {
            let slice = configuration.layout.slice(
                of: bucket,
                member: members == 1 ? 0 : position,
                of: members
            )
            try region.populate(layout.sumOffset + slice.lowerBound * 4..<layout.sumOffset + slice.upperBound * 4)
        }
        state.sumsPopulated = (members, position)
    }
}

extension ReductionPlan {
    fileprivate func sameNode(_ held: TreeNode, _ node: TreeNode?) -> Bool {
        node.map { tree.canonical($0) == held } ?? false
    }
}
