import Foundation
import Storage

extension RunReport {
    /// The whole page.
    package func html() -> String {
        """
        <!doctype html>
        <html lang="en">
        <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <meta name="color-scheme" content="light dark">
        <meta name="generator" content="Pleura">
        <title>\(HTML.escape(title)) · Pleura</title>
        <style>\(ReportStyle.css)</style>
        </head>
        <body>
        <main>
        \(header())
        \(learning())
        \(throughput())
        \(radiographs())
        \(checkpointTable())
        \(configurationText())
        <footer>\(HTML.escape(footer))</footer>
        </main>
        <script>\(ReportStyle.script)</script>
        </body>
        </html>

        """
    }

    /// Writes the page, sealed, in place of an earlier one; a reader sees one of the two in full.
    package func write(to path: String) throws(ReportingError) {
        try AppendFile.replace(path, with: Array(SealedPage.sealed(html()).utf8))
    }

    // MARK: - Sections

    private func section(_ title: String, _ content: String) -> String {
        content.isEmpty ? "" : "<section><h2>\(HTML.escape(title))</h2>\n\(content)</section>"
    }

    private func header() -> String {
        let listed = facts.map { "<div><dt>\(HTML.escape($0.name))</dt><dd>\(HTML.escape($0.value))</dd></div>" }
        let figures = keyFigures().map { figure in
            "<div><b>\(HTML.escape(figure.value))</b><span>\(HTML.escape(figure.name))</span>"
                + "<small>\(HTML.escape(figure.note))</small></div>"
        }
        return """
            <header>
            <p class="over">Pleura · run report</p>
            <h1>\(HTML.escape(title))<em>\(HTML.escape(status))</em></h1>
            \(figures.isEmpty ? "" : "<div class=\"figures\">\(figures.joined())</div>")
            \(listed.isEmpty ? "" : "<dl>\(listed.joined())</dl>")
            </header>
            """
    }

    private struct KeyFigure {
        let name: String
        let value: String
        let note: String
    }

    /// The network of the best validation by `checkpointMetric`, where no checkpoint is known.
    private var validatedNetwork: ChosenNetwork? {
        func value(_ record: ValidationRecord) -> Double {
            switch checkpointMetric {
            case "loss": -record.loss
            case "positive_dice": record.positiveDice
            default: record.meanDice
            }
        }
        guard let best = metrics.validations.filter({ value($0).isFinite }).max(by: { value($0) < value($1) }) else {
            return nil
        }
        return ChosenNetwork(
            step: best.step + 1,
            epoch: best.epoch,
            isBest: true,
            metrics: [
                "mean_dice": best.meanDice, "positive_dice": best.positiveDice, "images": Double(best.images),
                "positives": Double(best.positives),
            ]
        )
    }

    /// Figures of one network, and of the whole training.
    private func keyFigures() -> [KeyFigure] {
        var figures: [KeyFigure] = []
        if let chosen = chosen ?? validatedNetwork {
            let newest = metrics.steps.last.map { $0.step + 1 } ?? chosen.step
            let others = newest > chosen.step ? "; the newest is of step \(newest)" : ""
            figures.append(
                KeyFigure(
                    name: chosen.isBest ? "Best by \(checkpointMetric)" : "Newest network",
                    value: "step \(chosen.step)",
                    note: "epoch \(chosen.epoch + 1)\(others)"
                )
            )
            func figure(_ name: String) -> Double? { chosen.metrics[name].flatMap { $0.isFinite ? $0 : nil } }
            func count(_ name: String) -> String { figure(name).map { HTML.fixed($0, 0) } ?? "–" }
            if let mean = figure("mean_dice") {
                var note = "of this network"
                if let images = figure("images"), let positives = figure("positives"), images > 0 {
                    note = "\(count("images")) images; empty masks \(HTML.fixed((images - positives) / images, 3))"
                }
                figures.append(KeyFigure(name: "Dice, all images", value: HTML.fixed(mean, 3), note: note))
            }
            if figure("mean_dice") != nil || figure("positive_dice") != nil {
                // A mean over no positives is none.
                let value = figure("positives") == 0 ? nil : figure("positive_dice")
                figures.append(
                    KeyFigure(
                        name: "Dice, positives",
                        value: value.map { HTML.fixed($0, 3) } ?? "–",
                        note: "\(count("positives")) positives, the same network"
                    )
                )
            }
        }
        if let last = metrics.steps.last {
            let rates = metrics.steps.map(\.imagesPerSecond).filter { $0 > 0 }.sorted()
            let seconds = metrics.steps.map(\.seconds).filter(\.isFinite).reduce(0, +)
            let first = HTML.fixed(metrics.steps[0].loss, 3)
            figures.append(KeyFigure(name: "Loss", value: HTML.fixed(last.loss, 3), note: "last step; first \(first)"))
            if !rates.isEmpty {
                let value = HTML.number(rates[rates.count / 2], digits: 3)
                figures.append(KeyFigure(name: "Images a second", value: value, note: "median, all workers"))
            }
            let clock = Columns.clock(.milliseconds(Int64(max(0, min(seconds, 1e12)) * 1000)))
            figures.append(
                KeyFigure(name: "Training time", value: clock, note: "\(last.step + 1) steps, \(last.epoch + 1) epochs")
            )
        }
        return figures
    }

    private func learning() -> String {
        let charts = learningCharts().map(\.html).joined()
        return section("Learning", charts.isEmpty ? "" : "<div class=\"charts\">\n\(charts)</div>")
    }

    private func radiographs() -> String {
        guard !pictures.isEmpty else { return "" }
        let toggles = """
            <div class="toggles"><label class="truth"><input type="checkbox" id="show-truth" checked>true outline</label>\
            <label class="prediction"><input type="checkbox" id="show-prediction" checked>predicted outline</label></div>
            """
        let grid = pictures.map(\.html).joined()
        return section("Radiographs", toggles + "<div class=\"pictures\">\n\(grid)</div><dialog></dialog>")
    }

    private func checkpointTable() -> String {
        guard !checkpoints.isEmpty else { return "" }
        let rows = checkpoints.map { row in
            let marks = (row.isBest ? "<mark>best</mark>" : "") + (row.isLatest ? "<mark>latest</mark>" : "")
            return "<tr><td><code>\(HTML.escape(row.name))</code>\(marks)</td><td>\(row.step)</td>"
                + "<td>\(row.epoch + 1)</td><td>\(row.metric.map { HTML.fixed($0, 4) } ?? "–")</td>"
                + "<td>\(HTML.bytes(row.bytes))</td></tr>"
        }.joined()
        return section(
            "Checkpoints",
            "<div class=\"scroll\"><table><thead><tr><th>file</th><th>steps</th><th>epoch</th><th>\(HTML.escape(checkpointMetric))</th>"
                + "<th>size</th></tr></thead><tbody>\(rows)</tbody></table></div>"
        )
    }

    private func configurationText() -> String {
        guard !configuration.isEmpty else { return "" }
        let lines = configuration.split(separator: "\n", omittingEmptySubsequences: false).map { line in
            let text = HTML.escape(String(line))
            if line.drop(while: { $0 == " " }).hasPrefix("#") { return "<i>\(text)</i>" }
            guard let colon = text.firstIndex(of: ":") else { return text }
            return "<b>\(text[..<colon])</b>\(text[colon...])"
        }
        return section(
            "Configuration",
            "<details><summary>every field with its value</summary><pre>\(lines.joined(separator: "\n"))</pre></details>"
        )
    }
}

extension RunReport.Picture {
    /// What stands under the picture: a word and its class in the style sheet.
    private var verdict: (text: String, kind: String) {
        let isTrue = truth?.contains { $0 != 0 }
        let isPredicted = prediction?.contains { $0 != 0 }
        switch (isTrue, isPredicted) {
        case (false?, false?): return ("correctly empty", "good")
        case (false?, true?): return ("false alarm", "bad")
        case (true?, false?): return ("missed", "bad")
        default: return dice.map { ("Dice \(HTML.fixed($0, 2))", $0 >= 0.5 ? "good" : "bad") } ?? ("", "")
        }
    }

    fileprivate var html: String {
        func outline(_ mask: [UInt8]?, _ kind: String) -> String {
            guard let mask else { return "" }
            let path = Outline.path(mask: mask, width: width, height: height)
            return path.isEmpty ? "" : "<path class=\"\(kind)\" d=\"\(path)\"/>"
        }
        let verdict = verdict
        // UIDs of one study differ in their last digits only.
        let short = title.count > 18 ? "…" + title.suffix(14) : title
        return """
            <figure class="picture" tabindex="0"><div><img alt="\(HTML.escape("radiograph \(title)"))" \
            width="\(width)" height="\(height)" src="data:image/png;base64,\(Data(png).base64EncodedString())">\
            <svg viewBox="0 0 \(width) \(height)">\(outline(truth, "truth"))\(outline(prediction, "prediction"))</svg>\
            </div><figcaption><span title="\(HTML.escape(title))">\(HTML.escape(short))</span>\
            <b class="\(verdict.kind)">\(HTML.escape(verdict.text))</b></figcaption></figure>

            """
    }
}
