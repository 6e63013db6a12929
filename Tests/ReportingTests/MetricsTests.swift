import Diagnostics
import Foundation
import Reporting
import Storage
import Testing

@Suite("metrics.jsonl")
struct MetricsTests {
    @Test func aStepIsOneLineWithItsKeysInOrder() {
        #expect(
            StepRecord.example(7).json
                == #"{"kind":"step","step":7,"epoch":0,"loss":0.5,"parts":{"cross_entropy":0.1,"dice":0.75},"#
                + #""gradient_norm":1.25,"learning_rate":0.0001,"images":8,"images_per_second":16,"seconds":0.5,"#
                + #""time":1790000007.25,"incarnation":3,"workers":[{"worker":1,"images":8,"images_per_second":16,"#
                + #""data_s":0.01,"compute_s":0.4,"communication_s":0.05,"wait_s":0.04}]}"#
        )
        #expect(
            ValidationRecord.example(2, step: 99).json
                == #"{"kind":"validation","step":99,"epoch":1,"number":2,"loss":0.4,"mean_dice":0.8,"#
                + #""positive_dice":0.6,"negative_dice":0.9,"images":40,"positives":10,"threshold":0.5,"best":true,"#
                + #""seconds":2,"time":1790000000}"#
        )
    }

    /// Pages count from 1 and compute shares: numbers that no run reaches would overflow there.
    @Test func impossibleCountsAreNoRecords() throws {
        let folder = try TemporaryFolder()
        let path = folder.file("metrics.jsonl")
        let step = StepRecord.example(0).json
        let validation = ValidationRecord.example(0, step: 0).json
        let lines = [
            step.replacing(#""step":0"#, with: #""step":9223372036854775807"#),
            step.replacing(#""epoch":0"#, with: #""epoch":9223372036854775807"#),
            step.replacing(#""images":8"#, with: #""images":-1"#),
            validation.replacing(#""positives":10"#, with: #""positives":-9223372036854775808"#),
            validation.replacing(#""positives":10"#, with: #""positives":41"#),
            validation.replacing(#""number":0"#, with: #""number":9007199254740992"#),
        ]
        #expect(!lines.contains(step) && !lines.contains(validation))
        try (lines + [step]).joined(separator: "\n").write(toFile: path, atomically: false, encoding: .utf8)
        let metrics = try Metrics.read(path: path)
        #expect(metrics.unreadableLines == Array(1...lines.count))
        #expect(metrics.steps.count == 1 && metrics.validations.isEmpty)
    }

    @Test func recordsReadBackEqual() throws {
        let folder = try TemporaryFolder()
        let path = folder.file("metrics.jsonl")
        let log = try MetricsLog(path: path)
        // A loss is a Float's value; all its digits must survive, for two runs are compared by them.
        let steps = [StepRecord.example(0, loss: Double(Float(1) / 3)), .example(1, epoch: 1)]
        try log.append(steps[0])
        try log.append(ValidationRecord.example(0, step: 0))
        try log.append(steps[1])
        let metrics = try Metrics.read(path: path)
        #expect(metrics.steps == steps)
        #expect(metrics.validations == [.example(0, step: 0)])
        #expect(metrics.unreadableLines.isEmpty)
        #expect(try Metrics.read(path: folder.file("none.jsonl")) == Metrics())
    }

    @Test func eachLineIsInTheFileAtOnce() throws {
        let folder = try TemporaryFolder()
        let log = try MetricsLog(path: folder.file("metrics.jsonl"))
        for step in 0..<3 {
            try log.append(StepRecord.example(step))
            let line = MetricsFile.line(StepRecord.example(step).json)
            #expect(try contents(folder.file("metrics.jsonl")).hasSuffix(line + "\n"))
        }
    }

    @Test func numbersThatJSONDoesNotHaveAreNull() throws {
        let folder = try TemporaryFolder()
        var record = StepRecord.example(0, loss: .nan)
        record.gradientNorm = .infinity
        record.parts["dice"] = .nan
        try MetricsLog(path: folder.file("m")).append(record)
        let line = try contents(folder.file("m"))
        #expect(line.contains(#""loss":null"#) && line.contains(#""gradient_norm":null"#))
        #expect(try JSONSerialization.jsonObject(with: Data(line.utf8)) is [String: Any])
        let read = try #require(try Metrics.read(path: folder.file("m")).steps.first)
        #expect(read.loss.isNaN && read.gradientNorm.isNaN && read.parts["dice"]?.isNaN == true)
        #expect(read.parts["cross_entropy"] == 0.1)
    }

    @Test func unknownKindsArePassedOverAndBrokenLinesAreNamed() throws {
        let folder = try TemporaryFolder()
        let text = [#"{"kind":"note","step":0}"#, "broken", StepRecord.example(0).json].joined(separator: "\n")
        try write(text, to: folder.file("m"))
        let metrics = try Metrics.read(path: folder.file("m"))
        #expect(metrics.steps.count == 1)
        #expect(metrics.unreadableLines == [2])
    }

    @Test func parallelWritersDoNotMixTheirLines() async throws {
        let folder = try TemporaryFolder()
        let log = try MetricsLog(path: folder.file("m"))
        try await withThrowingTaskGroup(of: Void.self) { group in
            for writer in 0..<8 {
                group.addTask { for index in 0..<50 { try log.append(StepRecord.example(writer * 50 + index)) } }
            }
            try await group.waitForAll()
        }
        let metrics = try Metrics.read(path: folder.file("m"))
        #expect(metrics.steps.map(\.step).sorted() == Array(0..<400))
    }

    @Test func aFolderThatIsNotThereIsNamed() {
        let error = #expect(throws: ReportingError.self) { _ = try MetricsLog(path: "/nowhere/at/all/metrics.jsonl") }
        #expect(error?.description.hasPrefix("Could not open /nowhere/at/all/metrics.jsonl: No such file") == true)
        #expect(error?.exitStatus == .missingInput)
    }

    @Test func aFullDiskIsATemporaryFailure() throws {
        let log = try MetricsLog(path: "/dev/full")
        let error = #expect(throws: ReportingError.self) { try log.append(StepRecord.example(0)) }
        #expect(error?.exitStatus == .temporary)
        #expect(error?.description.contains("Free space") == true)
    }
}

@Suite("metrics.jsonl is cut back when a run is resumed")
struct CutBackTests {
    private let lines =
        (0..<4).map { StepRecord.example($0).json } + [ValidationRecord.example(0, step: 3).json]
        + (4..<8).map { StepRecord.example($0).json } + [ValidationRecord.example(1, step: 7).json]

    private func text(_ lines: [String]) -> String { lines.map { $0 + "\n" }.joined() }

    /// The text that is left after a cut.
    private func cut(
        _ before: String,
        step: Int,
        validations: Int? = nil,
        expecting result: Metrics.CutBack,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> String {
        let folder = try TemporaryFolder()
        try write(before, to: folder.file("metrics.jsonl"))
        let found = try Metrics.cutBack(path: folder.file("metrics.jsonl"), toStep: step, validations: validations)
        #expect(found == result, sourceLocation: sourceLocation)
        #expect(folder.names == ["metrics.jsonl"], "no temporary file stays", sourceLocation: sourceLocation)
        return try contents(folder.file("metrics.jsonl"))
    }

    private func result(kept: Int, removed: Int, unreadable: Int = 0) -> Metrics.CutBack {
        var result = Metrics.CutBack()
        (result.kept, result.removed, result.unreadable) = (kept, removed, unreadable)
        return result
    }

    @Test func stepsFromTheResumedOneOnGo() throws {
        #expect(try cut(text(lines), step: 6, expecting: result(kept: 7, removed: 3)) == text(Array(lines[..<7])))
        #expect(try cut(text(lines), step: 0, expecting: result(kept: 0, removed: 10)).isEmpty)
        #expect(try cut(text(lines), step: 8, expecting: result(kept: 10, removed: 0)) == text(lines))
    }

    @Test func aValidationAfterTheCheckpointGoesThoughItsStepStays() throws {
        #expect(
            try cut(text(lines), step: 4, validations: 0, expecting: result(kept: 4, removed: 6))
                == text(Array(lines[..<4]))
        )
        #expect(
            try cut(text(lines), step: 4, validations: 1, expecting: result(kept: 5, removed: 5))
                == text(Array(lines[..<5]))
        )
    }

    @Test func whatStaysIsNotChangedByAByte() throws {
        let odd = #"{ "kind" : "step",  "step": 0, "epoch":0, "a later version's field": [1, 2] }"#
        #expect(
            try cut(text([odd, lines[1], lines[2]]), step: 2, expecting: result(kept: 2, removed: 1))
                == text([odd, lines[1]])
        )
    }

    @Test func aLineTornByACrashGoes() throws {
        let torn = text(Array(lines[..<3])) + String(lines[3].prefix(40))
        #expect(
            try cut(torn, step: 3, expecting: result(kept: 3, removed: 0, unreadable: 1)) == text(Array(lines[..<3]))
        )
        // A whole last line without its line break would run into the next one.
        #expect(try cut(lines[0], step: 5, expecting: result(kept: 1, removed: 0)) == lines[0] + "\n")
    }

    @Test func aRunWithoutMetricsHasNothingToCut() throws {
        let folder = try TemporaryFolder()
        #expect(try Metrics.cutBack(path: folder.file("m"), toStep: 3) == Metrics.CutBack())
        #expect(folder.names.isEmpty)
    }

    @Test func afterACutEachStepStandsOnce() throws {
        let folder = try TemporaryFolder()
        let path = folder.file("m")
        for attempt in 0..<3 {
            _ = try Metrics.cutBack(path: path, toStep: attempt * 2)
            let log = try MetricsLog(path: path)
            for step in attempt * 2..<attempt * 2 + 5 { try log.append(StepRecord.example(step)) }
        }
        #expect(try Metrics.read(path: path).steps.map(\.step) == Array(0..<9))
    }
}
