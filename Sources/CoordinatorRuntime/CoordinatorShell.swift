import Configuration
package import Coordination
import Glibc
import Messaging
package import ModelSetup
import Networks
import Platform
import Reporting
package import RunFolder
package import RunLinks
import Sampling
package import Storage
import Synchronization
import Wire

/// The coordinator of a run: drives the coordinator machine and runs its actions on sockets, disk and terminal.
package final class CoordinatorShell: Sendable {
    /// What the coordinator is given beside the run's setup.
    package struct Options: Sendable {
        package var directory: RunDirectory
        package var job: String
        /// Higher than that of any earlier coordinator of the run.
        package var fencing: UInt64
        package var expectedWorkers: Int
        /// Where workers reach the coordinator, `tcp://HOST:PORT` with * for any port; control and bulk.
        package var bind: [String]
        /// Where bulk is handed over, as `bind`; nil takes any port beside it.
        package var bulkBind: String?
        package var resume: ResumePoint?
        /// What is known of a coordinator that has died, and whose workers may still be there.
        package var reattachment: Reattachment?
        package var console: Console
        /// All tensors of a checkpoint.
        package var tensors: [TensorSignature]
        /// Nil: anybody may take part.
        package var keys: ServerKeys?
        /// Hears what happens, on the coordinator's loop: it must return soon.
        package var hears: @Sendable (RunEvent) -> Void
        /// Which run it is (`RunManifest`), and the session that leads it; nil where nobody asks.
        package var run: String?
        package var session: String?

        package init(
            directory: RunDirectory,
            job: String,
            fencing: UInt64,
            expectedWorkers: Int,
            bind: [String],
            bulkBind: String? = nil,
            resume: ResumePoint?,
            reattachment: Reattachment? = nil,
            console: Console,
            tensors: [TensorSignature],
            keys: ServerKeys? = nil,
            run: String? = nil,
            session: String? = nil,
            hears: @escaping @Sendable (RunEvent) -> Void = { _ in }
        ) {
            self.run = run
            self.session = session
            self.directory = directory
            self.job = job
            self.fencing = fencing
            self.expectedWorkers = expectedWorkers
            self.bind = bind
            self.bulkBind = bulkBind
            self.resume = resume
            self.reattachment = reattachment
            self.console = console
            self.tensors = tensors
            self.keys = keys
            self.hears = hears
        }
    }

    private let setup: RunSetup
    private let options: Options
    private let events: EventQueue<CoordinatorMachine.Event>
    private let server: ZeroMQServer
    private let keeper: CheckpointKeeper
    private let peers: PeerNumbers
    private let folder: RunFolderWatch

    /// Where workers connect, with real port numbers.
    package var endpoint: String { server.endpoints.first ?? "" }

    /// Where workers hand checkpoints over and fetch files.
    var bulkEndpoint: String { keeper.endpoints.first ?? "" }

    /// Opens the sockets; workers may connect from now on.
    package init(_ setup: RunSetup, _ options: Options) throws {
        self.setup = setup
        self.options = options
        let folder = RunFolderWatch(options.directory)
        self.folder = folder
        let events = try EventQueue<CoordinatorMachine.Event>()
        self.events = events
        let peers = PeerNumbers()
        self.peers = peers
        let console = options.console
        let hasKeys = options.keys != nil
        let relay = Relay()
        let server = try ZeroMQServer(
            bind: options.bind,
            limits: TransportLimits(
                sends: WireProtocol.maximumCoordinatorMessageBytes,
                receives: WireProtocol.maximumWorkerMessageBytes,
                first: WireProtocol.maximumHelloBytes
            ),
            curve: options.keys?.listening
        ) { event in relay.handle(event) }
        self.server = server
        relay.set { [weak server] event in
            switch event {
            case .received(let identity, let bytes):
                // The port is open to anybody who reaches it; what is no message ends its sender's connection.
                do {
                    let message = try WireProtocol.decodeWorkerMessage(bytes)
                    // The transport has dropped what comes under another name than that of its key.
                    let key = hasKeys ? String(identity.text.prefix { $0 != ":" }) : ""
                    events.push(.message(from: peers.number(of: identity), key: key, message))
                } catch {
                    server?.refuse(identity, reason: "a message of \(bytes.count) bytes from \(identity): \(error)")
                }
            case .lost(let identity, _): events.push(.connectionLost(peers.number(of: identity)))
            case .failed(let reason):
                events.push(.stopRequested(reason: "the coordinator cannot hear its workers any more: \(reason)"))
            case .dropped(let count, let reason):
                console.log(.warning, "refused \(count) connections or messages so far; the last: \(reason)")
            case .connected: break
            }
        }
        keeper = try CheckpointKeeper(
            bind: options.bulkBind.map { [$0] } ?? options.bind.map { Endpoint.beside($0) },
            directory: options.directory.checkpoints,
            shards: setup.configuration.data.shards,
            tensors: options.tensors,
            retention: setup.configuration.checkpoint.retention,
            curve: options.keys?.listening,
            requireFolder: { if options.run != nil { try folder.check() } }
        ) { outcome in
            switch outcome {
            case .durable(let steps, let path, let warnings):
                for warning in warnings { console.log(.warning, warning) }
                let file = path.split(separator: "/").last.map(String.init) ?? path
                events.push(.checkpointDurable(completedSteps: steps, file: file))
            case .notice(let sentence): console.log(.notice, sentence)
            case .refused(let count, let reason):
                console.log(
                    .warning,
                    "refused \(count) connections or messages of the bulk port so far; the last: \(reason)"
                )
            case .failed(let steps, let reason):
                events.push(.checkpointFailed(completedSteps: steps, reason: reason))
            }
        }
    }

    package func close() {
        server.close()
        keeper.close()
    }

    // MARK: From other threads

    /// The first request finishes the step and saves; the second, a second or more later, stops at once.
    package func drain(reason: String) { events.push(.drainRequested(reason: reason)) }

    /// A worker process that the launcher started has ended; where it starts another one, the process is replaced.
    package func workerExited(
        incarnation: UInt64,
        process: Int32,
        _ cause: ExitCause,
        note: String,
        isReplaced: Bool
    ) {
        events.push(
            .processExited(incarnation: incarnation, processID: process, cause, note: note, replaced: isReplaced)
        )
    }

    // MARK: The loop

    /// Runs until the run ends; blocks the calling thread.
    package func run() throws -> RunOutcome {
        let recorder = try RunRecorder(
            setup: setup,
            directory: options.directory,
            fencing: options.fencing,
            run: options.run,
            console: options.console
        )
        var machine = CoordinatorMachine(configuration: configuration(), policy: RunPolicy(setup))
        var pending = machine.handle(
            .start(resume: options.resume, reattachment: options.reattachment),
            at: MonotonicClock.now
        )
        var timer: Instant?
        var told: [PeerID] = []
        var encoder = PlanningEncoder()
        let writer = try StatusWriter(options.directory) { [options, folder] in
            if options.run != nil { try folder.check() }
        }
        let requests = RunRequestTaker(options, folder, events)
        defer { writer.close() }
        var last: Coordination.StepRecord?
        var peakBytes = 0
        var lastFault: String?
        let damage = ShardDamage(setup.configuration.data.shards) { [events] defect in
            events.push(.stopRequested(reason: "a shard of the data set is damaged: \(defect)"))
        }
        var statusAt = MonotonicClock.now
        var refusals = NoticeLimit()
        while true {
            for action in pending {
                switch action {
                case .send(let peer, let message): send(try WireProtocol.encode(message), to: [peer])
                case .broadcast(let peers, let message):
                    if case .finish = message.body { told = peers }
                    send(try encoder.encode(message), to: peers)
                case .startTimer(let moment): timer = moment
                case .beginCheckpoint(let order):
                    keeper.begin(
                        order,
                        trainer: try trainer(order, metrics: recorder.lastMetrics, records: recorder.seals),
                        beforePublishing: recorder.synchronizer
                    )
                case .abandonCheckpoint(let steps, _): keeper.abandon(completedSteps: steps)
                case .discardCheckpoint(let steps, let reason):
                    options.console.log(.warning, "The checkpoint of step \(steps) is deleted: \(reason)")
                    keeper.discard(completedSteps: steps)
                case .record(let record):
                    last = record
                    peakBytes = max(peakBytes, record.peakBytes)
                    options.hears(.stepped(RunEvent.CommittedStep(record, peakBytes: peakBytes)))
                    recorder.record(record)
                case .recordValidation(let record): recorder.record(record)
                case .journal(let entry):
                    if case .lost(_, let sentence) = entry {
                        lastFault = sentence
                        damage.examine(sentence)
                    }
                    // Who watches the run learns of other members at once.
                    if case .membership = entry { statusAt = MonotonicClock.now }
                    recorder.journal(entry, at: machine.progress)
                    if case .began = entry { options.hears(.began) }
                case .evict(_, let peer, let incarnation, _):
                    peers.forget(peer)
                    options.hears(.evicted(incarnation: incarnation))
                case .confirmSuccession:
                    if let known = try? RunHistory(options.directory).fencing, known > options.fencing {
                        events.push(.succeeded(fencing: known))
                    }
                case .log(let level, let sentence): recorder.log(level, sentence)
                case .refused(let sentence):
                    if let notice = refusals.notice(sentence, at: .now) { recorder.log(.warning, notice) }
                case .end(let outcome):
                    options.console.finish()
                    writer.write(status(machine, recorder.training, last, lastFault, outcome), isLast: true)
                    waitForGoodbye(of: told, atMost: outcome.kind == .stopped ? .milliseconds(300) : .seconds(2))
                    return outcome
                }
            }
            pending = []
            var milliseconds: Int32 = -1
            if let timer {
                let left = (timer - MonotonicClock.now).inNanoseconds
                milliseconds = left <= 0 ? 0 : Int32(min(60_000, (left + 999_999) / 1_000_000))
            }
            let taken = events.take(milliseconds: milliseconds)
            // The schedule's rates and the scores are numbers too.
            Arithmetic.restore()
            for event in taken {
                pending += machine.handle(event, at: MonotonicClock.now)
            }
            if let due = timer, MonotonicClock.now >= due {
                timer = nil
                pending += machine.handle(.tick, at: MonotonicClock.now)
            }
            if MonotonicClock.now >= statusAt {
                statusAt = MonotonicClock.now + .seconds(1)
                if let notice = refusals.flush(at: .now) { recorder.log(.warning, notice) }
                options.hears(.alive(completedSteps: machine.progress.completedSteps))
                // On the status's thread, where a slow disk holds nothing up.
                writer.perform { requests.take() }
                writer.write(status(machine, recorder.training, last, lastFault, nil))
            }
        }
    }

    private func status(
        _ machine: CoordinatorMachine,
        _ training: RunStatus.Training?,
        _ last: Coordination.StepRecord?,
        _ lastFault: String?,
        _ outcome: RunOutcome?
    ) -> RunStatus {
        let wait = outcome == nil ? machine.wait : nil
        return RunStatus(
            time: RunRecorder.time,
            coordinator: getpid(),
            endpoint: endpoint,
            job: options.job,
            completedSteps: machine.progress.completedSteps,
            totalSteps: setup.schedule.totalSteps,
            waitsFor: wait?.sentence,
            waitsSeconds: wait.map { (MonotonicClock.now - $0.since).seconds },
            lastFault: lastFault,
            outcome: outcome?.message,
            workers: machine.workers.map { worker in
                let timings = last?.workers.first { $0.worker == worker.worker }?.timings
                let seconds = last?.duration.seconds ?? 0
                func share(_ duration: Duration?) -> Double? {
                    duration.flatMap { seconds > 0 ? $0.seconds / seconds : nil }
                }
                return RunStatus.Worker(
                    worker: worker.worker,
                    host: worker.hostName,
                    process: worker.processID,
                    threads: worker.threads,
                    phase: worker.phase.description,
                    step: worker.step,
                    phaseSeconds: worker.inPhase.seconds,
                    silentSeconds: worker.silence.seconds,
                    isMember: worker.isMember,
                    imagesPerSecond: timings.flatMap { seconds > 0 ? Double($0.samples) / seconds : nil },
                    data: share(timings?.data),
                    compute: share(timings?.compute),
                    communication: share(timings.map { max(.zero, $0.communication - $0.hiddenCommunication) }),
                    wait: share(timings?.wait),
                    residentBytes: timings?.residentBytes,
                    slow: worker.slowness?.cause.description,
                    slowFactor: worker.slowness?.factor
                )
            },
            run: options.run,
            host: HostName.own,
            training: training
        )
    }

    /// Waits until workers that were told of the end have closed their connections.
    ///
    /// A socket that is closed over bytes which nobody has read, a heartbeat for one, resets its connection, and what was
    /// sent last may never be read at the other end.
    private func waitForGoodbye(of peers: [PeerID], atMost limit: Duration) {
        var left = Set(peers)
        let deadline = MonotonicClock.now + limit
        while !left.isEmpty, MonotonicClock.now < deadline {
            let milliseconds = max(1, (deadline - MonotonicClock.now).inNanoseconds / 1_000_000)
            for case .connectionLost(let peer) in events.take(milliseconds: Int32(clamping: milliseconds)) {
                left.remove(peer)
            }
        }
    }

    /// A sentence of the launcher's, for the log.
    package func say(_ sentence: String) { options.console.log(.notice, sentence) }

    private func send(_ bytes: [UInt8], to targets: [PeerID]) {
        for target in targets {
            // A peer that cannot be reached is reported as lost by the transport.
            if let identity = peers.identity(of: target) { try? server.send(bytes, to: identity) }
        }
    }

    private func configuration() -> CoordinatorConfiguration {
        let run = setup.configuration
        var timing = CoordinatorTiming()
        timing.heartbeatInterval = .milliseconds(Int(run.workers.heartbeatSeconds * 1000))
        timing.workerSilence = .milliseconds(Int(run.workers.timeouts.silenceSeconds * 1000))
        timing.coordinatorSilence = timing.workerSilence
        timing.gracePeriod = .milliseconds(Int(run.workers.graceSeconds * 1000))
        timing.joining = .milliseconds(Int(run.workers.timeouts.joinSeconds * 1000))
        timing.pausing = timing.joining
        for path in [
            \CoordinatorTiming.preparing, \.computing, \.reducing, \.applying, \.validating,
        ] {
            timing[keyPath: path] = .milliseconds(Int(run.workers.timeouts.phaseSeconds * 1000))
        }
        let validates = run.validates && !setup.folds.validation.isEmpty
        let checkpoint = run.checkpoint
        return CoordinatorConfiguration(
            job: options.job,
            fencing: options.fencing,
            protocolVersion: WireProtocol.version,
            programVersion: ProgramVersion.build,
            numericsProfile: setup.numericsProfile,
            datasetDigest: setup.datasetDigest,
            networkDigest: setup.networkDigest,
            resolvedConfiguration: run.resolvedYAML(),
            expectedWorkers: options.expectedWorkers,
            minimumWorkers: run.workers.minimum,
            maximumWorkers: max(options.expectedWorkers, run.workers.maximum),
            schedule: setup.schedule,
            validation: validates
                ? ValidationSchedule(
                    interval: .epochs(run.validation.everyEpochs),
                    sampleCount: UInt32(setup.folds.validation.count),
                    countsPerSample: RunPolicy.countsPerSample
                )
                : .never,
            checkpoints: CheckpointPolicy(
                everySteps: checkpoint.everySteps > 0 ? UInt64(checkpoint.everySteps) : nil,
                every: checkpoint.everyMinutes > 0 ? .milliseconds(Int(checkpoint.everyMinutes * 60_000)) : nil,
                best: checkpoint.keepBest,
                folder: FileSystem.absolute(options.directory.checkpoints)
            ),
            earlyStopPatience: setup.earlyStopPatience,
            onNonFinite: run.training.onNonFinite == .skip ? .skip : .stop,
            audits: setup.schedule.totalSteps >= UInt64(run.audit.minimumSteps)
                ? AuditPolicy(rate: run.audit.rate, seed: UInt64(run.run.seed)) : .none,
            bulkEndpoint: keeper.endpoints.first ?? "",
            timing: timing,
            tokenSeed: UInt64.random(in: .min ... .max)
        )
    }

    private func trainer(
        _ order: CheckpointOrder,
        metrics: (step: UInt64, values: [String: Double])?,
        records: [String: FileSeal]
    ) throws -> TrainerState {
        let batch = setup.configuration.globalBatchSize
        let state = order.progress
        // Figures belong to a checkpoint only where they were taken at its very state.
        let figures = metrics.flatMap { $0.step == state.completedSteps ? $0.values : nil } ?? [:]
        return TrainerState(
            network: setup.network.name,
            step: Int(state.completedSteps),
            epoch: order.epoch,
            cursor: order.stepInEpoch * batch,
            configuration: setup.configuration.resolvedYAML(),
            numericsProfile: setup.numericsProfile,
            datasetDigest: setup.datasetDigest,
            metrics: figures,
            state: try state.encoded(
                isComplete: setup.isComplete(state),
                run: options.run,
                records: records
            )
        )
    }
}

/// Looks, on the status's thread, for what somebody asks of the run, and at whether its folder is still there.
private final class RunRequestTaker: Sendable {
    private let options: CoordinatorShell.Options
    private let folder: RunFolderWatch
    private let events: EventQueue<CoordinatorMachine.Event>
    private let state: Mutex<State>

    private struct State: ~Copyable {
        let inbox: RunRequestInbox
        var isGone = false
    }

    init(
        _ options: CoordinatorShell.Options,
        _ folder: RunFolderWatch,
        _ events: EventQueue<CoordinatorMachine.Event>
    ) {
        self.options = options
        self.folder = folder
        self.events = events
        state = Mutex(State(inbox: RunRequestInbox(options.directory)))
    }

    func take() {
        let (requests, defects) = state.withLock { state -> ([RunRequest], [String]) in
            do {
                if options.run != nil { try folder.check() }
                state.isGone = false
            } catch {
                // Whatever stands there now is not this run's.
                defer { state.isGone = true }
                return ([], state.isGone ? [] : ["\(error) Nothing can be saved there any more."])
            }
            return state.inbox.take(run: options.run, session: options.session)
        }
        for defect in defects { options.console.log(.warning, defect) }
        for request in requests {
            let reason = "`pleura drain` by \(request.by)"
            if request.drain.isEmpty { events.push(.drainRequested(reason: reason)) }
            for worker in request.drain { events.push(.workerDrainRequested(worker, reason: reason)) }
        }
    }
}

/// The numbers by which the machine knows connections.
private final class PeerNumbers: Sendable {
    private struct State: Sendable {
        var numbers: [PeerIdentity: PeerID] = [:]
        var identities: [PeerID: PeerIdentity] = [:]
        var next: UInt64 = 1
    }

    private let state = Mutex(State())

    func number(of identity: PeerIdentity) -> PeerID {
        state.withLock { state in
            if let known = state.numbers[identity] { return known }
            let number = PeerID(state.next)
            state.next += 1
            state.numbers[identity] = number
            state.identities[number] = identity
            return number
        }
    }

    func identity(of number: PeerID) -> PeerIdentity? { state.withLock { $0.identities[number] } }

    func forget(_ number: PeerID) {
        state.withLock { state in
            if let identity = state.identities.removeValue(forKey: number) { state.numbers[identity] = nil }
        }
    }
}
