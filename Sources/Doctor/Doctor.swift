package import Configuration
import Foundation
import Kernels
import Launching
import Messaging
import ModelSetup
import Platform
import RunFolder
import Storage
import Synchronization

/// Looks at every host of a run before its first step.
package struct Doctor {
    private let setup: RunSetup
    private let plan: MemoryPlan
    private let dataset: Dataset
    private let list: HostList
    private let bind: String
    private let readsData: Bool

    /// The most that clocks may differ before it is said: times in logs of two hosts are then hard to compare.
    private static let clockTolerance = 1.0
    /// Checkpoints that there should be room for.
    private static let wantedCheckpoints = 2

    /// A doctor for a run of `configuration` on `hosts`; nil for this machine alone.
    ///
    /// - Parameters:
    ///   - bind: where the coordinator is to listen.
    ///   - readsData: reads every byte of every host's data set, which takes as long as that takes.
    ///
    /// Throws where the configuration cannot be run at all: its data set is not there, or they do not fit each other.
    package init(_ configuration: RunConfiguration, hosts: HostList?, bind: String, readsData: Bool) throws {
        var configuration = configuration
        configuration.data.shards = FileSystem.absolute(configuration.data.shards)
        if let hosts {
            list = hosts
        } else {
            var host = HostList.Host()
            host.destination = "local"
            host.name = "this machine"
            host.workers = configuration.workers.count
            host.folder = configuration.run.directory.isEmpty ? "." : FileSystem.absolute(configuration.run.directory)
            list = HostList([host])
        }
        guard FileSystem.exists("\(configuration.data.shards)/\(DatasetManifest.fileName)") else {
            throw RunError.noShards(configuration.data.shards)
        }
        dataset = try Dataset.open(configuration.data.shards)
        setup = try RunSetup(configuration, dataset: dataset)
        plan = try MemoryPlan(setup, programs: ProgramSet(setup))
        self.bind = bind
        self.readsData = readsData
    }

    /// Looks at all hosts, at the same time, and returns what it finds.
    package func examine() -> DoctorReport {
        var report = DoctorReport()
        examineSplit(&report)
        examineRunFolder(&report)
        var trial: PortTrial?
        let port = Endpoint.hostAndPort(bind).flatMap { UInt16($0.port) } ?? 0
        do { trial = try PortTrial(port: port) } catch {
            report.add(
                "run",
                "port",
                .failure,
                "the coordinator cannot listen on port \(port): \(error)",
                "give another port with --bind, or end what uses it"
            )
        }
        let host = list.coordinator ?? "0.0.0.0"
        let endpoint = trial.map { "tcp://\(host):\($0.port)" }
        let visits = list.hosts.map { Visit($0) }
        concurrently(visits) { $0.begin(question(for: $0.host, endpoint)) }
        let peers = visits.compactMap(\.peer)
        concurrently(visits) { visit in visit.reach(peers.filter { $0.name != visit.host.name }) }
        for visit in visits {
            examine(visit, isListening: trial != nil, &report)
            visit.close()
        }
        // Open until all have tried it.
        withExtendedLifetime(trial) {}
        return report
    }

    private func concurrently(_ visits: [Visit], _ work: @escaping @Sendable (Visit) -> Void) {
        let done = CountDown(visits.count)
        for visit in visits {
            let thread = Thread {
                work(visit)
                done.signal()
            }
            thread.stackSize = 1 << 20
            thread.start()
        }
        done.wait()
    }

    private func question(for host: HostList.Host, _ endpoint: String?) -> ProbeQuestion.Look {
        // Nothing listens where there is no endpoint: that was said once, and is not asked of each host.
        let local = endpoint.map { Endpoint.reachable($0, at: "127.0.0.1") }
        return ProbeQuestion.Look(
            folder: host.folder,
            coordinator: (host.isLocal ? local : endpoint) ?? "",
            address: host.address ?? (host.isLocal ? list.coordinator : nil),
            shards: host.shards ?? (host.fetches ? nil : setup.configuration.data.shards),
            datasetDigest: setup.datasetDigest,
            readsData: readsData
        )
    }

    // MARK: The run as a whole

    private func examineSplit(_ report: inout DoctorReport) {
        // Where threads are left to the machines, each worker has work for at least one.
        let own = setup.configuration.workers.threads.count ?? 1
        let threads = list.seats.reduce(0) { $0 + ($1.host.threads ?? own) }
        let microbatches = setup.configuration.training.microbatches
        let rounds = (microbatches + threads - 1) / threads
        let share = 100 * microbatches / (rounds * threads)
        let found = "\(microbatches) microbatches on \(threads) threads of \(list.seats.count) workers"
        if microbatches < list.seats.count {
            report.add(
                "run",
                "split",
                .warning,
                "\(found): some workers have nothing to do",
                "raise training.microbatches to at least \(threads), which changes the batch, or start fewer workers"
            )
        } else if microbatches % threads != 0 {
            report.add(
                "run",
                "split",
                .warning,
                "\(found): not divisible, \(share) % of the threads' time is used",
                "a multiple of \(threads) for training.microbatches, or a divisor of it for the threads, uses all"
            )
        } else {
            report.add("run", "split", .good, "\(found): \(rounds) each")
        }
    }

    private func examineRunFolder(_ report: inout DoctorReport) {
        let configured = setup.configuration.run.directory
        let directory = FileSystem.absolute(configured.isEmpty ? "." : configured)
        var place = directory
        while !FileSystem.exists(place), place != "/" { place = FileSystem.parent(of: place) }
        let needed = plan.state * (setup.configuration.checkpoint.keepLast + Self.wantedCheckpoints)
        do {
            try FileSystem.requireWritable(place)
            let free = try FileSystem.availableBytes(at: place)
            let found = "\(Self.size(free)) free for the run's folder, its checkpoints take about \(Self.size(needed))"
            if free < needed {
                report.add("run", "disk", .failure, found, "make room in \(place), or keep fewer: checkpoint.keep_last")
            } else {
                report.add("run", "disk", .good, found)
            }
        } catch {
            report.add("run", "disk", .failure, "\(error)", "give another folder with --set run.directory=FOLDER")
        }
    }

    // MARK: A host

    private func examine(_ visit: Visit, isListening: Bool, _ report: inout DoctorReport) {
        let host = visit.host
        let name = host.name
        func add(_ check: String, _ level: DoctorReport.Level, _ found: String, _ advice: String = "") {
            report.add(name, check, level, found, advice)
        }
        let look: ProbeAnswer.Look
        switch visit.outcome {
        case .success(let answer): look = answer
        case .failure(let problem):
            let place = host.program ?? "\(host.folder)/pleura, or `pleura` on the PATH,"
            let isReached = "`\(RemoteWorkers.shownCommand(of: host)) true` must work without a password, and "
            let way = host.isLocal ? "" : isReached
            add("reach", .failure, problem.sentence, "\(way)\(place) must be this program there")
            return
        }
        add("reach", .good, host.isLocal ? "without ssh" : "by ssh as \(host.destination)")
        let build = ProgramVersion.build
        if look.program == build {
            add("program", .good, build)
        } else {
            let place = host.program ?? "\(host.folder)/pleura"
            add("program", .failure, "\(look.program), here \(build)", "copy this program to \(place) there")
        }
        examineClock(visit, add)
        examineProcessor(host, look, add)
        examineMemory(host, look, add)
        examineData(host, look, add)
        guard isListening else { return }
        if let problem = look.coordinatorProblem {
            add(
                "coordinator",
                .failure,
                problem,
                "open the port for that host, choose one with --bind tcp://0.0.0.0:PORT, or name this machine's address "
                    + "with `coordinator:` in the list of hosts"
            )
        } else {
            add("coordinator", .good, "reached at \(look.coordinator)")
        }
        guard list.hosts.count > 1 else { return }
        if visit.unreached.isEmpty {
            add("others", .good, "all reached, at ports of the system's choice")
        } else {
            add(
                "others",
                .failure,
                visit.unreached.map { "\($0.name): \($0.problem)" }.joined(separator: "; "),
                "open ports between the hosts, or say with `address:` how each is reached"
            )
        }
    }

    private typealias Add = (String, DoctorReport.Level, String, String) -> Void

    private func examineClock(_ visit: Visit, _ add: Add) {
        guard let (difference, uncertainty) = visit.clock else { return }
        let found = String(format: "%+.3f s from here, ± %.3f", difference, uncertainty)
        if abs(difference) - uncertainty > Self.clockTolerance {
            add("clock", .warning, found, "set the clocks (NTP): logs are hard to compare; results do not depend on it")
        } else {
            add("clock", .good, found, "")
        }
    }

    private func examineProcessor(_ host: HostList.Host, _ look: ProbeAnswer.Look, _ add: Add) {
        let threads =
            host.workers
            * (host.threads ?? setup.configuration.threads(usable: look.cores, workers: host.workers))
        let found = "\(look.variant)\(look.hasDotProduct ? " with bf16" : ""), \(look.cores) cores, \(look.processor)"
        if setup.precision == .bfloat16, !look.hasDotProduct {
            add(
                "processor",
                .warning,
                found,
                "it has no AVX512_BF16: precision bf16 gives the same bits there, many times slower"
            )
        } else if look.variant == "reference" {
            add("processor", .warning, found, "without AVX2, scalar kernels give the same bits, many times slower")
        } else if threads > look.cores {
            add("processor", .warning, found, "\(threads) compute threads share \(look.cores) cores: give fewer")
        } else {
            add("processor", .good, found, "")
        }
        if let difference = look.arithmetic {
            add(
                "arithmetic",
                .warning,
                "something that is loaded into programs there changes it: it \(difference)",
                "the program sets it back and results are the same bits; look at LD_PRELOAD and /etc/ld.so.preload there"
            )
        }
    }

    private func examineMemory(_ host: HostList.Host, _ look: ProbeAnswer.Look, _ add: Add) {
        var own = plan
        own.threads = host.threads ?? setup.configuration.threads(usable: look.cores, workers: host.workers)
        let needed = (own.bytes + own.checkpoint) * host.workers
        let found = "\(host.workers) × \(Self.size(own.bytes + own.checkpoint)) of \(Self.size(look.memoryBytes)) free"
        if needed > look.memoryBytes {
            add(
                "memory",
                .failure,
                "\(found) (\(look.memorySource))",
                "start fewer workers or threads there, or set memory: recompute or a smaller training.microbatch_size"
            )
        } else {
            add("memory", .good, found, "")
        }
    }

    private func examineData(_ host: HostList.Host, _ look: ProbeAnswer.Look, _ add: Add) {
        let bytes = dataset.manifest.shards.reduce(0) { $0 + $1.bytes }
        switch look.data {
        case .same: add("data", .good, "\(look.dataDetail)\(readsData ? ", every hash compared" : "")", "")
        case .absent where host.shards != nil:
            add("data", .failure, "there is none in \(host.shards ?? "")", "copy the shards, or leave `shards:` out")
        case .absent: add("data", .good, "none yet; \(Self.size(bytes)) are fetched", "")
        case .other where host.shards != nil, .damaged where host.shards != nil:
            add("data", .failure, look.dataDetail, "copy the job's shards there, or leave `shards:` out")
        case .other, .damaged:
            add("data", .warning, look.dataDetail, "nothing need be done: the job's are fetched")
        }
        let needed = look.data == .same ? 0 : bytes
        if let problem = look.diskProblem {
            add("disk", .failure, problem, "give another `folder:`")
        } else if let free = look.diskBytes {
            let found = "\(Self.size(free)) free in \(host.folder)"
            if free < needed {
                add("disk", .failure, "\(found), the data set takes \(Self.size(needed))", "make room there")
            } else if needed > host.cacheGiB << 30 {
                add("disk", .failure, "the data set takes \(Self.size(needed))", "raise `cache_gib:`")
            } else {
                add("disk", .good, found, "")
            }
        }
    }

    private static func size(_ bytes: Int) -> String {
        bytes >= 10 << 30 ? "\(bytes >> 30) GiB" : "\((bytes + 1 << 19) >> 20) MiB"
    }
}

/// One host's probe, and what it has said.
private final class Visit: Sendable {
    /// Why a host gave no answer.
    struct Problem: Error {
        var sentence: String
    }

    private struct State: Sendable {
        var probe: ProbedHost?
        var outcome: Result<ProbeAnswer.Look, Problem> = .failure(Problem(sentence: "not asked"))
        var clock: (difference: Double, uncertainty: Double)?
        var unreached: [(name: String, problem: String)] = []
    }

    let host: HostList.Host
    private let state = Mutex(State())

    init(_ host: HostList.Host) { self.host = host }

    var outcome: Result<ProbeAnswer.Look, Problem> { state.withLock { $0.outcome } }
    /// Seconds by which its clock is ahead of this one's, and half the time of a question and its answer.
    var clock: (difference: Double, uncertainty: Double)? { state.withLock { $0.clock } }
    var unreached: [(name: String, problem: String)] { state.withLock { $0.unreached } }

    /// Where its probe listens.
    var peer: ProbeQuestion.Peer? {
        guard case .success(let look) = outcome, let address = look.address else { return nil }
        return ProbeQuestion.Peer(name: host.name, address: address, port: look.port)
    }

    /// Starts the probe and asks how the host stands. Blocks the calling thread.
    func begin(_ question: ProbeQuestion.Look) {
        do {
            let probe = try ProbedHost(host)
            state.withLock { $0.probe = probe }
            // Whether anybody is there at all, before a question whose answer may take hours.
            _ = try probe.ask(ProbeQuestion(clock: true), within: .seconds(60))
            let limit: Duration = question.readsData ? .seconds(24 * 3600) : .seconds(60)
            guard let look = try probe.ask(ProbeQuestion(look: question), within: limit).look else {
                throw ProbeError.otherVersion
            }
            for _ in 0..<5 {
                let before = Date().timeIntervalSince1970
                let time = try probe.ask(ProbeQuestion(clock: true), within: .seconds(10)).time
                let after = Date().timeIntervalSince1970
                guard let time else { break }
                state.withLock { state in
                    let uncertainty = (after - before) / 2
                    if uncertainty < state.clock?.uncertainty ?? .infinity {
                        state.clock = (time - (before + after) / 2, uncertainty)
                    }
                }
            }
            state.withLock { $0.outcome = .success(look) }
        } catch {
            state.withLock { $0.outcome = .failure(Problem(sentence: "\(error)")) }
        }
    }

    /// Asks which of the others it reaches. Blocks the calling thread.
    func reach(_ peers: [ProbeQuestion.Peer]) {
        guard case .success = outcome, !peers.isEmpty, let probe = state.withLock({ $0.probe }) else { return }
        let limit = Duration.seconds(10 + 4 * peers.count)
        do {
            let answers = try probe.ask(ProbeQuestion(peers: peers), within: limit).peers ?? []
            let unreached = zip(peers, answers).filter { !$1.isEmpty }.map { (name: $0.name, problem: $1) }
            state.withLock { $0.unreached = unreached }
        } catch {
            state.withLock { $0.outcome = .failure(Problem(sentence: "\(error)")) }
        }
    }

    /// Ends the probe.
    func close() { state.withLock { $0.probe }?.close() }
}
