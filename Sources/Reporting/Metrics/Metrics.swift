import Foundation

/// What `metrics.jsonl` says of a run.
package struct Metrics: Sendable, Equatable {
    /// In the order of the file, which is the order of the steps.
    package var steps: [StepRecord] = []
    /// In the order of the file.
    package var validations: [ValidationRecord] = []
    /// The numbers, from 1, of lines that are no record: torn by a crash of the machine, or edited.
    package var unreadableLines: [Int] = []

    package init() {}

    /// Reads a file; a missing one is a run without metrics.
    ///
    /// Kinds of line that are not known are passed over.
    package static func read(path: String) throws(ReportingError) -> Metrics {
        var metrics = Metrics()
        guard let bytes = try AppendFile.contents(of: path) else { return metrics }
        let decoder = JSONDecoder()
        for (index, line) in bytes.split(separator: UInt8(ascii: "\n")).enumerated() {
            do {
                switch try decoder.decode(RecordLine.self, from: Data(line)) {
                case .step(let record): metrics.steps.append(record)
                case .validation(let record): metrics.validations.append(record)
                case .other: break
                }
            } catch {
                metrics.unreadableLines.append(index + 1)
            }
        }
        return metrics
    }

    /// What `cutBack` did.
    package struct CutBack: Sendable, Equatable {
        /// Lines that stay.
        package var kept = 0
        /// Lines of steps that will be done again.
        package var removed = 0
        /// Lines that were no record and are removed too; a crash of the machine can leave one at the end.
        package var unreadable = 0

        package init() {}
    }

    /// Cuts a file back to what a checkpoint knows, before a resumed run appends to it: each step stands once.
    ///
    /// The lines that stay are not changed by a byte. The new file replaces the old one at once; where no line goes,
    /// nothing is written. A missing file is a run without metrics.
    /// - Parameters:
    ///   - step: the first step to be done again; lines of this step and later ones go.
    ///   - validations: the number of validations that the checkpoint knows; lines of later ones go. Without it,
    ///     validations go with their step.
    package static func cutBack(
        path: String,
        toStep step: Int,
        validations: Int? = nil
    ) throws(ReportingError) -> CutBack {
        var result = CutBack()
        guard let bytes = try AppendFile.contents(of: path) else { return result }
        let decoder = JSONDecoder()
        var kept: [UInt8] = []
        kept.reserveCapacity(bytes.count)
        for line in bytes.split(separator: UInt8(ascii: "\n")) {
            guard let place = try? decoder.decode(RecordPlace.self, from: Data(line)) else {
                result.unreadable += 1
                continue
            }
            if place.step < step, place.kind != "validation" || (place.number ?? 0) < (validations ?? .max) {
                kept += line
                kept.append(UInt8(ascii: "\n"))
                result.kept += 1
            } else {
                result.removed += 1
            }
        }
        if kept != bytes { try AppendFile.replace(path, with: kept) }
        return result
    }
}

/// Where a line belongs in a run.
private struct RecordPlace: Decodable {
    let kind: String
    let step: Int
    let number: Int?
}

/// A line of the file.
private enum RecordLine: Decodable {
    case step(StepRecord)
    case validation(ValidationRecord)
    case other

    private enum Key: String, CodingKey { case kind }

    init(from decoder: any Decoder) throws {
        switch try decoder.container(keyedBy: Key.self).decode(String.self, forKey: .kind) {
        case "step": self = .step(try StepRecord(from: decoder))
        case "validation": self = .validation(try ValidationRecord(from: decoder))
        default: self = .other
        }
    }
}

extension KeyedDecodingContainer {
    /// A number, or NaN where the writer had none to write.
    fileprivate func number(_ key: Key) throws -> Double {
        try decodeNil(forKey: key) ? .nan : decode(Double.self, forKey: key)
    }

    /// A count or an index, which a run can have reached: below 2⁵³, as whole numbers of JSON are.
    fileprivate func count(_ key: Key) throws -> Int {
        let value = try decode(Int.self, forKey: key)
        guard (0..<1 << 53).contains(value) else {
            throw DecodingError.dataCorruptedError(forKey: key, in: self, debugDescription: "\(value) is no count")
        }
        return value
    }
}

extension StepRecord: Decodable {
    private enum Key: String, CodingKey {
        case step, epoch, incarnation, time, seconds, loss, parts, images, workers
        case gradientNorm = "gradient_norm"
        case learningRate = "learning_rate"
    }

    package init(from decoder: any Decoder) throws {
        let line = try decoder.container(keyedBy: Key.self)
        self.init(
            step: try line.count(.step),
            epoch: try line.count(.epoch),
            incarnation: try line.count(.incarnation),
            time: try line.number(.time),
            seconds: try line.number(.seconds),
            loss: try line.number(.loss),
            parts: try line.decodeIfPresent([String: Double?].self, forKey: .parts)?.mapValues { $0 ?? .nan } ?? [:],
            gradientNorm: try line.number(.gradientNorm),
            learningRate: try line.number(.learningRate),
            images: try line.count(.images),
            workers: try line.decode([WorkerShare].self, forKey: .workers)
        )
    }
}

extension WorkerShare: Decodable {
    private enum Key: String, CodingKey {
        case worker, images
        case imagesPerSecond = "images_per_second"
        case data = "data_s"
        case compute = "compute_s"
        case communication = "communication_s"
        case wait = "wait_s"
    }

    package init(from decoder: any Decoder) throws {
        let share = try decoder.container(keyedBy: Key.self)
        self.init(
            worker: try share.count(.worker),
            images: try share.count(.images),
            imagesPerSecond: try share.number(.imagesPerSecond),
            data: try share.number(.data),
            compute: try share.number(.compute),
            communication: try share.number(.communication),
            wait: try share.number(.wait)
        )
    }
}

extension ValidationRecord: Decodable {
    private enum Key: String, CodingKey {
        case number, step, epoch, time, seconds, loss, images, positives, threshold
        case meanDice = "mean_dice"
        case positiveDice = "positive_dice"
        case negativeDice = "negative_dice"
        case isBest = "best"
    }

    package init(from decoder: any Decoder) throws {
        let line = try decoder.container(keyedBy: Key.self)
        self.init(
            number: try line.count(.number),
            step: try line.count(.step),
            epoch: try line.count(.epoch),
            time: try line.number(.time),
            seconds: try line.number(.seconds),
            loss: try line.number(.loss),
            meanDice: try line.number(.meanDice),
            positiveDice: try line.number(.positiveDice),
            negativeDice: try line.number(.negativeDice),
            images: try line.count(.images),
            positives: try line.count(.positives),
            threshold: try line.number(.threshold),
            isBest: try line.decode(Bool.self, forKey: .isBest)
        )
        if positives > images {
            let message = "\(positives) of \(images) images"
            throw DecodingError.dataCorruptedError(forKey: .positives, in: line, debugDescription: message)
        }
    }
}
