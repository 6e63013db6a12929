import Coordination
import SwiftProtobuf

// A worker's message and its generated twin. Building the twin cannot fail; reading it checks every field.

extension Pleura_Wire_FromWorker {
    static let shape = WireShape([
        2: .one("hello", Pleura_Wire_Hello.shape), 3: .one("ready", Pleura_Wire_Ready.shape), 4: .one("heartbeat"),
        5: .one("reduced", Pleura_Wire_Reduced.shape), 6: .one("applied"),
        7: .one("validated", Pleura_Wire_Validated.shape), 8: .one("piece"), 9: .one("failure"), 10: .one("leaving"),
    ])

    init(_ message: WorkerMessage) {
        self.init()
        incarnation = message.incarnation
        body =
            switch message.body {
            case .hello(let hello): .hello(Pleura_Wire_Hello(hello))
            case .ready(let ready): .ready(Pleura_Wire_Ready(ready))
            case .heartbeat(let heartbeat): .heartbeat(Pleura_Wire_Heartbeat(heartbeat))
            case .reduced(let report): .reduced(Pleura_Wire_Reduced(report))
            case .applied(let steps, let digest): .applied(Pleura_Wire_Applied(steps, digest))
            case .validated(let result): .validated(Pleura_Wire_Validated(result))
            case .checkpointPiece(let piece): .piece(Pleura_Wire_Piece(piece))
            case .failure(let report): .failure(Pleura_Wire_Failure(report))
            case .leaving(let reason): .leaving(.with { $0.reason = WireLimits.cut(reason) })
            }
    }

    func message() throws(WireError) -> WorkerMessage {
        guard let body else { throw .empty }
        let content: WorkerMessage.Body =
            switch body {
            case .hello(let hello): .hello(try hello.value())
            case .ready(let ready): .ready(try ready.value())
            case .heartbeat(let heartbeat): .heartbeat(try heartbeat.value())
            case .reduced(let report): .reduced(try report.value())
            case .applied(let applied):
                .applied(
                    completedSteps: try WireLimits.steps(applied.completedSteps, "applied.completed_steps"),
                    stateDigest: applied.hasStateDigest ? applied.stateDigest.value : nil
                )
            case .validated(let result): .validated(try result.value())
            case .piece(let piece): .checkpointPiece(try piece.value())
            case .failure(let report): .failure(try report.value())
            case .leaving(let leaving): .leaving(reason: try WireLimits.sentence(leaving.reason, "leaving.reason"))
            }
        return WorkerMessage(incarnation: incarnation, body: content)
    }
}

extension Pleura_Wire_Digest128 {
    init(_ digest: Digest) {
        self.init()
        high = digest.high
        low = digest.low
    }

    var value: Digest { Digest(high: high, low: low) }
}

extension Pleura_Wire_Hello {
    static let shape = WireShape([
        7: .list("hello.numerics_profiles", WireLimits.listed), 9: .list("hello.endpoints", WireLimits.listed),
        11: .one("hello.seat", Pleura_Wire_SeatHeld.shape),
    ])

    init(_ hello: Hello) {
        self.init()
        protocolVersion = hello.protocolVersion
        programVersion = hello.programVersion
        hostName = hello.hostName
        hostIdentity = hello.hostIdentity
        processID = hello.processID
        threads = hello.threads
        numericsProfiles = hello.numericsProfiles
        if let value = hello.job { job = value }
        endpoints = hello.endpoints
        if let value = hello.datasetDigest { datasetDigest = value }
        if let value = hello.seat {
            seat = .with {
                $0.worker = value.worker
                $0.fencing = value.fencing
                $0.completedSteps = value.completedSteps
                $0.isMember = value.isMember
                $0.isApplying = value.isApplying
                $0.generation = value.generation
                $0.reports = value.reports.map(Pleura_Wire_Reduced.init)
            }
        }
    }

    func value() throws(WireError) -> Hello {
        Hello(
            protocolVersion: protocolVersion,
            programVersion: try WireLimits.name(programVersion, "hello.program_version"),
            hostName: try WireLimits.name(hostName, "hello.host_name"),
            hostIdentity: try WireLimits.name(hostIdentity, "hello.host_identity"),
            processID: try WireLimits.check(processID, "hello.process_id", processID >= 0),
            threads: try WireLimits.check(threads, "hello.threads", threads <= WireLimits.threads),
            numericsProfiles: try WireLimits.names(numericsProfiles, "hello.numerics_profiles"),
            job: try WireLimits.name(job, "hello.job", isPresent: hasJob),
            endpoints: try WireLimits.names(endpoints, "hello.endpoints"),
            datasetDigest: try WireLimits.name(datasetDigest, "hello.dataset_digest", isPresent: hasDatasetDigest),
            seat: hasSeat ? try seat.value() : nil
        )
    }
}

extension Pleura_Wire_SeatHeld {
    static let shape = WireShape([
        7: .list("hello.seat.reports", WireLimits.seatReports, .message(Pleura_Wire_Reduced.shape))
    ])

    func value() throws(WireError) -> Seat {
        var taken: [ReducedReport] = []
        for report in try WireLimits.list(reports, "hello.seat.reports", limit: WireLimits.seatReports) {
            taken.append(try report.value())
        }
        return Seat(
            worker: worker,
            fencing: fencing,
            completedSteps: try WireLimits.steps(completedSteps, "hello.seat.completed_steps"),
            isMember: isMember,
            isApplying: isApplying,
            generation: try WireLimits.generation(generation, "hello.seat.generation"),
            reports: taken
        )
    }
}

extension Pleura_Wire_Ready {
    static let shape = WireShape([5: .list("ready.endpoints", WireLimits.listed)])

    init(_ ready: Ready) {
        self.init()
        completedSteps = ready.completedSteps
        stateDigest = Pleura_Wire_Digest128(ready.stateDigest)
        datasetDigest = ready.datasetDigest
        networkDigest = ready.networkDigest
        endpoints = ready.endpoints
    }

    func value() throws(WireError) -> Ready {
        Ready(
            completedSteps: try WireLimits.steps(completedSteps, "ready.completed_steps"),
            stateDigest: try WireLimits.required(
                stateDigest,
                "ready.state_digest",
                isPresent: hasStateDigest
            ).value,
            datasetDigest: try WireLimits.name(datasetDigest, "ready.dataset_digest"),
            networkDigest: try WireLimits.name(networkDigest, "ready.network_digest"),
            endpoints: try WireLimits.addresses(endpoints, "ready.endpoints")
        )
    }
}

extension Pleura_Wire_Heartbeat {
    init(_ heartbeat: Heartbeat) {
        self.init()
        phase = UInt32(heartbeat.phase.rawValue)
        step = heartbeat.step
        progress = heartbeat.progress
        inPhaseNanoseconds = heartbeat.inPhase.wireNanoseconds
    }

    func value() throws(WireError) -> Heartbeat {
        Heartbeat(
            phase: try WireLimits.phase(phase, "heartbeat.phase"),
            step: try WireLimits.steps(step, "heartbeat.step"),
            progress: progress,
            inPhase: try WireLimits.duration(inPhaseNanoseconds, "heartbeat.in_phase_nanoseconds")
        )
    }
}

extension Pleura_Wire_Reduced {
    static let shape = WireShape([
        3: .one("reduced.sums_digest"), 4: .one("reduced.state_digest"),
        5: .list("reduced.losses", WireLimits.losses, .words), 7: .one("reduced.non_finite"),
        8: .one("reduced.timings"), 9: .list("reduced.audits", WireLimits.audits),
    ])

    init(_ report: ReducedReport) {
        self.init()
        step = report.step
        generation = report.generation
        sumsDigest = Pleura_Wire_Digest128(report.sumsDigest)
        if let digest = report.stateDigest { stateDigest = Pleura_Wire_Digest128(digest) }
        losses = report.losses
        gradientNorm = report.gradientNorm
        if let value = report.nonFinite { nonFinite = WireLimits.cut(value) }
        if let value = report.nonFiniteMicrobatch { nonFiniteMicrobatch = value }
        audits = report.audits.map { audit in
            .with {
                $0.microbatch = audit.microbatch
                $0.digest = Pleura_Wire_Digest128(audit.digest)
            }
        }
        timings = Pleura_Wire_Timings(report.timings)
    }

    func value() throws(WireError) -> ReducedReport {
        ReducedReport(
            step: try WireLimits.steps(step, "reduced.step"),
            generation: try WireLimits.generation(generation, "reduced.generation"),
            sumsDigest: try WireLimits.required(
                sumsDigest,
                "reduced.sums_digest",
                isPresent: hasSumsDigest
            ).value,
            stateDigest: hasStateDigest ? stateDigest.value : nil,
            losses: try WireLimits.list(losses, "reduced.losses", limit: WireLimits.losses),
            gradientNorm: gradientNorm,
            nonFinite: try WireLimits.sentence(nonFinite, "reduced.non_finite", isPresent: hasNonFinite),
            nonFiniteMicrobatch: hasNonFiniteMicrobatch
                ? try WireLimits.microbatch(nonFiniteMicrobatch, "reduced.non_finite_microbatch") : nil,
            audits: try auditDigests(),
            timings: try timings.value()
        )
    }
}

extension Pleura_Wire_Reduced {
    private func auditDigests() throws(WireError) -> [AuditDigest] {
        var result: [AuditDigest] = []
        for audit in audits {
            result.append(
                AuditDigest(
                    microbatch: try WireLimits.microbatch(audit.microbatch, "reduced.audits"),
                    digest: try WireLimits.required(audit.digest, "reduced.audits", isPresent: audit.hasDigest).value
                )
            )
        }
        return result
    }
}

extension Pleura_Wire_Timings {
    init(_ timings: StepTimings) {
        self.init()
        dataNanoseconds = timings.data.wireNanoseconds
        computeNanoseconds = timings.compute.wireNanoseconds
        communicationNanoseconds = timings.communication.wireNanoseconds
        hiddenCommunicationNanoseconds = timings.hiddenCommunication.wireNanoseconds
        waitNanoseconds = timings.wait.wireNanoseconds
        computingNanoseconds = timings.computing.wireNanoseconds
        if let value = timings.waitedFor { waitedFor = value }
        samples = timings.samples
        operations = timings.operations
        residentBytes = timings.residentBytes
    }

    func value() throws(WireError) -> StepTimings {
        StepTimings(
            data: try WireLimits.duration(dataNanoseconds, "timings.data"),
            compute: try WireLimits.duration(computeNanoseconds, "timings.compute"),
            communication: try WireLimits.duration(communicationNanoseconds, "timings.communication"),
            hiddenCommunication: try WireLimits.duration(
                hiddenCommunicationNanoseconds,
                "timings.hidden_communication"
            ),
            wait: try WireLimits.duration(waitNanoseconds, "timings.wait"),
            computing: try WireLimits.duration(computingNanoseconds, "timings.computing"),
            waitedFor: hasWaitedFor ? waitedFor : nil,
            samples: try WireLimits.check(samples, "timings.samples", samples <= WireLimits.samples),
            operations: operations,
            residentBytes: residentBytes
        )
    }
}

extension Pleura_Wire_Applied {
    init(_ steps: UInt64, _ digest: Digest?) {
        self.init()
        completedSteps = steps
        if let digest { stateDigest = Pleura_Wire_Digest128(digest) }
    }
}

extension Pleura_Wire_Validated {
    static let shape = WireShape([4: .list("validated.counts", WireLimits.counts, .numbers)])

    init(_ result: ValidationResult) {
        self.init()
        round = result.round
        firstSample = result.samples.lowerBound
        endSample = result.samples.upperBound
        counts = result.counts
    }

    func value() throws(WireError) -> ValidationResult {
        ValidationResult(
            round: round,
            samples: try sampleRange(firstSample, endSample, "validated"),
            counts: try WireLimits.list(counts, "validated.counts", limit: WireLimits.counts)
        )
    }
}

extension Pleura_Wire_Piece {
    init(_ piece: CheckpointPiece) {
        self.init()
        completedSteps = piece.completedSteps
        share = Pleura_Wire_Share(piece.share)
        byteCount = piece.byteCount
        if let value = piece.failure { failure = WireLimits.cut(value) }
    }

    func value() throws(WireError) -> CheckpointPiece {
        CheckpointPiece(
            completedSteps: try WireLimits.steps(completedSteps, "piece.completed_steps"),
            share: try share.value(),
            byteCount: byteCount,
            failure: try WireLimits.sentence(failure, "piece.failure", isPresent: hasFailure)
        )
    }
}

extension Pleura_Wire_Share {
    init(_ share: CheckpointShare) {
        self.init()
        part = share.part
        parts = share.parts
        token = share.token
    }

    func value() throws(WireError) -> CheckpointShare {
        if parts == 0 || parts > WireLimits.shares || part >= parts {
            throw .badField("share", found: "\(part) of \(parts)")
        }
        return CheckpointShare(part: part, parts: parts, token: token)
    }
}

extension Pleura_Wire_Failure {
    init(_ report: FailureReport) {
        self.init()
        step = report.step
        phase = UInt32(report.phase.rawValue)
        message = WireLimits.cut(report.message)
        if let value = report.suspect { suspect = value }
    }

    func value() throws(WireError) -> FailureReport {
        FailureReport(
            step: try WireLimits.steps(step, "failure.step"),
            phase: try WireLimits.phase(phase, "failure.phase"),
            message: try WireLimits.sentence(message, "failure.message"),
            suspect: hasSuspect ? suspect : nil
        )
    }
}

/// A range of validation samples that is not empty and not out of bounds.
func sampleRange(_ first: UInt32, _ end: UInt32, _ field: String) throws(WireError) -> Range<UInt32> {
    if first >= end || end > WireLimits.samples { throw .badField(field, found: "the samples \(first) to \(end)") }
    return first..<end
}

extension Duration {
    /// Whole nanoseconds for the wire: never negative, never more than a reader takes.
    var wireNanoseconds: UInt64 { min(UInt64(max(0, inNanoseconds)), WireLimits.nanoseconds) }
}
