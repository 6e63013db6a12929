import Foundation
package import Storage
import SwiftProtobuf
import Synchronization

/// A writer of TensorBoard event files: `tensorboard --logdir RUN` shows the curves and pictures.
///
/// Each incarnation of a run writes a file of its own beside the earlier ones. A file that starts at a later step than 0
/// says so, and TensorBoard then drops what earlier files have from that step on. Any thread may write; each event
/// reaches the kernel before the call returns.
package final class TensorBoardLog: Sendable {
    /// What the name of every event file begins with, as TensorBoard wants it.
    package static let namePrefix = "events.out.tfevents."

    /// The file.
    package let path: String
    private let file: Mutex<AppendFile>

    /// Creates an event file in a folder that exists.
    ///
    /// - Parameters:
    ///   - directory: TensorBoard shows one run for each folder.
    ///   - step: the first step that will be written; above 0 in a run that was resumed.
    ///   - time: Unix time in seconds; it orders the files of a folder.
    ///   - writer: distinguishes files of the same second, for example by host and process.
    package init(directory: String, startingAt step: Int, time: Double, writer: String) throws(ReportingError) {
        let name = writer.map { $0.isLetter || $0.isNumber || $0 == "-" || $0 == "." ? $0 : "_" }
        let second = String(Int(max(0, min(time, 9_999_999_999))))
        let padded = String(repeating: "0", count: 10 - second.count) + second
        path = "\(directory)/\(Self.namePrefix)\(padded).\(String(name))"
        file = Mutex(try AppendFile(path: path, exclusively: true))

        var version = TensorBoardEvent()
        version.wallTime = time
        version.fileVersion = "brain.Event:2"
        try append(version, signedBy: EventFile.signature)
        guard step > 0 else { return }
        var start = TensorBoardEvent()
        start.wallTime = time
        start.step = Int64(step)
        start.sessionLog.status = .start
        try append(start)
    }

    /// Writes numbers of one step, by their tags, such as `loss/train`.
    ///
    /// Values that are not finite are left out.
    package func write(scalars: [(tag: String, value: Double)], step: Int, time: Double) throws(ReportingError) {
        var event = TensorBoardEvent()
        event.wallTime = time
        event.step = Int64(step)
        event.summary.value = scalars.filter(\.value.isFinite).map { scalar in
            var value = TensorBoardSummary.Value()
            value.tag = scalar.tag
            value.simpleValue = Float(scalar.value)
            return value
        }
        try append(event)
    }

    /// Writes a picture of one step.
    ///
    /// - Parameters:
    ///   - png: the bytes of a PNG file.
    ///   - channels: 1 for gray, 3 for RGB, 4 with transparency.
    package func write(
        image png: [UInt8],
        width: Int,
        height: Int,
        channels: Int,
        tag: String,
        step: Int,
        time: Double
    ) throws(ReportingError) {
        var value = TensorBoardSummary.Value()
        value.tag = tag
        value.image.width = Int32(clamping: width)
        value.image.height = Int32(clamping: height)
        value.image.colorspace = Int32(clamping: channels)
        value.image.encodedImageString = Data(png)
        var event = TensorBoardEvent()
        event.wallTime = time
        event.step = Int64(step)
        event.summary.value = [value]
        try append(event)
    }

    /// Writes what TensorBoard can show of a step: the loss and its parts, the gradient norm, the learning rate and
    /// the throughput of all workers and of each.
    package func write(_ record: StepRecord) throws(ReportingError) {
        var scalars: [(tag: String, value: Double)] = [("loss/train", record.loss)]
        for (name, value) in record.parts.sorted(by: { $0.key < $1.key }) {
            scalars.append(("loss/train/\(name)", value))
        }
        scalars.append(("optimizer/gradient_norm", record.gradientNorm))
        scalars.append(("optimizer/learning_rate", record.learningRate))
        scalars.append(("throughput/images_per_second", record.imagesPerSecond))
        for share in record.workers {
            scalars.append(("throughput/worker_\(share.worker)", share.imagesPerSecond))
        }
        try write(scalars: scalars, step: record.step, time: record.time)
    }

    /// Writes the results of a validation.
    package func write(_ record: ValidationRecord) throws(ReportingError) {
        let scalars = [
            ("loss/validation", record.loss), ("dice/mean", record.meanDice), ("dice/positives", record.positiveDice),
            ("dice/negatives", record.negativeDice),
        ]
        try write(scalars: scalars.map { (tag: $0.0, value: $0.1) }, step: record.step, time: record.time)
    }

    /// The file as far as it was written here and before.
    package var seal: FileSeal { file.withLock { $0.seal } }

    /// `signature` is a field more, behind those of the event.
    private func append(
        _ event: TensorBoardEvent,
        signedBy signature: [UInt8] = []
    ) throws(ReportingError) {
        let record: [UInt8]
        do {
            record = try event.serializedBytes() + signature
        } catch {
            // Serialization fails only for messages of 2 GiB, which no PNG of a radiograph reaches.
            throw ReportingError(action: "append to", path: path, code: EFBIG)
        }
        let framed = RecordFraming.frame(record)
        let result = file.withLock { file -> Result<Void, ReportingError> in
            Result { () throws(ReportingError) in try file.append(framed) }
        }
        try result.get()
    }
}
