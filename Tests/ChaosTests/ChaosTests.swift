import Chaos
import Foundation
import Platform
import Testing

@Suite struct ChaosPartsTests {
    @Test func equalSeedsDrawEqualFaultsAndEveryKindComesInTurn() {
        var (one, two, other) = (
            ChaosDraws(ChaosFault.allCases, seed: 5), ChaosDraws(ChaosFault.allCases, seed: 5),
            ChaosDraws(ChaosFault.allCases, seed: 6)
        )
        let count = ChaosFault.allCases.count
        let draws = (0..<4 * count).map { _ in one.next() }
        #expect(draws == (0..<4 * count).map { _ in two.next() })
        #expect(draws != (0..<4 * count).map { _ in other.next() })
        for round in 0..<4 {
            #expect(Set(draws[round * count..<(round + 1) * count].map(\.fault)) == Set(ChaosFault.allCases))
        }
        #expect(draws.allSatisfy { (0.5...12).contains($0.seconds) && (0..<1).contains($0.gap) })
        #expect(Set(draws.map(\.isHasty)).count == 2)
    }

    @Test func commitsAreToldOnceAlsoWhereTheFileIsReplaced() throws {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("pleura-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        func step(_ step: Int, _ time: Double) -> String {
            #"{"kind":"step","step":\#(step),"time":\#(time),"xxh3":"00"}"# + "\n"
        }
        func append(_ text: String) throws {
            let file = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
            try file.seekToEnd()
            try file.write(contentsOf: Data(text.utf8))
            try file.close()
        }
        var tail = CommitTail(path)
        #expect(tail.poll().isEmpty)
        // A validation is no step, and a line without an end is not whole yet.
        let validation = #"{"kind":"validation","step":0,"time":1.5}"# + "\n"
        try (step(0, 1) + validation + #"{"kind":"st"#).write(toFile: path, atomically: false, encoding: .utf8)
        #expect(tail.poll().map(\.step) == [0])
        try append(#"ep","step":1,"time":2}"# + "\n" + step(2, 3))
        #expect(tail.poll().map(\.step) == [1, 2])
        #expect(tail.poll().isEmpty)
        // The run goes on from the state after step 0: steps 1 and 2 are done again.
        try (step(0, 1) + step(1, 7)).write(toFile: path, atomically: true, encoding: .utf8)
        #expect(tail.poll().map(\.time) == [7])
        try append(step(2, 8))
        #expect(tail.poll().map(\.time) == [8])
    }

    @Test func rowsCountOnlyRunsWithEqualHashes() throws {
        let text = """
            {"seed": 1, "workers": 3, "processors": 2, "skipped": [],
             "runs": [
              {"number": 1, "seed": 1, "seconds": 2, "resumes": 0, "stateSHA256": "a", "weightsSHA256": "b", "isEqual": true},
              {"number": 2, "seed": 2, "seconds": 2, "resumes": 0, "stateSHA256": "c", "weightsSHA256": "b", "isEqual": false}],
             "events": [
              {"run": 1, "fault": "kill", "at": 1, "step": 3, "detail": "", "isAlone": true, "recoverySeconds": 0.25},
              {"run": 1, "fault": "kill", "at": 2, "step": 5, "detail": "", "isAlone": true},
              {"run": 2, "fault": "kill", "at": 3, "step": 7, "detail": "", "isAlone": false, "recoverySeconds": 0.75},
              {"run": 3, "fault": "join", "at": 4, "step": 9, "detail": "", "isAlone": true}]}
            """
        let report = try JSONDecoder().decode(ChaosReport.self, from: Data(text.utf8))
        try #require(report.rows.map(\.fault) == [.kill, .join])
        #expect(report.rows[0].tried == 3 && report.rows[0].equal == 2)
        #expect(report.rows[0].medianSeconds == 0.5 && report.rows[0].worstSeconds == 0.75)
        #expect(report.rows[0].worstAloneSeconds == 0.25)
        // A run of which nothing is known counts for nothing.
        #expect(report.rows[1].tried == 1 && report.rows[1].equal == 0 && report.rows[1].medianSeconds == nil)
        #expect(report.table.contains("| 2 of 3 "))
    }
}
