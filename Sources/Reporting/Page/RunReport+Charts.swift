extension RunReport {
    /// The learning curves.
    func learningCharts() -> [LineChart] {
        [lossChart(), diceChart(), rateChart(), normChart()]
    }

    /// Steps at which another incarnation of the run began.
    private var resumedSteps: [Double] {
        zip(metrics.steps, metrics.steps.dropFirst())
            .filter { $0.incarnation != $1.incarnation }
            .map { Double($1.step + 1) }
    }

    private func curve(_ value: (StepRecord) -> Double) -> Curve {
        Curve(metrics.steps.map { Curve.Point(Double($0.step + 1), value($0)) })
    }

    private func validated(_ value: (ValidationRecord) -> Double) -> Curve {
        Curve(metrics.validations.map { Curve.Point(Double($0.step + 1), value($0)) })
    }

    private func chart(_ title: String, _ series: [LineChart.Series], including: [Double] = []) -> LineChart {
        LineChart(
            title: title,
            xName: "steps",
            series: series.filter { series in series.parts.contains { !$0.points.isEmpty } },
            span: [0, Double((metrics.steps.last?.step ?? -1) + 1)],
            including: including,
            breaks: resumedSteps,
            breakName: "resumed"
        )
    }

    private func lossChart() -> LineChart {
        let raw = curve(\.loss)
        let mean = raw.smoothed(window: Double(raw.points.count) / 25)
        return chart(
            "Loss",
            [
                .init(name: "each step", color: 0, style: .faint, parts: [raw.extremes(within: LineChart.resolution)]),
                .init(name: "running mean", color: 0, style: .line, parts: [mean.thinned(to: LineChart.resolution)]),
                .init(name: "validation", color: 1, style: .dotted, parts: [validated(\.loss)]),
            ],
            including: [0]
        )
    }

    private func diceChart() -> LineChart {
        chart(
            "Dice on the validation fold",
            [
                .init(name: "positives", color: 2, style: .dotted, parts: [validated(\.positiveDice)]),
                .init(name: "all images", color: 0, style: .dotted, parts: [validated(\.meanDice)]),
                .init(
                    name: "predicting nothing",
                    color: 8,
                    style: .dashed,
                    parts: [validated(\.emptyPredictionDice)]
                ),
            ],
            including: [0, 1]
        )
    }

    private func rateChart() -> LineChart {
        let rate = curve(\.learningRate).thinned(to: LineChart.resolution)
        return chart(
            "Learning rate",
            [.init(name: "learning rate", color: 3, style: .line, parts: [rate], decimals: 7)],
            including: [0]
        )
    }

    private func normChart() -> LineChart {
        let raw = curve(\.gradientNorm)
        let mean = raw.smoothed(window: Double(raw.points.count) / 25)
        return chart(
            "Norm of the gradient",
            [
                .init(name: "each step", color: 4, style: .faint, parts: [raw.extremes(within: LineChart.resolution)]),
                .init(name: "running mean", color: 4, style: .line, parts: [mean.thinned(to: LineChart.resolution)]),
            ],
            including: [0]
        )
    }

    // MARK: - Throughput

    /// Images a second of each worker over the time that the run was training.
    func throughputChart() -> LineChart {
        let workers = Set(metrics.steps.flatMap { $0.workers.map(\.worker) }).sorted()
        let longest = metrics.steps.map(\.seconds).filter(\.isFinite).reduce(0, +)
        let (unit, name) = longest >= 7200 ? (3600.0, "hours") : longest >= 120 ? (60.0, "minutes") : (1.0, "seconds")
        var parts: [Int: [[Curve.Point]]] = [:]
        var total: [[Curve.Point]] = []
        var breaks: [Double] = []
        var before: StepRecord?
        var elapsed = 0.0
        for record in metrics.steps {
            elapsed += record.seconds.isFinite ? record.seconds / unit : 0
            if let before, before.incarnation != record.incarnation { breaks.append(elapsed) }
            let isNew = before?.incarnation != record.incarnation
            if isNew { total.append([]) }
            total[total.count - 1].append(.init(elapsed, record.imagesPerSecond))
            let present = Set(before?.workers.map(\.worker) ?? [])
            for share in record.workers {
                if isNew || !present.contains(share.worker) { parts[share.worker, default: []].append([]) }
                let last = parts[share.worker, default: [[]]].count - 1
                parts[share.worker, default: [[]]][last].append(.init(elapsed, share.imagesPerSecond))
            }
            before = record
        }
        var series = workers.enumerated().map { index, worker in
            LineChart.Series(
                name: "worker \(worker)",
                color: index % 8,
                style: .line,
                parts: Self.calm(parts[worker] ?? []),
                decimals: 2
            )
        }
        // The sum of many workers would press their own curves together at the bottom.
        let together = metrics.steps.map(\.workers.count).max() ?? 0
        if together > 1, together <= 3 {
            series.append(
                .init(name: "all workers", color: 8, style: .dashed, parts: Self.calm(total), decimals: 2)
            )
        }
        return LineChart(
            title: "Images a second",
            xName: "\(name) of training",
            series: series,
            span: [0],
            including: [0],
            breaks: breaks,
            breakName: "resumed"
        )
    }

    /// Thins the parts of a curve in proportion, after a running mean that leaves the shape.
    private static func calm(_ parts: [[Curve.Point]]) -> [Curve] {
        let all = max(1, parts.map(\.count).reduce(0, +))
        return parts.map { points in
            let share = max(2, LineChart.resolution * points.count / all)
            return Curve(points).smoothed(window: Double(all) / 80).thinned(to: share)
        }
    }
}
