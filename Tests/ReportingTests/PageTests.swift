import Foundation
import Reporting
import Testing

@Suite("Outlines")
struct OutlineTests {
    private func curves(_ rows: String...) -> [[Outline.Point]] {
        let width = rows[0].count
        return Outline.curves(mask: rows.joined().map { $0 == "#" ? 1 : 0 }, width: width, height: rows.count)
    }

    @Test func nothingHasNoOutline() {
        #expect(curves("...", "...").isEmpty)
        #expect(Outline.path(mask: [], width: 0, height: 0).isEmpty)
    }

    @Test func onePixelIsADiamond() {
        #expect(
            curves(".#.") == [[.init(x: 3, y: 0), .init(x: 4, y: 1), .init(x: 3, y: 2), .init(x: 2, y: 1)]]
        )
        #expect(Outline.path(mask: [1], width: 1, height: 1) == "M0.5 0L1 0.5L0.5 1L0 0.5Z")
    }

    @Test func straightSidesHaveTwoPoints() {
        let curve = curves("####", "####", "####")
        #expect(curve.count == 1)
        // Each corner is cut by one short line.
        #expect(curve[0].count == 8)
    }

    @Test func holesAndSeparatePartsHaveCurvesOfTheirOwn() {
        #expect(curves("###", "#.#", "###").count == 2)
        #expect(curves("#.#").count == 2)
        #expect(curves("#.", ".#").count == 2, "pixels that touch at a corner are apart")
        #expect(curves("#.#", ".#.", "#.#").count == 5)
    }

    /// The area inside of the curves is the mask's area but for the cut corners, an eighth of a pixel each.
    @Test func curvesEncloseTheMask() {
        let size = 32
        var mask = [UInt8](repeating: 0, count: size * size)
        var state: UInt32 = 7
        for index in mask.indices {
            state = state &* 1_664_525 &+ 1_013_904_223
            mask[index] = state >> 31 == 1 ? 255 : 0
        }
        var (area, corners) = (0, 0)
        for curve in Outline.curves(mask: mask, width: size, height: size) {
            for (index, point) in curve.enumerated() {
                let next = curve[(index + 1) % curve.count]
                area += point.x * next.y - next.x * point.y
                if abs(next.x - point.x) > 0, abs(next.y - point.y) > 0 {
                    // Diagonal stretches cut as many corners as they have half pixels, on alternating sides.
                    corners += abs(next.x - point.x)
                }
            }
        }
        let inside = mask.count { $0 != 0 }
        // `area` is twice the area in quarter pixels.
        #expect(abs(Double(area) / 8 - Double(inside)) <= Double(corners) / 8)
        #expect(area > 0)
    }
}

@Suite("Axes and curves")
struct AxisTests {
    @Test(arguments: [
        ([0.0, 1.0], [0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.50", "0.75", "1.00"]),
        ([0, 3.7], [0, 1, 2, 3, 4], ["0", "1", "2", "3", "4"]),
        ([0, 1234], [0, 500, 1000, 1500], ["0", "500", "1000", "1500"]),
        ([-1, 1], [-1, -0.5, 0, 0.5, 1], ["-1.0", "-0.5", "0", "0.5", "1.0"]),
        ([0, 0.001], [0, 0.00025, 0.0005, 0.00075, 0.001], ["0", "0.00025", "0.0005", "0.00075", "0.001"]),
    ])
    func ticksAreRound(values: [Double], ticks: [Double], labels: [String]) {
        let axis = Axis(values)
        #expect(axis.ticks.count == ticks.count)
        for (tick, expected) in zip(axis.ticks, ticks) { #expect(abs(tick - expected) < 1e-12) }
        #expect(axis.ticks.map(axis.label) == labels)
    }

    @Test(arguments: [
        [], [5.0], [0, 0], [.nan, 2, .infinity], [1e-300, 2e-300], [-1e300, 1e300], [1e9, 1e9 + 1],
        [-1.7e308, 1.7e308], [.greatestFiniteMagnitude], [-.greatestFiniteMagnitude, 0], [1e17, 1e17 + 16],
    ])
    func anyValuesMakeAnAxis(values: [Double]) {
        let axis = Axis(values)
        #expect(axis.low < axis.high && axis.low.isFinite && axis.high.isFinite)
        #expect(axis.ticks.count >= 2 && axis.ticks.count < 12)
        for value in values where value.isFinite { #expect((0...1).contains(axis.position(value))) }
    }

    @Test func thinningKeepsMeansAndEnds() {
        let curve = Curve((0..<1000).map { .init(Double($0), Double($0 % 2)) })
        let thin = curve.thinned(to: 100)
        #expect(thin.points.count == 100)
        #expect(thin.points.allSatisfy { $0.y == 0.5 })
        #expect(curve.thinned(to: 1000) == curve && curve.thinned(to: 5000) == curve)
        let uneven = Curve((0..<7).map { .init(Double($0), 1) }).thinned(to: 3)
        #expect(uneven.points.count == 3)
    }

    @Test func extremesKeepTheScatter() {
        let curve = Curve((0..<1000).map { .init(Double($0), Double($0 % 10)) })
        let extremes = curve.extremes(within: 100)
        #expect(extremes.points.count == 100)
        #expect(Set(extremes.points.map(\.y)) == [0, 9])
        #expect(zip(extremes.points, extremes.points.dropFirst()).allSatisfy { $0.x < $1.x })
        #expect(curve.extremes(within: 1000) == curve)
    }

    @Test func smoothingDoesNotLagOrBendTheEnds() {
        let line = Curve((0..<50).map { .init(Double($0), Double($0)) })
        #expect(line.smoothed(window: 10) == line)
        let noisy = Curve((0..<50).map { .init(Double($0), Double($0 % 2)) }).smoothed(window: 20)
        #expect(noisy.points[25].y > 0.4 && noisy.points[25].y < 0.6)
        let constant = Curve((0..<50).map { .init(Double($0), 2) }).smoothed(window: 10)
        #expect(constant.points.allSatisfy { abs($0.y - 2) < 1e-12 })
        #expect(Curve([.init(0, .nan), .init(1, 3)]).points == [.init(1, 3)])
    }
}

@Suite("The report page")
struct PageTests {
    @Test func thePageNeedsNothingElse() {
        let page = ExampleReport.resumedRun().html()
        for forbidden in ["http:", "https:", "//cdn", "@import", "url(", "<link", "src=\"/"] {
            #expect(!page.contains(forbidden), "\(forbidden) would load something")
        }
        let sources = page.matches(of: /src="([^"]{0,22})/).map { String($0.output.1) }
        #expect(!sources.isEmpty && sources.allSatisfy { $0 == "data:image/png;base64," })
    }

    @Test func thePageShowsEveryPart() {
        let page = ExampleReport.resumedRun().html()
        for heading in ["Learning", "Throughput", "Radiographs", "Checkpoints", "Configuration"] {
            #expect(page.contains("<h2>\(heading)</h2>"))
        }
        #expect(page.count { $0 == "\n" } < 3000)
        for text in ["worker 1", "worker 4", "all workers", "resumed", "predicting nothing", "missed", "false alarm"] {
            #expect(page.contains(text), "\(text)")
        }
    }

    @Test func elementsAreClosed() {
        let page = ExampleReport.resumedRun().html()
        for element in ["section", "figure", "figcaption", "div", "svg", "table", "tr", "td", "span", "script", "dl"] {
            let opened = page.ranges(of: "<\(element)>").count + page.ranges(of: "<\(element) ").count
            #expect(opened == page.ranges(of: "</\(element)>").count, "\(element)")
        }
    }

    @Test func textFromOutsideCannotBecomeMarkup() throws {
        let hostile = "<script>alert(1)</script>\"'&"
        var report = ExampleReport.resumedRun()
        report.title = hostile
        report.status = hostile
        report.facts = [.init(hostile, hostile)]
        report.configuration = "a: \(hostile)"
        report.footer = hostile
        report.metrics.steps[0].parts = [hostile: 1]
        report.pictures = [
            .init(
                title: hostile,
                png: [0],
                width: 1,
                height: 1,
                truth: nil,
                prediction: nil,
                dice: nil
            )
        ]
        let page = report.html()
        #expect(!page.contains("<script>alert"))
        #expect(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;"))
    }

    @Test func theHeadingIsOfOneNetwork() {
        var report = ExampleReport.resumedRun()
        report.checkpointMetric = "mean_dice"
        report.chosen = .init(
            step: 180,
            epoch: 8,
            isBest: true,
            metrics: ["mean_dice": 0.8125, "positive_dice": 0.625, "images": 20, "positives": 8]
        )
        let page = report.html()
        #expect(
            page.contains(
                "<b>step 180</b><span>Best by mean_dice</span><small>epoch 9; the newest is of step 240</small>"
            )
        )
        #expect(page.contains("<b>0.812</b>") || page.contains("<b>0.813</b>"))
        #expect(page.contains("<b>0.625</b><span>Dice, positives</span><small>8 positives, the same network</small>"))
        #expect(page.contains("20 images; empty masks 0.600"))
        // Over no positives there is no mean.
        report.chosen = .init(
            step: 240,
            epoch: 11,
            isBest: false,
            metrics: ["mean_dice": 1, "positive_dice": 1, "images": 20, "positives": 0]
        )
        #expect(report.html().contains("<b>–</b><span>Dice, positives</span>"))
        #expect(report.html().contains("<b>step 240</b><span>Newest network</span>"))
        // Without a checkpoint it is the network of the best validation.
        report.chosen = nil
        #expect(report.html().contains("<span>Best by mean_dice</span>"))
    }

    @Test func aRunWithoutAnythingHasAPage() {
        let page = RunReport(title: "empty", status: "nothing yet").html()
        #expect(page.contains("<h1>empty<em>nothing yet</em></h1>"))
        #expect(!page.contains("<h2>") && !page.contains("nan"))
    }

    @Test func numbersThatAreNoneLeaveGaps() {
        var report = ExampleReport.resumedRun()
        for index in report.metrics.steps.indices where index % 3 == 0 {
            report.metrics.steps[index].loss = .nan
            report.metrics.steps[index].gradientNorm = .infinity
            report.metrics.steps[index].seconds = index % 2 == 0 ? .nan : 0
        }
        for index in report.metrics.validations.indices { report.metrics.validations[index].positiveDice = .nan }
        let page = report.html()
        #expect(!page.contains("nan,") && !page.contains("inf,") && !page.contains("Mnan") && !page.contains("NaN"))
    }

    @Test func aLongRunHasAPageOfTheSameSize() {
        let short = ExampleReport.run(steps: 1000, pictures: 0).html().utf8.count
        let long = ExampleReport.run(steps: 20_000, pictures: 0).html().utf8.count
        #expect(long < short + short / 5)
    }

    @Test func thePageReplacesTheOneBefore() throws {
        let folder = try TemporaryFolder()
        let path = folder.file("report.html")
        try write("old", to: path)
        try RunReport(title: "new", status: "").write(to: path)
        #expect(try contents(path).contains("<h1>new"))
        #expect(folder.names == ["report.html"])
    }

    /// Writes example pages to look at: PLEURA_REPORT_EXAMPLES=folder swift test --filter PageTests.
    @Test(.enabled(if: ProcessInfo.processInfo.environment["PLEURA_REPORT_EXAMPLES"] != nil))
    func writeExamples() throws {
        let folder = try #require(ProcessInfo.processInfo.environment["PLEURA_REPORT_EXAMPLES"])
        try ExampleReport.resumedRun().write(to: "\(folder)/resumed.html")
        try ExampleReport.run(steps: 40, pictures: 3).write(to: "\(folder)/short.html")
        try ExampleReport.run(steps: 20_000, workers: 9, pictures: 12).write(to: "\(folder)/long.html")
    }
}
