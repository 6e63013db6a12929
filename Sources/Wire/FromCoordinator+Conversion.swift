import Coordination
import Reduction
import SwiftProtobuf

// A coordinator's message and its generated twin. Building the twin cannot fail; reading it checks every field.

extension Pleura_Wire_FromCoordinator {
    static let shape = WireShape([
        2: .one("welcome"), 3: .one("refuse"), 4: .one("members", Pleura_Wire_Members.shape),
        5: .one("assign", Pleura_Wire_Assign.shape), 6: .one("commit", Pleura_Wire_Commit.shape), 7: .one("abandon"),
        8: .one("validate"), 9: .one("checkpoint"), 10: .one("drain"), 11: .one("pulse"), 12: .one("finish"),
    ])

    init(_ message: CoordinatorMessage) {
        self.init()
        fencing = message.fencing
        body =
            switch message.body {
            case .welcome(let welcome): .welcome(Pleura_Wire_Welcome(welcome))
            case .refuse(let reason): .refuse(.with { $0.reason = WireLimits.cut(reason) })
            case .membership(let membership): .members(Pleura_Wire_Members(membership))
            case .assign(let assignment): .assign(Pleura_Wire_Assign(assignment))
            case .commit(let commit): .commit(Pleura_Wire_Commit(commit))
            case .abandon(let step, let generation, let reason):
                .abandon(
                    .with {
                        $0.step = step
                        $0.generation = generation
                        $0.reason = WireLimits.cut(reason)
                    }
                )
            case .validate(let request): .validate(Pleura_Wire_Validate(request))
            case .checkpoint(let request):
                .checkpoint(
                    .with {
                        $0.completedSteps = request.completedSteps
                        $0.share = Pleura_Wire_Share(request.share)
                    }
                )
            case .drain(let reason): .drain(.with { $0.reason = WireLimits.cut(reason) })
            case .heartbeat: .pulse(Pleura_Wire_Pulse())
            case .finish(let finish):
                .finish(
                    .with {
                        $0.kind = UInt32(finish.kind.rawValue)
                        $0.message = WireLimits.cut(finish.message)
                    }
                )
            }
    }

    func message() throws(WireError) -> CoordinatorMessage {
        guard let body else { throw .empty }
        let content: CoordinatorMessage.Body =
            switch body {
            case .welcome(let welcome): .welcome(try welcome.value())
            case .refuse(let refuse): .refuse(reason: try WireLimits.sentence(refuse.reason, "refuse.reason"))
            case .members(let members): .membership(try members.value())
            case .assign(let assign): .assign(try assign.value())
            case .commit(let commit): .commit(try commit.value())
            case .abandon(let abandon):
                .abandon(
                    step: try WireLimits.steps(abandon.step, "abandon.step"),
                    generation: try WireLimits.generation(abandon.generation, "abandon.generation"),
                    reason: try WireLimits.sentence(abandon.reason, "abandon.reason")
                )
            case .validate(let request): .validate(try request.value())
            case .checkpoint(let request):
                .checkpoint(
                    CheckpointRequest(
                        completedSteps: try WireLimits.steps(request.completedSteps, "checkpoint.completed_steps"),
                        share: try request.share.value()
                    )
                )
            case .drain(let drain): .drain(reason: try WireLimits.sentence(drain.reason, "drain.reason"))
            case .pulse: .heartbeat
            case .finish(let finish): .finish(try finish.value())
            }
        return CoordinatorMessage(fencing: fencing, body: content)
    }
}

extension Pleura_Wire_Welcome {
    init(_ welcome: Welcome) {
        self.init()
        job = welcome.job
        worker = welcome.worker
        configuration = welcome.configuration
        datasetDigest = welcome.datasetDigest
        numericsProfile = welcome.numericsProfile
        if let value = welcome.resume {
            resume = .with {
                $0.completedSteps = value.completedSteps
                $0.file = value.file
                $0.folder = value.folder
            }
        }
        heartbeatIntervalNanoseconds = welcome.timing.heartbeatInterval.wireNanoseconds
        coordinatorSilenceNanoseconds = welcome.timing.coordinatorSilence.wireNanoseconds
        gracePeriodNanoseconds = welcome.timing.gracePeriod.wireNanoseconds
        bulkEndpoint = welcome.bulkEndpoint
    }

    func value() throws(WireError) -> Welcome {
        Welcome(
            job: try WireLimits.name(job, "welcome.job"),
            worker: worker,
            configuration: try WireLimits.text(
                configuration,
                "welcome.configuration",
                limit: WireLimits.configurationBytes,
                allowsLines: true
            ),
            datasetDigest: try WireLimits.name(datasetDigest, "welcome.dataset_digest"),
            numericsProfile: try WireLimits.name(numericsProfile, "welcome.numerics_profile"),
            resume: hasResume ? try resume.value() : nil,
            timing: WorkerTiming(
                heartbeatInterval: try WireLimits.interval(
                    heartbeatIntervalNanoseconds,
                    "welcome.heartbeat_interval"
                ),
                coordinatorSilence: try WireLimits.interval(
                    coordinatorSilenceNanoseconds,
                    "welcome.coordinator_silence"
                ),
                gracePeriod: try WireLimits.duration(gracePeriodNanoseconds, "welcome.grace_period")
            ),
            bulkEndpoint: try WireLimits.name(bulkEndpoint, "welcome.bulk_endpoint")
        )
    }
}

extension Pleura_Wire_Resume {
    func value() throws(WireError) -> ResumeSource {
        ResumeSource(
            completedSteps: try WireLimits.steps(completedSteps, "resume.completed_steps"),
            file: try WireLimits.fileName(file, "resume.file"),
            folder: try WireLimits.text(folder, "resume.folder", limit: WireLimits.sentenceBytes, allowsLines: false)
        )
    }
}

extension Pleura_Wire_Members {
    static let shape = WireShape([
        2: .list("members", WireLimits.members, .message(Pleura_Wire_MemberInfo.shape))
    ])

    init(_ membership: Membership) {
        self.init()
        version = membership.version
        members = membership.members.map { member in
            .with {
                $0.worker = member.worker
                $0.hostName = member.hostName
                $0.hostIdentity = member.hostIdentity
                $0.threads = member.threads
                $0.endpoints = member.endpoints
            }
        }
    }

    func value() throws(WireError) -> Membership {
        if members.isEmpty || members.count > WireLimits.members {
            throw .badField("members", found: "a list of \(members.count)")
        }
        var result: [Member] = []
        for member in members {
            if let last = result.last, last.worker >= member.worker {
                throw .badField("members.worker", found: "not ascending")
            }
            result.append(try member.value())
        }
        return Membership(version: version, members: result)
    }
}

extension Pleura_Wire_MemberInfo {
    static let shape = WireShape([5: .list("members.endpoints", WireLimits.listed)])

    func value() throws(WireError) -> Member {
        Member(
            worker: worker,
            hostName: try WireLimits.name(hostName, "members.host_name"),
            hostIdentity: try WireLimits.name(hostIdentity, "members.host_identity"),
            threads: try WireLimits.check(
                threads,
                "members.threads",
                threads > 0 && threads <= WireLimits.threads
            ),
            endpoints: try WireLimits.addresses(endpoints, "members.endpoints")
        )
    }
}

extension Pleura_Wire_Assign {
    static let shape = WireShape([
        4: .list("assign.members", WireLimits.members, .numbers),
        5: .list("assign.node_levels", Int(WireLimits.leaves), .numbers),
        6: .list("assign.node_indices", Int(WireLimits.leaves), .numbers),
        7: .list("assign.node_owners", Int(WireLimits.leaves), .numbers),
        10: .list("assign.audit_microbatches", 2 * Int(WireLimits.leaves), .numbers),
        11: .list("assign.audit_workers", 2 * Int(WireLimits.leaves), .numbers),
    ])

    init(_ assignment: Assignment) {
        self.init()
        let plan = assignment.plan
        step = plan.step
        generation = plan.generation
        leafCount = UInt32(plan.tree.leafCount)
        members = plan.members
        nodeLevels = plan.contributions.map { UInt32($0.node.level) }
        nodeIndices = plan.contributions.map { UInt32($0.node.index) }
        nodeOwners = plan.contributions.map(\.owner)
        membership = assignment.membership
        wantsStateDigest = assignment.wantsStateDigest
        auditMicrobatches = assignment.audits.map { UInt32($0.microbatch) }
        auditWorkers = assignment.audits.map(\.worker)
    }

    func value() throws(WireError) -> Assignment {
        if leafCount == 0 || leafCount > WireLimits.leaves {
            throw .badField("assign.leaf_count", found: "\(leafCount)")
        }
        if members.count > WireLimits.members || nodeLevels.count > Int(leafCount)
            || nodeIndices.count != nodeLevels.count || nodeOwners.count != nodeLevels.count
        {
            throw .badField(
                "assign.nodes",
                found: "lists of \(nodeLevels.count), \(nodeIndices.count) and \(nodeOwners.count)"
            )
        }
        let tree = SumTree(leafCount: Int(leafCount))
        var contributions: [ReductionPlan.Contribution] = []
        contributions.reserveCapacity(nodeLevels.count)
        for position in nodeLevels.indices {
            let level = nodeLevels[position]
            let index = nodeIndices[position]
            if level > 20 || index >= leafCount {
                throw .badField("assign.nodes", found: "the node \(level):\(index)")
            }
            contributions.append(
                ReductionPlan.Contribution(
                    node: TreeNode(level: Int(level), index: Int(index)),
                    owner: nodeOwners[position]
                )
            )
        }
        let plan = ReductionPlan(
            step: try WireLimits.steps(step, "assign.step"),
            generation: try WireLimits.generation(generation, "assign.generation"),
            tree: tree,
            members: members,
            contributions: contributions
        )
        if let defect = plan.defect { throw .badField("assign", found: "a plan with a defect: \(defect)") }
        return Assignment(
            plan: plan,
            membership: membership,
            wantsStateDigest: wantsStateDigest,
            audits: try audits()
        )
    }
}

extension Pleura_Wire_Assign {
    func audits() throws(WireError) -> [Assignment.Audit] {
        // A microbatch is audited once, and by a third worker at most.
        if auditMicrobatches.count != auditWorkers.count || auditWorkers.count > 2 * Int(leafCount) {
            throw .badField(
                "assign.audits",
                found: "lists of \(auditMicrobatches.count) and \(auditWorkers.count)"
            )
        }
        if let stranger = auditMicrobatches.first(where: { $0 >= leafCount }) {
            throw .badField("assign.audits", found: "microbatch \(stranger) of \(leafCount)")
        }
        return zip(auditMicrobatches, auditWorkers).map { Assignment.Audit(microbatch: Int($0), worker: $1) }
    }
}

extension Pleura_Wire_Commit {
    static let shape = WireShape([
        2: .one("commit.hyperparameters", Pleura_Wire_Hyperparameters.shape),
        4: .one("commit.next", Pleura_Wire_Assign.shape), 5: .one("commit.repeated", Pleura_Wire_Assign.shape),
    ])

    init(_ commit: Coordination.Commit) {
        self.init()
        step = commit.step
        hyperparameters = Pleura_Wire_Hyperparameters(commit.hyperparameters)
        wantsStateDigest = commit.wantsStateDigest
        if let assignment = commit.next { next = Pleura_Wire_Assign(assignment) }
    }

    func value() throws(WireError) -> Coordination.Commit {
        let step = try WireLimits.steps(step, "commit.step")
        if hasRepeated {
            throw .badField("commit.repeated", found: "a plan that this receiver does not hold")
        }
        let following = hasNext ? try next.value() : nil
        if let following, following.step != step + 1 {
            throw .badField("commit.next", found: "step \(following.step) after step \(step)")
        }
        return Coordination.Commit(
            step: step,
            hyperparameters: try WireLimits.required(
                hyperparameters,
                "commit.hyperparameters",
                isPresent: hasHyperparameters
            ).value(),
            wantsStateDigest: wantsStateDigest,
            next: following
        )
    }
}

extension Pleura_Wire_Hyperparameters {
    static let shape = WireShape([
        8: .list("commit.hyperparameters.optimizer", WireLimits.optimizerWords, .words)
    ])

    init(_ values: StepHyperparameters) {
        self.init()
        learningRateBits = values.learningRate.bitPattern
        clipNormBits = values.clipNorm.bitPattern
        averageWeightBits = values.averageWeight.bitPattern
        skipsUpdate = values.skipsUpdate
        optimizerBits = values.optimizer
    }

    /// Any bits are a number; what they do to the weights the digests and the check for finite sums show. The optimizer
    /// itself counts its words.
    func value() throws(WireError) -> StepHyperparameters {
        StepHyperparameters(
            learningRate: Float(bitPattern: learningRateBits),
            clipNorm: Float(bitPattern: clipNormBits),
            averageWeight: Float(bitPattern: averageWeightBits),
            skipsUpdate: skipsUpdate,
            optimizer: try WireLimits.list(
                optimizerBits,
                "commit.hyperparameters.optimizer",
                limit: WireLimits.optimizerWords
            )
        )
    }
}

extension Pleura_Wire_Validate {
    init(_ request: ValidationRequest) {
        self.init()
        round = request.round
        completedSteps = request.completedSteps
        firstSample = request.samples.lowerBound
        endSample = request.samples.upperBound
    }

    func value() throws(WireError) -> ValidationRequest {
        ValidationRequest(
            round: round,
            completedSteps: try WireLimits.steps(completedSteps, "validate.completed_steps"),
            samples: try sampleRange(firstSample, endSample, "validate")
        )
    }
}

extension Pleura_Wire_Finish {
    func value() throws(WireError) -> Finish {
        guard let raw = UInt8(exactly: kind), let kind = RunOutcome.Kind(rawValue: raw) else {
            throw .badField("finish.kind", found: "\(self.kind)")
        }
        return Finish(kind: kind, message: try WireLimits.sentence(message, "finish.message"))
    }
}
