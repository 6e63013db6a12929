import Foundation
import Inference
import Radiography
import RunFolder
import Storage
import TestSupport
import Testing

/// The rule that `evaluate` leaves in a run's folder.
@Suite struct SegmentationRuleTests {
    let folder: TemporaryFolder
    var run: RunDirectory { RunDirectory(folder.file("run")) }

    init() throws { folder = try TemporaryFolder() }

    @Test func aRuleOfAPersonsIsNotWrittenOver() throws {
        let rule = SegmentationRule(.threshold(0.5), flip: true, checkpoint: "c", step: 1, meanDice: nil)
        try run.create()
        try rule.write(run)
        try rule.write(run)
        try folder.write("{\"threshold\": 0.7}", to: "run/rule.json")
        #expect(throws: OccupiedOutput.self) { try rule.write(run) }
        #expect(try String(contentsOfFile: run.rule, encoding: .utf8) == "{\"threshold\": 0.7}")
    }
}
