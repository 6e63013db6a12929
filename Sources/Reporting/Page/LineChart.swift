/// A chart of curves over one axis, as HTML with inline SVG.
///
/// The SVG holds lines only and stretches with the window; the text stands beside it in HTML, so it keeps its size. The
/// numbers are in the page a second time, as JSON, for the values that show under the pointer.
struct LineChart {
    /// One curve.
    struct Series {
        /// How it is drawn.
        enum Style: String {
            /// A strong line.
            case line
            /// A thin, pale line behind the others.
            case faint
            /// A line with a dot at each point, for few points.
            case dotted
            /// A broken line.
            case dashed
        }

        let name: String
        /// The number of a colour of the page.
        let color: Int
        let style: Style
        /// Parts of the curve; the line is broken between them.
        let parts: [Curve]
        /// Decimals under the pointer.
        var decimals = 4
    }

    let title: String
    /// What x counts, such as `step`.
    let xName: String
    var series: [Series]
    /// Values that the x axis must hold, so that charts under each other can be compared.
    var span: [Double] = []
    /// Values that the y axis must hold.
    var including: [Double] = []
    /// x positions of broken vertical lines, for example where a run was resumed.
    var breaks: [Double] = []
    /// What the breaks are.
    var breakName = ""

    /// The greatest number of points that one series has on the page.
    static let resolution = 400

    var html: String {
        let points = series.flatMap { $0.parts.flatMap(\.points) }
        guard !points.isEmpty else { return "" }
        let x = Axis(points.map(\.x), including: span, count: 6, rounded: false)
        let y = Axis(points.map(\.y), including: including)
        let frame = Frame(x: x, y: y)
        let shownBreaks = breaks.filter { $0 > x.low && $0 < x.high }
        return """
            <figure class="chart">
            <figcaption><h3>\(HTML.escape(title))</h3><div class="legend">\(legend(shownBreaks))</div></figcaption>
            <div class="frame"><div class="ylabels">\(yLabels(y))</div>
            <div class="plot"><svg viewBox="0 0 1000 1000" preserveAspectRatio="none" role="img" \
            aria-label="\(HTML.escape("\(title) over \(xName)"))">\(grid(frame))\(vertical(shownBreaks, frame))\
            \(series.map { drawing($0, frame) }.joined())</svg>\
            <div class="rule" hidden></div><div class="tip" hidden></div></div>
            <div class="xlabels">\(xLabels(x))</div><div class="xname">\(HTML.escape(xName))</div></div>
            <script type="application/json">\(data(x))</script>
            </figure>

            """
    }

    // MARK: - Parts

    private func legend(_ shownBreaks: [Double]) -> String {
        var entries = series.map { series in
            "<span class=\"c\(series.color)\"><i class=\"\(series.style.rawValue)\"></i>\(HTML.escape(series.name))</span>"
        }
        if !shownBreaks.isEmpty, !breakName.isEmpty {
            entries.append("<span><i class=\"break\"></i>\(HTML.escape(breakName))</span>")
        }
        return entries.joined()
    }

    private func yLabels(_ axis: Axis) -> String {
        axis.ticks.map { "<span style=\"bottom:\(percent(axis.position($0)))\">\(axis.label($0))</span>" }.joined()
    }

    private func xLabels(_ axis: Axis) -> String {
        axis.ticks.map { "<span style=\"left:\(percent(axis.position($0)))\">\(axis.label($0))</span>" }.joined()
    }

    private func grid(_ frame: Frame) -> String {
        let lines = frame.y.ticks.map { "M0 \(frame.vertical($0))H1000" }.joined()
        return "<path class=\"grid\" d=\"\(lines)\"/>"
    }

    private func vertical(_ positions: [Double], _ frame: Frame) -> String {
        guard !positions.isEmpty else { return "" }
        return "<path class=\"break\" d=\"\(positions.map { "M\(frame.horizontal($0)) 0V1000" }.joined())\"/>"
    }

    private func drawing(_ series: Series, _ frame: Frame) -> String {
        var line = ""
        var dots = ""
        for part in series.parts {
            for (index, point) in part.points.enumerated() {
                let place = "\(frame.horizontal(point.x)) \(frame.vertical(point.y))"
                line += (index == 0 ? "M" : "L") + place
                // A line of no length with round ends is a dot that stays round when the chart stretches.
                if series.style == .dotted || part.points.count == 1 { dots += "M\(place)h0" }
            }
        }
        let dotPath = dots.isEmpty ? "" : "<path class=\"dots c\(series.color)\" d=\"\(dots)\"/>"
        return "<path class=\"\(series.style.rawValue) c\(series.color)\" d=\"\(line)\"/>\(dotPath)"
    }

    private func data(_ axis: Axis) -> String {
        let described = series.map { series in
            let points = series.parts.flatMap(\.points)
            let xs = points.map { JSONText.number(rounded($0.x)) }.joined(separator: ",")
            let ys = points.map { JSONText.number(rounded($0.y)) }.joined(separator: ",")
            return "{\"name\":\(JSONText.quoted(series.name)),\"color\":\(series.color),"
                + "\"decimals\":\(series.decimals),\"x\":[\(xs)],\"y\":[\(ys)]}"
        }
        return HTML.scriptJSON(
            "{\"low\":\(JSONText.number(axis.low)),\"high\":\(JSONText.number(axis.high)),"
                + "\"unit\":\(JSONText.quoted(xName)),\"series\":[\(described.joined(separator: ","))]}"
        )
    }

    /// Six significant digits: more than anyone reads under a pointer.
    private func rounded(_ value: Double) -> Double { Double(HTML.number(value, digits: 6)) ?? value }

    private func percent(_ share: Double) -> String { HTML.fixed(share * 100, 2) + "%" }

    /// Places values in the SVG's square of 1000.
    private struct Frame {
        let x: Axis
        let y: Axis

        func horizontal(_ value: Double) -> String { HTML.number(x.position(value) * 1000, digits: 5) }
        func vertical(_ value: Double) -> String { HTML.number(1000 - y.position(value) * 1000, digits: 5) }
    }
}
