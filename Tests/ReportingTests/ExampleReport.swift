import Foundation
import Reporting

/// Reports with invented numbers that look like those of real runs.
enum ExampleReport {
    /// A run of two workers that was interrupted half-way and resumed with two new ones.
    static func resumedRun() -> RunReport { run(steps: 240, workers: 2, resumedAt: 118, pictures: 8) }

    static func run(steps: Int, workers: Int = 2, resumedAt: Int? = nil, pictures: Int) -> RunReport {
        var random = Noise(state: 11)
        var report = RunReport(title: "demo", status: "complete")
        let epochs = 12
        let perEpoch = max(1, steps / epochs)
        var time = 1_790_000_000.0
        for step in 0..<steps {
            let resumed = step >= resumedAt ?? .max
            let done = Double(step) / Double(steps)
            let seconds = 0.46 + 0.04 * random.next() + (step % perEpoch == 0 ? 0.2 : 0)
            time += seconds
            let loss = 0.22 + 1.35 * exp(-5 * done) + 0.12 * random.next() * (1.2 - done)
            report.metrics.steps.append(
                StepRecord(
                    step: step,
                    epoch: min(epochs - 1, step / perEpoch),
                    incarnation: resumed ? 2 : 1,
                    time: time,
                    seconds: seconds,
                    loss: loss,
                    parts: ["dice": loss * 0.7, "cross_entropy": loss * 0.3],
                    gradientNorm: 0.4 + 3 * exp(-4 * done) * (1 + random.next()),
                    learningRate: 2e-3 * min(1, Double(step + 1) / 10) * (0.5 + 0.5 * cos(.pi * done)),
                    images: 8 * workers,
                    workers: (0..<workers).map { worker in
                        let wait = 0.02 + 0.02 * Double(worker) * random.next()
                        return WorkerShare(
                            worker: worker + 1 + (resumed ? workers : 0),
                            images: 8,
                            imagesPerSecond: 8 / seconds * (1 - 0.04 * Double(worker)) * (1 + 0.05 * random.next()),
                            data: 0.012,
                            compute: seconds - 0.012 - 0.05 - wait,
                            communication: 0.05,
                            wait: wait
                        )
                    }
                )
            )
            guard (step + 1) % perEpoch == 0 || step == steps - 1 else { continue }
            let dice = 0.78 * (1 - exp(-4.5 * done)) + 0.03 * random.next()
            let best = report.metrics.validations.allSatisfy { $0.positiveDice < dice }
            report.metrics.validations.append(
                ValidationRecord(
                    number: report.metrics.validations.count,
                    step: step,
                    epoch: min(epochs - 1, step / perEpoch),
                    time: time,
                    seconds: 1.1,
                    loss: loss + 0.06 * random.next() + 0.05,
                    meanDice: 0.55 + 0.4 * dice,
                    positiveDice: dice,
                    negativeDice: 0.7 + 0.25 * done,
                    images: 20,
                    positives: 8,
                    threshold: 0.5,
                    isBest: best
                )
            )
        }
        report.facts = [
            .init("Network", "unet-small, base width 16 · 483,377 parameters"),
            .init("Data", "96 radiographs, 128 × 128"),
            .init("Global batch", "\(workers) microbatches × 8 images"),
            .init("Optimizer", "adam, learning rate 0.002"),
            .init("Numerics", "fp32"), .init("Workers", "\(workers) × 1 thread, shared memory"),
            .init("Started", "2026-03-14 15:09"), .init("Weights", "sha256 3f9a51c2…"),
        ]
        report.pictures = (0..<pictures).map { picture($0, &random) }
        report.checkpoints = [
            .init(
                name: "step-00000180.h5",
                step: 180,
                epoch: 8,
                metric: 0.7421,
                bytes: 5_812_224,
                isBest: true,
                isLatest: false
            ),
            .init(
                name: "step-00000240.h5",
                step: 240,
                epoch: 11,
                metric: 0.7389,
                bytes: 5_812_224,
                isBest: false,
                isLatest: true
            ),
        ]
        report.configuration = """
            # Where the run lives.
            run:
              directory: runs/demo
              seed: 1
            optimizer:
              name: adam
              learning_rate: 0.002
            """
        report.footer = "Written by Pleura on 2026-03-14 15:13"
        return report
    }

    /// Something like a chest radiograph, with a crescent at the edge of a lung.
    private static func picture(_ index: Int, _ random: inout Noise) -> RunReport.Picture {
        let size = 160
        let left = index % 2 == 0
        let isPositive = index % 4 != 3
        let shift = 2 + 3 * random.next()
        var pixels = [UInt8](repeating: 0, count: size * size)
        var truth = pixels
        var prediction = pixels
        /// Below 1 inside of an ellipse.
        func ellipse(_ x: Double, _ y: Double, _ cx: Double, _ cy: Double, _ rx: Double, _ ry: Double) -> Double {
            (x - cx) * (x - cx) / (rx * rx) + (y - cy) * (y - cy) / (ry * ry)
        }
        for row in 0..<size {
            for column in 0..<size {
                let (x, y) = (Double(column), Double(row))
                var value = 40 + 150 * max(0, 1 - ellipse(x, y, 80, 95, 92, 105) * 0.55)
                for center in [50.0, 110.0] {
                    let inside = ellipse(x, y, center, 84, 25, 52)
                    if inside < 1 { value -= 95 * min(1, (1 - inside) * 4) }
                    if inside < 1, Int(y + abs(x - 80) * 0.35) % 15 < 4 { value += 20 }
                }
                value += 55 * exp(-pow((x - 80) / 9, 2)) + 50 * max(0, 1 - ellipse(x, y, 90, 112, 24, 22))
                let lung = ellipse(x, y, left ? 50 : 110, 84, 25, 52)
                let collapsed = ellipse(x, y, left ? 54 : 106, 92, 23, 48)
                if isPositive, lung < 0.93, collapsed > 1, y < 96 {
                    truth[row * size + column] = 1
                    value -= 18
                }
                let predictedLung = ellipse(x - shift, y - shift / 2, left ? 50 : 110, 84, 24, 51)
                let found = isPositive ? index % 8 != 6 : index % 8 == 7
                if found, predictedLung < 0.95, collapsed > 1.02, y < 94 { prediction[row * size + column] = 1 }
                pixels[row * size + column] = UInt8(max(0, min(255, value + 9 * (random.next() - 0.5))))
            }
        }
        let both = zip(truth, prediction).count { $0 == 1 && $1 == 1 }
        let sum = truth.count { $0 == 1 } + prediction.count { $0 == 1 }
        return RunReport.Picture(
            title: "1.2.276.0.7230010.3.1.4.8323329.\(1000 + index * 37)",
            png: TestPNG.gray(pixels, width: size, height: size),
            width: size,
            height: size,
            truth: truth,
            prediction: prediction,
            dice: sum == 0 ? 1 : 2 * Double(both) / Double(sum)
        )
    }
}

/// Repeatable numbers in 0..<1.
struct Noise {
    var state: UInt64

    mutating func next() -> Double {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Double(state >> 40) / Double(1 << 24)
    }
}
