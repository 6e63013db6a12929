import Foundation
import Glibc
import Platform
import Reporting
import Synchronization

/// How a run stands, as its coordinator writes it every second to `status.json` in the run's folder.
package struct RunStatus: Codable, Sendable, Equatable {
    /// One worker.
    package struct Worker: Codable, Sendable, Equatable {
        package var worker: UInt32
        package var host: String
        package var process: Int32
        package var threads: UInt32
        package var phase: String
        package var step: UInt64
        package var phaseSeconds: Double
        package var silentSeconds: Double
        package var isMember: Bool
        /// Of the last committed step: images a second, and where the time went, as shares of the step.
        package var imagesPerSecond: Double?
        package var data: Double?
        package var compute: Double?
        package var communication: Double?
        package var wait: Double?
        package var residentBytes: UInt64?
        /// Why it is slow, where it is: `compute`, `data` or `network`.
        package var slow: String?
        /// How many times as long as the others it takes.
        package var slowFactor: Double?

        package init(
            worker: UInt32,
            host: String,
            process: Int32,
            threads: UInt32,
            phase: String,
            step: UInt64,
            phaseSeconds: Double,
            silentSeconds: Double,
            isMember: Bool,
            imagesPerSecond: Double? = nil,
            data: Double? = nil,
            compute: Double? = nil,
            communication: Double? = nil,
            wait: Double? = nil,
            residentBytes: UInt64? = nil,
            slow: String? = nil,
            slowFactor: Double? = nil
        ) {
            self.worker = worker
            self.host = host
            self.process = process
            self.threads = threads
            self.phase = phase
            self.step = step
            self.phaseSeconds = phaseSeconds
            self.silentSeconds = silentSeconds
            self.isMember = isMember
            self.imagesPerSecond = imagesPerSecond
            self.data = data
            self.compute = compute
            self.communication = communication
            self.wait = wait
            self.residentBytes = residentBytes
            self.slow = slow
            self.slowFactor = slowFactor
        }
    }

    /// How far the training is, and how good.
    package struct Training: Codable, Sendable, Equatable {
        /// From 1.
        package var epoch: Int
        package var epochs: Int
        /// Of the last step; nil where it is no number.
        package var loss: Double?
        /// The figure that decides which network is the best: of the last validation, and the best so far with the steps that
        /// were done at it.
        package var metric: String
        package var score: Double?
        package var best: Double?
        package var bestSteps: UInt64?
        /// What the rest takes at the mean speed so far.
        package var secondsLeft: Double?

        package init(
            epoch: Int,
            epochs: Int,
            loss: Double?,
            metric: String,
            score: Double?,
            best: Double?,
            bestSteps: UInt64?,
            secondsLeft: Double?
        ) {
            self.epoch = epoch
            self.epochs = epochs
            self.loss = loss
            self.metric = metric
            self.score = score
            self.best = best
            self.bestSteps = bestSteps
            self.secondsLeft = secondsLeft
        }

        /// The first line of a status.
        func line(isOver: Bool) -> String {
            func fixed(_ value: Double?) -> String { value.map { String(format: "%.4f", $0) } ?? "-" }
            let after = bestSteps.map { " after \($0) steps" } ?? ""
            let left = secondsLeft.map { Columns.clock(.seconds(Int(min($0, 1e9)))) } ?? "-"
            return
                "epoch \(epoch)/\(epochs)  loss \(fixed(loss))  \(metric) \(fixed(score))  best \(fixed(best))\(after)"
                + (isOver ? "" : "  left \(left)")
        }
    }

    /// Seconds since 1970.
    package var time: Double
    package var coordinator: Int32
    /// Where workers reach the coordinator: `pleura worker --coordinator`.
    package var endpoint: String?
    package var job: String
    package var completedSteps: UInt64
    package var totalSteps: UInt64
    /// What is waited for, with its deadline; nil at the end.
    package var waitsFor: String?
    package var waitsSeconds: Double?
    package var lastFault: String?
    /// How the run ended, once it has.
    package var outcome: String?
    package var workers: [Worker]
    /// Which run it is, as `run.json` says; nil in those of earlier versions.
    package var run: String?
    /// The host of the coordinator.
    package var host: String?
    /// Nil before the first step, and in those of earlier versions.
    package var training: Training?

    package init(
        time: Double,
        coordinator: Int32,
        endpoint: String? = nil,
        job: String,
        completedSteps: UInt64,
        totalSteps: UInt64,
        waitsFor: String? = nil,
        waitsSeconds: Double? = nil,
        lastFault: String? = nil,
        outcome: String? = nil,
        workers: [Worker],
        run: String? = nil,
        host: String? = nil,
        training: Training? = nil
    ) {
        self.training = training
        self.time = time
        self.coordinator = coordinator
        self.endpoint = endpoint
        self.job = job
        self.completedSteps = completedSteps
        self.totalSteps = totalSteps
        self.waitsFor = waitsFor
        self.waitsSeconds = waitsSeconds
        self.lastFault = lastFault
        self.outcome = outcome
        self.workers = workers
        self.run = run
        self.host = host
    }

    /// Reads the status of the run in `directory`; throws where there is none.
    package static func read(_ directory: RunDirectory) throws -> RunStatus {
        guard FileSystem.exists(directory.status) else {
            if directory.exists {
                throw RunError.notBegun(directory.path)
            }
            throw RunError.notARun(directory.path)
        }
        let bytes = try OpenFile(directory.status, .read).readAll(limit: 1 << 24)
        do { return try JSONDecoder().decode(RunStatus.self, from: Data(bytes)) } catch {
            throw RunError.damaged("The status in \(directory.status) cannot be read: \(error)")
        }
    }

    /// Why the file at `path` is not provably a run's status, as in `OutputObstacle`; nil where it is.
    package static func foreignness(of path: String) -> String? {
        guard let bytes = try? OpenFile(path, .read).readAll(limit: 1 << 24) else { return "cannot be read" }
        let isOwn = (try? JSONDecoder().decode(RunStatus.self, from: Data(bytes))) != nil
        return isOwn ? nil : "is no status of a run"
    }

    /// What is known of the coordinator beside what it has written itself.
    package enum Liveness: Sendable, Equatable {
        /// It runs, and has written nothing for so many seconds where that is long.
        case running(silence: Double?)
        /// Nobody leads the run.
        case dead
        /// It is of another host and file systems differ in what they tell; for how long it has written nothing.
        case unknown(silence: Double?)

        /// Asks the run's lock, which the kernel lets go of with its holder, and not clocks, which differ between hosts.
        package static func of(_ directory: RunDirectory) -> Liveness {
            func silence() -> Double? { FileSystem.age(of: directory.status).flatMap { $0 > patience ? $0 : nil } }
            switch RunLock.state(of: directory) {
            case .held: return .running(silence: silence())
            case .free: return .dead
            case .unknown: return .unknown(silence: silence())
            }
        }

        /// Seconds without a new status after which that is worth a word: it is written every second.
        private static let patience = 10.0
    }

    /// Whether the run goes on no more, in order or not.
    package func isOver(_ liveness: Liveness) -> Bool { outcome != nil || liveness == .dead }

    /// The status as a table for people; `directory` is what they call the run. In `columns` too few for all, what matters
    /// least is left out.
    package func table(_ liveness: Liveness, of directory: RunDirectory, columns: Int? = nil) -> String {
        func fixed(_ value: Double?, _ decimals: Int = 1) -> String {
            value.map { String(format: "%.\(decimals)f", $0) } ?? "-"
        }
        func share(_ value: Double?) -> String { value.map { String(format: "%.0f %%", 100 * $0) } ?? "-" }
        var lines = training.map { [$0.line(isOver: isOver(liveness))] } ?? []
        lines.append("\(job): \(completedSteps) of \(totalSteps) steps are committed")
        if let outcome {
            lines.append("ended: \(outcome)")
        } else if liveness == .dead {
            lines.append(
                "its coordinator (process \(coordinator)) was stopped or killed: nobody leads the run. "
                    + "`pleura resume \(directory.path)` goes on."
            )
        } else if case .running(let silence?) = liveness {
            lines.append(
                "its coordinator (process \(coordinator)) runs and has written nothing for \(Int(silence)) s: it stands "
                    + "still, or its disk does"
            )
        } else if case .unknown(let silence?) = liveness {
            lines.append(
                "its coordinator (process \(coordinator)\(host.map { " on \($0)" } ?? "")) has written nothing for "
                    + "\(Int(silence)) s; whether it runs cannot be told from this host"
            )
        } else if let waitsFor {
            lines.append("waits for \(waitsFor), for \(fixed(waitsSeconds)) s")
        }
        if let lastFault { lines.append("last fault: \(lastFault)") }
        var rows = [
            [
                "worker", "host", "process", "phase", "step", "for s", "images/s", "data", "compute", "network", "wait",
                "MiB", "slow",
            ]
        ]
        for worker in workers {
            rows.append([
                "\(worker.worker)", worker.host, "\(worker.process)",
                worker.isMember ? worker.phase : "joins: \(worker.phase)",
                "\(worker.step)", fixed(worker.phaseSeconds), fixed(worker.imagesPerSecond), share(worker.data),
                share(worker.compute), share(worker.communication), share(worker.wait),
                worker.residentBytes.map { "\($0 >> 20)" } ?? "-",
                worker.slow.map { "\($0) ×\(fixed(worker.slowFactor))" } ?? "-",
            ])
        }
        if workers.isEmpty { return lines.joined(separator: "\n") }
        var widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        for name in ["process", "wait", "data", "network", "compute", "for s", "MiB", "host"] {
            guard let columns, widths.reduce(-2, { $0 + $1 + 2 }) > columns,
                let column = rows[0].firstIndex(of: name)
            else { continue }
            for row in rows.indices { rows[row].remove(at: column) }
            widths.remove(at: column)
        }
        lines += rows.map { row in
            let cells = zip(row, widths).map { $0 + String(repeating: " ", count: $1 - $0.count) }
            return String(cells.joined(separator: "  ").reversed().drop { $0 == " " }.reversed())
        }
        return lines.joined(separator: "\n")
    }
}

extension RunDirectory {
    /// How the run stands, as JSON; written every second while it lasts.
    package var status: String { "\(path)/status.json" }
}
