/// What the coordinator knows of one worker at a moment.
package struct WorkerStatus: Hashable, Sendable {
    package var worker: WorkerNumber
    package var hostName: String
    package var processID: Int32
    package var threads: UInt32
    /// What it does, in which step and for how long, as it last said.
    package var phase: WorkerPhase
    package var step: UInt64
    package var inPhase: Duration
    /// Since its last sign of life.
    package var silence: Duration
    /// Whether it takes part; else it is about to join.
    package var isMember: Bool
    /// Whether it is slow, and why.
    package var slowness: Slowness?
}

extension CoordinatorMachine {
    /// The workers at the moment of the last event, members first, each by its number.
    package var workers: [WorkerStatus] {
        func status(_ member: MemberState, isMember: Bool) -> WorkerStatus {
            WorkerStatus(
                worker: member.number,
                hostName: member.hello.hostName,
                processID: member.hello.processID,
                threads: member.hello.threads,
                phase: member.phase,
                step: member.phaseStep,
                inPhase: now - member.phaseSince,
                silence: now - member.lastHeard,
                isMember: isMember,
                slowness: speeds.slowness(of: member.number)
            )
        }
        return members.map { status($0, isMember: true) } + joiners.map { status($0, isMember: false) }
    }

    /// Whether it waits for nothing.
    package var isIdle: Bool { if case .idle = stage { true } else { false } }

    /// The attempt at a step that it leads.
    package var attempt: Assignment? { if case .stepping(let step) = stage { step.assignment } else { nil } }

    /// Until when the members of a coordinator that has died may come back; nil where none is waited for.
    package var reattachesUntil: Instant? { if case .reattaching(let waiting) = stage { waiting.until } else { nil } }

    /// What it does, for sentences about a machine that does not as it should.
    package var stageText: String { "\(stage)" }
}
