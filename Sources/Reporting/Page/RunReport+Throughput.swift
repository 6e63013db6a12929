extension RunReport {
    /// What a worker did over the whole run.
    private struct WorkerSummary {
        let worker: Int
        var steps = 0
        var images = 0
        var seconds = 0.0
        var data = 0.0
        var compute = 0.0
        var communication = 0.0
        var wait = 0.0

        init(worker: Int) { self.worker = worker }

        var phases: [(name: String, kind: String, seconds: Double)] {
            [
                ("data", "c3", data), ("compute", "c2", compute), ("communication", "c0", communication),
                ("wait", "c8", wait),
            ]
        }
    }

    private func summaries() -> [WorkerSummary] {
        var byWorker: [Int: WorkerSummary] = [:]
        func finite(_ value: Double) -> Double { value.isFinite ? max(0, value) : 0 }
        for record in metrics.steps {
            for share in record.workers {
                var summary = byWorker[share.worker] ?? WorkerSummary(worker: share.worker)
                summary.steps += 1
                summary.images += share.images
                summary.seconds += finite(record.seconds)
                summary.data += finite(share.data)
                summary.compute += finite(share.compute)
                summary.communication += finite(share.communication)
                summary.wait += finite(share.wait)
                byWorker[share.worker] = summary
            }
        }
        return byWorker.values.sorted { $0.worker < $1.worker }
    }

    /// The chart of images a second and the table of phases.
    func throughput() -> String {
        let chart = throughputChart().html
        guard !chart.isEmpty else { return "" }
        let summaries = summaries()
        let rows = summaries.map(row).joined()
        let names = ["data", "compute", "communication", "wait"]
        let legend = zip(names, ["c3", "c2", "c0", "c8"]).map {
            "<span class=\"\($1)\"><i class=\"box\"></i>\($0)</span>"
        }
        let head = names.map { "<th>\($0)</th>" }.joined()
        let table =
            summaries.isEmpty
            ? ""
            : """
            <div class="card"><figcaption><h3>Where a step's time goes</h3><div class="legend">\(legend.joined())</div>\
            </figcaption><div class="scroll"><table class="phases"><thead><tr><th>worker</th><th>share of its time</th>\
            <th>images/s</th>\(head)</tr></thead><tbody>\(rows)</tbody></table></div>\
            <p class="note">Seconds in a step, mean over the run. Communication is what computation did not hide.</p></div>
            """
        return "<section><h2>Throughput</h2>\n\(chart)\(table)</section>"
    }

    private func row(_ summary: WorkerSummary) -> String {
        let phases = summary.phases
        let sum = phases.map(\.seconds).reduce(0, +)
        let bar = phases.map { phase in
            let share = sum > 0 ? phase.seconds / sum * 100 : 0
            let label = HTML.escape("\(phase.name) \(HTML.fixed(share, 1)) %")
            return "<i class=\"\(phase.kind)\" style=\"width:\(HTML.fixed(share, 2))%\" title=\"\(label)\"></i>"
        }.joined()
        let means = phases.map { "<td>\(HTML.fixed($0.seconds / Double(max(1, summary.steps)), 3))</td>" }.joined()
        let rate = summary.seconds > 0 ? Double(summary.images) / summary.seconds : .nan
        return "<tr><td>\(summary.worker)</td><td class=\"bar\"><div>\(bar)</div></td>"
            + "<td>\(HTML.fixed(rate, 1))</td>\(means)</tr>"
    }
}
