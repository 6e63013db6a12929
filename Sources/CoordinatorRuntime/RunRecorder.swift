import Configuration
package import Coordination
import Foundation
import Graph
import Messaging
package import ModelSetup
import Platform
import Reporting
package import RunFolder
import RunLinks
import Sampling
package import Storage

/// Keeps what a run leaves beside its checkpoints: metrics, TensorBoard events, the journal, the lines on the terminal.
///
/// Belongs to the coordinator's loop. A full disk costs lines, with one warning for each file, and never the run.
package final class RunRecorder {
    private let setup: RunSetup
    private let directory: RunDirectory
    /// Open from where the run begins.
    private var metrics: MetricsLog?
    private var board: TensorBoardLog?
    /// Steps below this one have their lines.
    private var firstStep: UInt64 = 0
    private let journal: Journal<JournalLine>
    private let console: Console
    private let incarnation: Int
    /// Events of coordinators before this one, which do not grow any more.
    private var closedEvents: [String: FileSeal] = [:]
    private let run: String?
    private var lastCommit: Instant
    /// Files of which a line has been lost.
    private var damaged: Set<String> = []
    /// The figures of the last validation, and the completed steps at which they were taken.
    package private(set) var lastMetrics: (step: UInt64, values: [String: Double])?
    /// The last step that was done, and the first of this process: when, and how many were done with it.
    private var lastStep: (epoch: Int, loss: Double, done: UInt64)?
    private var firstDone: (time: Instant, done: UInt64)?
    /// The best of `checkpoint.metric` so far.
    private var best: RunProgress.Best?

    package init(
        setup: RunSetup,
        directory: RunDirectory,
        fencing: UInt64,
        run: String? = nil,
        console: Console
    ) throws {
        self.setup = setup
        self.directory = directory
        self.console = console
        self.run = run
        incarnation = Int(truncatingIfNeeded: fencing)
        journal = try Journal.open(directory.journal).journal
        lastCommit = MonotonicClock.now
    }

    /// The run begins at `progress`: lines of later steps, which only lost workers had done, go, and what comes is appended.
    private func begin(at progress: RunProgress) {
        lastCommit = MonotonicClock.now
        best = progress.best
        keep("metrics.jsonl") {
            _ = try Metrics.cutBack(
                path: directory.metrics,
                toStep: Int(progress.completedSteps),
                validations: Int(progress.transition)
            )
            let known = try Metrics.read(path: directory.metrics)
            firstStep = UInt64((known.steps.last?.step ?? -1) + 1)
            // A checkpoint of this very state wants the figures.
            if let last = known.validations.last { note(last) }
            metrics = try MetricsLog(path: directory.metrics)
        }
        keep("TensorBoard's events") {
            for name in try FileSystem.names(in: directory.tensorBoard) where name.hasPrefix(TensorBoardLog.namePrefix)
            {
                closedEvents["tensorboard/\(name)"] = try FileSeal.of("\(directory.tensorBoard)/\(name)")
            }
            board = try TensorBoardLog(
                directory: directory.tensorBoard,
                startingAt: Int(firstStep),
                time: Self.time,
                // Two coordinators of a run can begin in one second.
                writer: "\(HostName.own)-\(incarnation)"
            )
        }
    }

    private func note(_ line: Reporting.ValidationRecord) {
        lastMetrics = (
            UInt64(line.step + 1),
            [
                "loss": line.loss, "mean_dice": line.meanDice, "positive_dice": line.positiveDice,
                "negative_dice": line.negativeDice, "images": Double(line.images), "positives": Double(line.positives),
            ]
        )
    }

    /// The figure that decides which network is the best.
    private var metric: RunConfiguration.Metric { setup.configuration.checkpoint.metric }

    package static var time: Double { Date().timeIntervalSince1970 }

    package func record(_ record: Coordination.StepRecord) {
        // The coordinator that died may have kept it.
        if record.step < firstStep { return }
        let now = MonotonicClock.now
        let seconds = (now - lastCommit).seconds
        lastCommit = now
        lastStep = (record.location.epoch, Double(record.losses.first ?? .nan), record.step + 1)
        firstDone = firstDone ?? (now, record.step + 1)
        let names = setup.layout.losses.map(\.name)
        var parts: [String: Double] = [:]
        for (name, value) in zip(names, record.losses).dropFirst() {
            // Without the "loss." that they all begin with.
            parts[String(name.dropFirst("loss.".count))] = Double(value)
        }
        let line = Reporting.StepRecord(
            step: Int(record.step),
            epoch: record.location.epoch,
            incarnation: incarnation,
            time: Self.time,
            seconds: seconds,
            loss: Double(record.losses.first ?? .nan),
            parts: parts,
            gradientNorm: record.gradientNorm,
            learningRate: Double(record.hyperparameters.learningRate),
            images: record.location.batch.sampleCount,
            workers: record.workers.map { worker in
                let timings = worker.timings
                return WorkerShare(
                    worker: Int(worker.worker),
                    images: Int(timings.samples),
                    imagesPerSecond: seconds > 0 ? Double(timings.samples) / seconds : 0,
                    data: timings.data.seconds,
                    compute: timings.compute.seconds,
                    communication: max(.zero, timings.communication - timings.hiddenCommunication).seconds,
                    wait: timings.wait.seconds
                )
            }
        )
        keep("metrics.jsonl") { try metrics?.append(line) }
        keep("TensorBoard's events") { try board?.write(line) }
        let total = Int(setup.schedule.totalSteps)
        console.step(
            line,
            done: Int(record.step) + 1,
            total: total,
            epochs: setup.schedule.epochCount,
            score: WorkProgress.Score(
                metric.label,
                last: lastMetrics?.values[metric.rawValue],
                best: best.map { metric.score($0.score) }
            )
        )
    }

    package func record(_ record: Coordination.ValidationRecord) {
        func value(_ name: String) -> Double { record.score.metrics.first { $0.name == name }?.value ?? .nan }
        let last = max(0, Int(record.progress.completedSteps) - 1)
        let epoch = setup.schedule.totalSteps > 0 ? setup.schedule.location(of: UInt64(last)).epoch : 0
        let line = Reporting.ValidationRecord(
            number: Int(record.progress.transition) - 1,
            step: last,
            epoch: epoch,
            time: Self.time,
            seconds: record.duration.seconds,
            loss: value("loss"),
            meanDice: value("mean_dice"),
            positiveDice: value("positive_dice"),
            negativeDice: value("negative_dice"),
            images: Int(value("images")),
            positives: Int(value("positives")),
            threshold: setup.configuration.validation.threshold,
            isBest: record.isBest
        )
        lastMetrics = (
            record.progress.completedSteps,
            Dictionary(record.score.metrics.map { ($0.name, $0.value) }, uniquingKeysWith: { first, _ in first })
        )
        // A round of validation is no part of the next step's time.
        lastCommit = MonotonicClock.now
        keep("metrics.jsonl") { try metrics?.append(line) }
        keep("TensorBoard's events") { try board?.write(line) }
        best = record.progress.best
        console.validation(
            line,
            by: metric.rawValue,
            best: best.map { .init(value: metric.score($0.score), steps: Int($0.completedSteps)) }
        )
    }

    /// How far the training is, for the run's status; nil before its first step.
    package var training: RunStatus.Training? {
        guard let lastStep, let firstDone else { return nil }
        func number(_ value: Double?) -> Double? { value.flatMap { $0.isFinite ? $0 : nil } }
        let done = lastStep.done - min(lastStep.done, firstDone.done)
        let left = setup.schedule.totalSteps - min(setup.schedule.totalSteps, lastStep.done)
        let seconds = (MonotonicClock.now - firstDone.time).seconds
        return RunStatus.Training(
            epoch: min(lastStep.epoch + 1, setup.schedule.epochCount),
            epochs: setup.schedule.epochCount,
            loss: number(lastStep.loss),
            metric: metric.label,
            score: number(lastMetrics?.values[metric.rawValue]),
            best: number(best.map { metric.score($0.score) }),
            bestSteps: best?.completedSteps,
            secondsLeft: done > 0 ? seconds / Double(done) * Double(left) : nil
        )
    }

    /// Appends to the journal; where the run begins, `progress` tells at what state.
    package func journal(_ entry: JournalEntry, at progress: RunProgress) {
        if case .began = entry { begin(at: progress) }
        keep("journal.jsonl") { try journal.append(JournalLine(entry, time: Self.time, run: run)) }
    }

    /// Waits until the lines so far are on the disk: a checkpoint must not outlive the lines that lead to it. For the
    /// thread that publishes checkpoints.
    package var synchronizer: @Sendable () throws -> Void { { [metrics] in try metrics?.synchronize() } }

    /// What the files that grow hold at this moment, by their names below the run's folder: a checkpoint that is ordered now
    /// vouches for them.
    package var seals: [String: FileSeal] {
        var seals = closedEvents
        seals["journal.jsonl"] = journal.seal
        if let metrics { seals["metrics.jsonl"] = metrics.seal }
        if let board { seals["tensorboard/\(FileSystem.name(of: board.path))"] = board.seal }
        return seals
    }

    package func log(_ level: LogLevel, _ sentence: String) { console.log(level, sentence) }

    private func keep(_ file: String, _ body: () throws -> Void) {
        do {
            try body()
        } catch {
            guard damaged.insert(file).inserted else { return }
            console.log(.warning, "A line of \(file) could not be kept: \(error) The run goes on.")
        }
    }
}
