import Foundation
package import Storage
import Synchronization

/// The writer of `metrics.jsonl`: one JSON object on a line for each step and each validation.
///
/// Each line says its `kind`, `step` or `validation`, and ends with a checksum (`MetricsFile`). A line reaches the kernel before `append` returns, so it survives
/// a crash of the process. Any thread may append; lines never mix. `append` blocks for the write, so call it on a
/// thread that may.
package final class MetricsLog: Sendable {
    private let file: Mutex<AppendFile>
    private let path: String
    /// The file's own, so that nobody who appends waits for the disk behind `synchronize`.
    private let descriptor: Int32

    /// Opens the file for appending, and creates it where there is none.
    package init(path: String) throws(ReportingError) {
        let opened = try AppendFile(path: path)
        self.path = path
        descriptor = opened.descriptor
        file = Mutex(opened)
    }

    /// Waits until the lines so far are on the disk: they then survive a crash of the machine too.
    package func synchronize() throws(ReportingError) { try AppendFile.synchronize(descriptor, path: path) }

    /// Appends a step.
    package func append(_ record: StepRecord) throws(ReportingError) {
        try append(line: record.json)
    }

    /// Appends a validation.
    package func append(_ record: ValidationRecord) throws(ReportingError) {
        try append(line: record.json)
    }

    /// The file as far as it was written here and before.
    package var seal: FileSeal { file.withLock { $0.seal } }

    private func append(line: String) throws(ReportingError) {
        let bytes = Array((MetricsFile.line(line) + "\n").utf8)
        let result = file.withLock { file -> Result<Void, ReportingError> in
            Result { () throws(ReportingError) in try file.append(bytes) }
        }
        try result.get()
    }
}

// MARK: - Records as JSON

extension StepRecord {
    /// The line of `metrics.jsonl`, without its checksum and line break.
    package var json: String {
        var line = JSONText()
        line.add("kind", "step")
        line.add("step", step)
        line.add("epoch", epoch)
        line.add("loss", loss)
        if !parts.isEmpty {
            var object = JSONText()
            for (name, value) in parts.sorted(by: { $0.key < $1.key }) { object.add(name, value) }
            line.add("parts", object)
        }
        line.add("gradient_norm", gradientNorm)
        line.add("learning_rate", learningRate)
        line.add("images", images)
        line.addMeasured("images_per_second", imagesPerSecond)
        line.addMeasured("seconds", seconds)
        line.addMeasured("time", time)
        line.add("incarnation", incarnation)
        line.add(
            "workers",
            workers.map { share in
                var object = JSONText()
                object.add("worker", share.worker)
                object.add("images", share.images)
                object.addMeasured("images_per_second", share.imagesPerSecond)
                object.addMeasured("data_s", share.data)
                object.addMeasured("compute_s", share.compute)
                object.addMeasured("communication_s", share.communication)
                object.addMeasured("wait_s", share.wait)
                return object
            }
        )
        return line.closed
    }
}

extension ValidationRecord {
    /// The line of `metrics.jsonl`, without its checksum and line break.
    package var json: String {
        var line = JSONText()
        line.add("kind", "validation")
        line.add("step", step)
        line.add("epoch", epoch)
        line.add("number", number)
        line.add("loss", loss)
        line.add("mean_dice", meanDice)
        line.add("positive_dice", positiveDice)
        line.add("negative_dice", negativeDice)
        line.add("images", images)
        line.add("positives", positives)
        line.add("threshold", threshold)
        line.add("best", isBest)
        line.addMeasured("seconds", seconds)
        line.addMeasured("time", time)
        return line.closed
    }
}
