import Foundation
import Platform

/// What `pleura chaos` has done and found.
package struct ChaosReport: Codable, Sendable {
    /// The run that nobody disturbed.
    package struct Reference: Codable, Sendable {
        package var steps: Int
        package var stateSHA256: String
        package var weightsSHA256: String
        package var seconds: Double
        package var medianStepSeconds: Double
    }

    /// One fault that was done.
    package struct Event: Codable, Sendable {
        package var run: Int
        package var fault: ChaosFault
        /// Seconds since the first disturbed run began.
        package var at: Double
        /// The last step that was committed before it.
        package var step: Int
        /// Whom it hit, in words.
        package var detail: String
        /// Whether no other fault lasted or was not recovered from while this one was not.
        package var isAlone: Bool
        /// From the fault to the next committed step; nil where the run ended before.
        package var recoverySeconds: Double?
    }

    /// One disturbed run.
    package struct Run: Codable, Sendable {
        package var number: Int
        /// What its faults were drawn from.
        package var seed: UInt64
        package var seconds: Double
        /// How often it ended before its last step and was started again, as a user would.
        package var resumes: Int
        package var stateSHA256: String
        package var weightsSHA256: String
        package var isEqual: Bool
    }

    /// One kind of fault over all runs.
    package struct Row: Codable, Sendable, Equatable {
        package var fault: ChaosFault
        package var tried: Int
        /// Of those tried: in runs whose hashes were the undisturbed run's.
        package var equal: Int
        package var medianSeconds: Double?
        package var worstSeconds: Double?
        /// The worst of those that no other fault came beside.
        package var worstAloneSeconds: Double?
    }

    package var seed: UInt64
    package var workers: Int
    package var processors: Int
    package var reference: Reference?
    package var runs: [Run] = []
    package var events: [Event] = []
    /// Kinds that were left out, each with its reason.
    package var skipped: [String] = []
    /// What went wrong, as sentences for users; nil where nothing did.
    package var failure: String?

    /// A row for each kind that was tried.
    package var rows: [Row] {
        let equal = Set(runs.filter(\.isEqual).map(\.number))
        return ChaosFault.allCases.compactMap { fault in
            let events = events.filter { $0.fault == fault }
            guard !events.isEmpty else { return nil }
            let recoveries = events.compactMap(\.recoverySeconds).sorted()
            return Row(
                fault: fault,
                tried: events.count,
                equal: events.count { equal.contains($0.run) },
                medianSeconds: Self.median(recoveries),
                worstSeconds: recoveries.last,
                worstAloneSeconds: events.filter(\.isAlone).compactMap(\.recoverySeconds).max()
            )
        }
    }

    /// The rows as a table for people.
    package var table: String {
        func seconds(_ value: Double?) -> String { value.map { String(format: "%.3f s", $0) } ?? "-" }
        var cells = [["fault", "tried", "equal hashes", "median recovery", "worst", "worst alone"]]
        for row in rows {
            cells.append([
                row.fault.words, "\(row.tried)", "\(row.equal) of \(row.tried)", seconds(row.medianSeconds),
                seconds(row.worstSeconds), seconds(row.worstAloneSeconds),
            ])
        }
        let widths = cells[0].indices.map { column in cells.map { $0[column].count }.max() ?? 0 }
        return cells.map { row in
            let padded = zip(row, widths).map { $0 + String(repeating: " ", count: $1 - $0.count) }
            return "| " + padded.joined(separator: " | ") + " |"
        }.joined(separator: "\n")
    }

    /// The middle of ascending `values`, or the mean of the two in the middle; nil of none.
    package static func median(_ values: [Double]) -> Double? {
        guard !values.isEmpty else { return nil }
        return (values[(values.count - 1) / 2] + values[values.count / 2]) / 2
    }

    enum CodingKeys: String, CodingKey {
        case seed, workers, processors, reference, runs, events, skipped, failure, rows
    }

    package init(seed: UInt64, workers: Int) {
        self.seed = seed
        self.workers = workers
        processors = UsableProcessors.count
    }

    package init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        seed = try values.decode(UInt64.self, forKey: .seed)
        workers = try values.decode(Int.self, forKey: .workers)
        processors = try values.decode(Int.self, forKey: .processors)
        reference = try values.decodeIfPresent(Reference.self, forKey: .reference)
        runs = try values.decode([Run].self, forKey: .runs)
        events = try values.decode([Event].self, forKey: .events)
        skipped = try values.decode([String].self, forKey: .skipped)
        failure = try values.decodeIfPresent(String.self, forKey: .failure)
    }

    package func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(seed, forKey: .seed)
        try values.encode(workers, forKey: .workers)
        try values.encode(processors, forKey: .processors)
        try values.encodeIfPresent(reference, forKey: .reference)
        try values.encode(runs, forKey: .runs)
        try values.encode(rows, forKey: .rows)
        try values.encode(events, forKey: .events)
        try values.encode(skipped, forKey: .skipped)
        try values.encodeIfPresent(failure, forKey: .failure)
    }
}
