import Foundation
import Reporting
import Testing

/// A folder of its own for one test, removed with the value.
final class TemporaryFolder {
    let path: String

    init() throws {
        let url = FileManager.default.temporaryDirectory.appending(path: "pleura-reporting-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        path = url.path()
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func file(_ name: String) -> String { "\(path)/\(name)" }

    var names: [String] { (try? FileManager.default.contentsOfDirectory(atPath: path).sorted()) ?? [] }
}

func contents(_ path: String) throws -> String {
    try String(contentsOf: URL(filePath: path), encoding: .utf8)
}

func write(_ text: String, to path: String) throws {
    try Data(text.utf8).write(to: URL(filePath: path))
}

extension StepRecord {
    /// A step with numbers that differ from field to field.
    static func example(_ step: Int, epoch: Int = 0, loss: Double = 0.5) -> StepRecord {
        StepRecord(
            step: step,
            epoch: epoch,
            incarnation: 3,
            time: 1_790_000_000.25 + Double(step),
            seconds: 0.5,
            loss: loss,
            parts: ["dice": 0.75, "cross_entropy": 0.1],
            gradientNorm: 1.25,
            learningRate: 1e-4,
            images: 8,
            workers: [
                WorkerShare(
                    worker: 1,
                    images: 8,
                    imagesPerSecond: 16,
                    data: 0.01,
                    compute: 0.4,
                    communication: 0.05,
                    wait: 0.04
                )
            ]
        )
    }
}

extension ValidationRecord {
    static func example(_ number: Int, step: Int) -> ValidationRecord {
        ValidationRecord(
            number: number,
            step: step,
            epoch: 1,
            time: 1_790_000_000,
            seconds: 2,
            loss: 0.4,
            meanDice: 0.8,
            positiveDice: 0.6,
            negativeDice: 0.9,
            images: 40,
            positives: 10,
            threshold: 0.5,
            isBest: true
        )
    }
}
