import CSystem
import Collectives
import Configuration
package import Coordination
import Foundation
package import KernelSelection
import Kernels
import Messaging
import ModelSetup
import Platform
import RunFolder
import RunLinks
import Synchronization
import Wire

/// A worker process: runs the worker machine's actions on sockets, threads and memory.
package final class WorkerShell: Sendable {
    private let options: WorkerOptions
    private let variant: KernelVariant
    private let events: EventQueue<WorkerMachine.Event>
    private let log: @Sendable (LogLevel, String) -> Void
    private let preparation: SerialThread

    private struct Parts: Sendable {
        var engine: WorkerEngine?
        var bulk: BulkClient?
        var source: DatasetSource?
    }
    private let parts = Mutex(Parts())
    /// What has been got done of the preparation: pieces fetched and stages finished.
    private let preparationProgress = Atomic<UInt64>(0)

    /// `log` is called from the loop's thread.
    package init(
        _ options: WorkerOptions,
        variant: KernelVariant,
        log: @escaping @Sendable (LogLevel, String) -> Void
    ) throws {
        self.options = options
        self.variant = variant
        self.log = log
        events = try EventQueue()
        preparation = try SerialThread(name: "pleura-prepare")
    }

    /// Asks the worker to end: from a signal handler's thread.
    package func leave(reason: String) { events.push(.leaveRequested(reason: reason)) }

    /// Ends what `run` has started; call it after that.
    package func close() {
        let (engine, bulk) = parts.withLock { ($0.engine, $0.bulk) }
        bulk?.close()
        engine?.close()
    }

    /// Serves the coordinator until the run ends; blocks the calling thread, which runs the loop.
    package func run() throws -> WorkerOutcome {
        let events = events
        let log = log
        let notices = Mutex(NoticeLimit())
        let decoder = Mutex(PlanningDecoder())
        let transport = try ZeroMQClient(
            connect: options.coordinator,
            identity: identity("worker"),
            limits: TransportLimits(
                sends: WireProtocol.maximumWorkerMessageBytes,
                receives: WireProtocol.maximumCoordinatorMessageBytes
            ),
            curve: options.keys?.connecting
        ) { event in
            switch event {
            case .connected: events.push(.started)
            case .received(_, let bytes):
                do {
                    events.push(.message(try decoder.withLock { try $0.decode(bytes) }))
                } catch {
                    events.push(.failed(message: "The coordinator sent what is no message: \(error)", suspect: nil))
                }
            case .lost(_, let reason):
                if notices.withLock({ $0.allows(reason, at: .now) }) {
                    log(.warning, "The connection to the coordinator is gone: \(reason).")
                }
                events.push(.connectionLost)
            case .failed(let reason):
                events.push(.failed(message: "The coordinator cannot be heard any more: \(reason)", suspect: nil))
            case .dropped: break
            }
        }
        defer { transport.close() }
        var machine = WorkerMachine(
            configuration: WorkerConfiguration(
                protocolVersion: WireProtocol.version,
                programVersion: ProgramVersion.build,
                hostName: HostName.plain(options.host ?? HostName.own),
                hostIdentity: host,
                processID: ProcessInfo.processInfo.processIdentifier,
                threads: UInt32(options.threads),
                numericsProfiles: RunSetup.numericsProfiles,
                job: options.job,
                incarnation: options.incarnation,
                endpoints: [],
                datasetDigest: nil,
                coordinator: options.coordinator
            )
        )
        var pending = machine.handle(.started, at: MonotonicClock.now)
        var timer: Instant?
        while true {
            for action in pending {
                switch action {
                case .send(let message): try transport.send(WireProtocol.encode(message))
                case .startTimer(let moment): timer = moment
                case .prepare(let welcome): prepare(welcome)
                case .restore(let source): restore(source)
                case .beginStep(let work):
                    reach(.assigned, step: work.assignment.step, machine.number)
                    engine?.begin(work)
                case .abandonStep: engine?.abandon()
                case .apply(let step, let values, let wantsDigest):
                    engine?.apply(step: step, values, wantsStateDigest: wantsDigest)
                case .validate(let request):
                    reach(.validating, step: request.completedSteps, machine.number)
                    engine?.validate(request)
                case .streamSnapshot(let request): stream(request)
                case .log(let level, let sentence): log(level, sentence)
                case .exit(let outcome): return outcome
                }
            }
            pending = []
            switch machine.phase {
            case .reducing: reach(.reducing, step: machine.phaseStep, machine.number)
            case .reduced: reach(.reduced, step: machine.phaseStep, machine.number)
            default: break
            }
            var milliseconds: Int32 = -1
            if let timer {
                let left = (timer - MonotonicClock.now).inNanoseconds
                milliseconds = left <= 0 ? 0 : Int32(min(60_000, (left + 999_999) / 1_000_000))
            }
            for event in events.take(milliseconds: milliseconds) {
                pending += machine.handle(event, at: MonotonicClock.now)
            }
            if let due = timer, MonotonicClock.now >= due {
                timer = nil
                pending += machine.handle(
                    .tick(progress: preparationProgress.load(ordering: .relaxed) + (engine?.pool.progress ?? 0)),
                    at: MonotonicClock.now
                )
            }
        }
    }

    /// A name for a connection; with keys it begins with the key's, as the coordinator demands.
    private func identity(_ role: String) -> PeerIdentity {
        .random(role: options.keys.map { "\($0.name):\(role)" } ?? role)
    }

    private var host: String { options.host ?? PeerAddress.hostIdentity() }

    private func reach(_ point: PlannedFaults.Point, step: UInt64, _ worker: WorkerNumber?) {
        if let faults = options.plannedFaults, let worker { faults.reach(point, step: step, worker: worker) }
    }

    private func noteStage() { preparationProgress.add(1, ordering: .relaxed) }

    private var engine: WorkerEngine? { parts.withLock { $0.engine } }

    private func stream(_ request: CheckpointRequest) {
        let (engine, bulk) = parts.withLock { ($0.engine, $0.bulk) }
        guard let engine, let bulk else { return }
        engine.stream(request, over: bulk)
    }

    // MARK: Preparation

    /// Builds the engine and loads the state, off the loop; ends in `.prepared` or `.failed`.
    private func prepare(_ welcome: Welcome) {
        preparation.submit { [self] in
            do {
                events.push(.prepared(try prepared(welcome)))
            } catch {
                events.push(.failed(message: "\(error)", suspect: nil))
            }
        }
    }

    /// Loads the state of the run that this worker joins, off the loop; ends in `.prepared` or `.failed`.
    private func restore(_ resume: ResumeSource) {
        preparation.submit { [self] in
            do {
                let (engine, bulk, source) = parts.withLock { ($0.engine, $0.bulk, $0.source) }
                guard let engine, let bulk, let source else {
                    throw WorkerError.order("The coordinator sent a state before this worker was prepared.")
                }
                let checkpoint = try source.checkpoint(resume.file, folder: resume.folder, fetchingFrom: bulk)
                reach(.restoring, step: resume.completedSteps, engine.worker)
                try engine.state.load(checkpoint)
                noteStage()
                events.push(
                    .prepared(
                        Ready(
                            completedSteps: resume.completedSteps,
                            stateDigest: engine.state.partialDigest(step: resume.completedSteps),
                            datasetDigest: engine.setup.datasetDigest,
                            networkDigest: engine.setup.networkDigest
                        )
                    )
                )
            } catch {
                events.push(.failed(message: "\(error)", suspect: nil))
            }
        }
    }

    private func prepared(_ welcome: Welcome) throws -> Ready {
        let configuration = try RunConfiguration.parse(welcome.configuration, file: "the coordinator's configuration")
        let bulk = try BulkClient(
            // Where the coordinator listens everywhere, it is reached as this worker has reached it.
            endpoint: Endpoint.reachable(welcome.bulkEndpoint, beside: options.coordinator),
            identity: identity("bulk"),
            curve: options.keys?.connecting
        )
        parts.withLock { $0.bulk = bulk }
        let source = DatasetSource(
            digest: welcome.datasetDigest,
            shards: options.shards,
            configured: options.fetches ? nil : configuration.data.shards,
            cache: options.cache,
            cacheLimit: options.cacheLimit,
            noteProgress: { [self] in noteStage() }
        )
        parts.withLock { $0.source = source }
        let dataset = try source.open(fetchingFrom: bulk) { log(.info, $0) }
        reach(.preparing, step: welcome.resume?.completedSteps ?? 0, welcome.worker)
        noteStage()
        let setup = try RunSetup(configuration, dataset: dataset)
        if setup.precision == .bfloat16, !KernelVariant.hasDotProduct {
            log(
                .warning,
                "precision is bf16, and the processor of \(ProcessInfo.processInfo.hostName) has no AVX512_BF16: the same "
                    + "bits are computed without it, many times slower. All wait for this worker."
            )
        }
        noteStage()
        // The coordinator counts for this machine's workers together; those of other hosts are alone here.
        let programs = try ProgramSet(setup)
        try MemoryPlan(setup, programs: programs, threads: options.threads)
            .requireRoom(for: 1, in: .current(), of: setup)
        let transport: TransportChoice =
            switch configuration.workers.transport {
            case .auto: .auto
            case .sharedMemory: .sharedMemory
            case .zeromq: .zeromq
            }
        let engine = try WorkerEngine(
            setup: setup,
            programs: programs,
            dataset: dataset,
            variant: variant,
            threads: options.threads,
            worker: welcome.worker,
            incarnation: options.incarnation,
            job: welcome.job,
            transport: transport,
            listen: options.listen,
            advertisedHost: options.advertisedHost,
            host: host,
            // The words are the same; `none` is no protection.
            keys: PlaneKeys.Protection(rawValue: configuration.security.data.rawValue).flatMap {
                options.keys?.plane($0)
            },
            faults: options.faults,
            plannedFaults: options.plannedFaults,
            onRefusal: { [log] count, reason in
                log(.warning, "Refused \(count) connections or frames of the data plane so far; the last: \(reason).")
            }
        ) { [events] event in events.push(event) }
        if let defect = engine.allreduce.sharingDefect {
            log(.warning, "\(defect) Gradients go to workers of this host in frames, as to those of others.")
        }
        noteStage()
        var steps: UInt64 = 0
        if let resume = welcome.resume {
            let checkpoint = try source.checkpoint(resume.file, folder: resume.folder, fetchingFrom: bulk)
            try engine.state.load(checkpoint)
            steps = resume.completedSteps
        } else {
            engine.state.initialize()
        }
        noteStage()
        // Compiling and loading leave megabytes behind that a step has no use for.
        system_return_freed_memory()
        parts.withLock { $0.engine = engine }
        return Ready(
            completedSteps: steps,
            stateDigest: engine.state.digest(),
            datasetDigest: setup.datasetDigest,
            networkDigest: setup.networkDigest,
            endpoints: [try engine.allreduce.address.text]
        )
    }
}
