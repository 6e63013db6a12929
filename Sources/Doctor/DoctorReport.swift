import Foundation

/// What a doctor found, host by host.
package struct DoctorReport: Codable, Sendable, Equatable {
    /// How serious a finding is.
    package enum Level: String, Codable, Sendable, Comparable {
        case good = "ok"
        /// The run works, and something is not as well as it could be.
        case warning
        /// The run would fail.
        case failure = "FAIL"

        package static func < (a: Level, b: Level) -> Bool { a.order < b.order }

        private var order: Int {
            switch self {
            case .good: 0
            case .warning: 1
            case .failure: 2
            }
        }
    }

    /// One thing that was looked at.
    package struct Finding: Codable, Sendable, Equatable {
        /// The host's name; `run` for what concerns all.
        package var host: String
        package var check: String
        package var level: Level
        /// What was found.
        package var found: String
        /// What to do about it; empty where nothing need be done.
        package var advice: String
    }

    package var findings: [Finding] = []

    /// The worst level.
    package var level: Level { findings.map(\.level).max() ?? .good }

    mutating func add(_ host: String, _ check: String, _ level: Level, _ found: String, _ advice: String = "") {
        findings.append(Finding(host: host, check: check, level: level, found: found, advice: advice))
    }

    /// The findings of at least a level, as a table for people, and below it what to do.
    package func table(from lowest: Level = .good) -> String {
        let shown = findings.filter { $0.level >= lowest }
        let rows = [["host", "check", "", "found"]] + shown.map { [$0.host, $0.check, $0.level.rawValue, $0.found] }
        let widths = (0..<3).map { column in rows.map { $0[column].count }.max() ?? 0 }
        var lines = rows.map { row in
            zip(row, widths).map { $0 + String(repeating: " ", count: $1 - $0.count) }.joined(separator: "  ") + "  "
                + row[3]
        }
        let advised = shown.filter { !$0.advice.isEmpty }
        if !advised.isEmpty { lines.append("") }
        lines += advised.map { "\($0.host), \($0.check): \($0.advice)" }
        return lines.joined(separator: "\n")
    }

    /// The report for programs.
    package var json: String {
        get throws {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            return String(decoding: try encoder.encode(self), as: UTF8.self)
        }
    }
}
