import Configuration
import Coordination
import Diagnostics
import Foundation
import Graph
import KernelSelection
import ModelSetup
import Networks
import Optimization
import Platform
import Radiography
import Reporting
package import RunFolder
import Sampling
package import Storage

/// Makes a run's page, `report.html`, of what is in its folder.
package struct RunReportBuilder {
    /// Radiographs in the grid, half of them positives where there are as many.
    private static let pictureCount = 12
    /// Sides of the grid's pictures in pixels: outlines are coarse below, and the page large above.
    private static let pictureSides = 256...384

    private let directory: RunDirectory
    private let configuration: RunConfiguration
    private let setup: RunSetup?
    private let dataset: Dataset?
    private let metrics: Metrics
    private let files: [CheckpointContents]
    private var notes: [String]

    /// Writes the page of the run in `directory`; returns sentences about what it lacks.
    ///
    /// `dataset` is the run's where the caller has it open; else it is opened where the configuration says. Without it
    /// the page has no radiographs. Blocks for a second or two.
    @discardableResult
    package static func write(_ directory: RunDirectory, dataset: Dataset? = nil) throws -> [String] {
        try directory.requireOwnReport()
        var builder = try RunReportBuilder(directory, dataset)
        let report = builder.report()
        try report.write(to: directory.report)
        try RunManifest.note(FileSystem.name(of: directory.report), in: directory)
        return builder.notes
    }

    private init(_ directory: RunDirectory, _ dataset: Dataset?) throws {
        guard directory.exists else { throw RunError.notARun(directory.path) }
        self.directory = directory
        configuration = try RunConfiguration.load(path: directory.configuration)
        metrics = FileSystem.exists(directory.metrics) ? try Metrics.read(path: directory.metrics) : Metrics()
        var damaged: [String]
        (files, damaged) = try CheckpointChoice.files(directory)
        if !metrics.unreadableLines.isEmpty {
            damaged.append("\(metrics.unreadableLines.count) lines of \(directory.metrics) cannot be read.")
        }
        do {
            let opened = try dataset ?? Dataset.open(directory.shards(configuration.data.shards))
            let digest = opened.manifest.datasetDigest.description
            if let trained = files.last?.trainer.datasetDigest, trained != digest {
                throw RunError.data(
                    "\(opened.directory) holds another data set (\(digest.prefix(16))…) than the run was trained on "
                        + "(\(trained.prefix(16))…)."
                )
            }
            setup = try RunSetup(configuration, dataset: opened)
            self.dataset = opened
        } catch let error as any ReportableError {
            damaged.append("The report has no radiographs: \(error)")
            setup = nil
            self.dataset = nil
        }
        notes = damaged
    }

    private mutating func report() -> RunReport {
        var report = RunReport(title: configuration.displayName, status: status)
        report.facts = facts
        report.metrics = metrics
        report.checkpoints = checkpointRows
        report.checkpointMetric = configuration.checkpoint.metric.rawValue
        let best = CheckpointChoice.ranked(files, by: configuration.checkpoint).first
        report.chosen = (best ?? files.last).map(chosen)
        report.configuration = configuration.resolvedYAML(documented: true)
        report.footer = "Written by Pleura \(ProgramVersion.current) on \(Self.text(Date()))"
        guard let dataset, let setup, !setup.folds.validation.isEmpty, !files.isEmpty else { return report }
        do {
            let choice = try CheckpointChoice(
                directory.path,
                best == nil ? .newest : .best,
                kernels: KernelVariant.selected(environment: ProcessInfo.processInfo.environment).tables
            )
            // Heading and radiographs are of one network, also where the best one is damaged.
            report.chosen = chosen(choice.model.checkpoint)
            // A rule that was searched with another checkpoint says nothing about this one.
            let stored = try SegmentationRule.read(directory).flatMap { $0.step == choice.model.step ? $0 : nil }
            let rule = stored?.rule ?? .threshold(Float(choice.model.configuration.validation.threshold))
            report.pictures = try pictures(
                choice.model,
                dataset,
                setup.folds.validation,
                rule: rule,
                flips: stored?.flip ?? false
            )
            report.facts.append(
                RunReport.Fact(
                    "Outlines",
                    "step \(choice.model.step), \(rule.words)\(stored?.flip ?? false ? ", flip" : "")"
                )
            )
        } catch {
            notes.append("The report has no radiographs: \(error)")
        }
        return report
    }

    // MARK: Radiographs

    private func pictures(
        _ model: InferenceModel,
        _ dataset: Dataset,
        _ validation: [Int],
        rule: MaskRule,
        flips: Bool
    ) throws -> [RunReport.Picture] {
        let shown = Self.chosen(
            validation.filter(dataset.isPositive),
            validation.filter { !dataset.isPositive($0) },
            count: Self.pictureCount
        )
        let pool = try InferencePool(model, threads: min(8, UsableProcessors.count))
        defer { pool.close() }
        let side = min(Self.pictureSides.upperBound, max(Self.pictureSides.lowerBound, dataset.size))
        return try pool.map(shown.count) { index, engine in
            let sample = shown[index]
            let pixels = try dataset.image(sample)
            let truth = dataset.mask(of: sample)
            let mask = Postprocessing(rule: rule).mask(
                of: engine.probabilities(of: pixels, side: dataset.size, flips: flips),
                size: model.size
            )
            let image = GrayImage(width: dataset.size, height: dataset.size, pixels: pixels).squared(to: side)
            return RunReport.Picture(
                title: dataset.id(of: sample),
                png: RasterFile.png(image.pixels, width: side, height: side),
                width: side,
                height: side,
                truth: truth.downscaled(to: side),
                prediction: mask.downscaled(to: side),
                dice: ImageCounts(prediction: mask, truth: truth).dice
            )
        }
    }

    /// Up to `count` samples: positives first, half of them where there are as many of both, spread over the fold.
    static func chosen(_ positives: [Int], _ negatives: [Int], count: Int) -> [Int] {
        let half = count / 2
        let positiveCount = min(positives.count, max(half, count - negatives.count))
        let negativeCount = min(negatives.count, count - positiveCount)
        func spread(_ samples: [Int], _ count: Int) -> [Int] { (0..<count).map { samples[$0 * samples.count / count] } }
        return spread(positives, positiveCount) + spread(negatives, negativeCount)
    }

    // MARK: Tables

    private var status: String {
        guard let newest = files.last else { return "nothing saved" }
        let step = newest.trainer.step
        let progress = try? RunProgress(newest.trainer, path: newest.path)
        if progress?.stoppedEarly == true { return "stopped early at step \(step)" }
        guard let setup else { return "saved at step \(step)" }
        let total = Int(setup.schedule.totalSteps)
        return step >= total ? "complete" : "stopped at step \(step) of \(total)"
    }

    private var facts: [RunReport.Fact] {
        var facts: [RunReport.Fact] = []
        func add(_ name: String, _ value: String) { facts.append(RunReport.Fact(name, value)) }
        let network = configuration.network
        let options = network.options.isEmpty ? "" : ", " + network.optionsText
        let words = (try? network.family().words) ?? network.architecture.rawValue
        let count = setup.map { " · \(Self.grouped($0.plan.parameterCount)) parameters" } ?? ""
        add("Network", "\(words)\(options)\(count)")
        if let dataset, let setup {
            add(
                "Data",
                "\(dataset.count) radiographs, \(setup.size) × \(setup.size): \(setup.folds.training.count) train, "
                    + "\(setup.folds.validation.count) validate"
            )
        }
        let training = configuration.training
        add("Global batch", "\(training.microbatches) microbatches × \(training.microbatchSize) images")
        add(
            "Optimizer",
            "\(configuration.optimizer.name.rawValue), learning rate \(configuration.optimizer.learningRate), "
                + configuration.schedule.name.rawValue
        )
        add("Numerics", "\(configuration.precision.rawValue), seed \(configuration.run.seed)")
        let threads = configuration.workers.threads.count.map { "\($0) thread\($0 == 1 ? "" : "s")" }
        add(
            "Workers",
            "\(configuration.workers.count) × \(threads ?? "the threads of their share of the cores"), "
                + configuration.workers.transport.rawValue
        )
        if let first = metrics.steps.first, first.time.isFinite, first.time > 0 {
            add("Started", Self.text(Date(timeIntervalSince1970: first.time - max(0, first.seconds))))
        }
        if let newest = files.last, let hash = try? newest.weightsHash() {
            add("Weights", "sha256 \(hash.description.prefix(16))…")
        }
        return facts
    }

    private func chosen(_ file: CheckpointContents) -> RunReport.ChosenNetwork {
        let best = CheckpointChoice.ranked(files, by: configuration.checkpoint).first
        return RunReport.ChosenNetwork(
            step: file.trainer.step,
            epoch: epochs[file.trainer.step - 1] ?? max(0, file.trainer.epoch),
            isBest: file.path == best?.path,
            metrics: file.trainer.metrics
        )
    }

    /// The epochs of steps, by the steps' numbers.
    private var epochs: [Int: Int] {
        Dictionary(metrics.steps.map { ($0.step, $0.epoch) }, uniquingKeysWith: { _, last in last })
    }

    private var checkpointRows: [RunReport.CheckpointRow] {
        let metric = configuration.checkpoint.metric
        let best = CheckpointChoice.ranked(files, by: configuration.checkpoint).first
        let epochs = epochs
        return files.map { file in
            let trainer = file.trainer
            return RunReport.CheckpointRow(
                name: FileSystem.name(of: file.path),
                step: trainer.step,
                epoch: epochs[trainer.step - 1] ?? max(0, trainer.epoch),
                metric: trainer.metrics[metric.rawValue],
                bytes: (try? FileSystem.size(of: file.path)) ?? 0,
                isBest: file.path == best?.path,
                isLatest: file.path == files.last?.path
            )
        }
    }

    private static func grouped(_ number: Int) -> String {
        var digits = String(number)
        var end = digits.count - 3
        while end > 0 {
            digits.insert(",", at: digits.index(digits.startIndex, offsetBy: end))
            end -= 3
        }
        return digits
    }

    /// A moment as `2026-03-14 15:09 UTC`.
    private static func text(_ date: Date) -> String {
        let formatter = DateFormatter()
        formatter.locale = Locale(identifier: "en_US_POSIX")
        formatter.timeZone = TimeZone(secondsFromGMT: 0)
        formatter.dateFormat = "yyyy-MM-dd HH:mm"
        return formatter.string(from: date) + " UTC"
    }
}
