import ArgumentParser
import Foundation
import Fuzzing
import Platform

/// `pleura fuzz`: for those who work on the program.
struct FuzzCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fuzz",
        abstract: "Gives changed and random inputs to every decoder of this program.",
        discussion: "Exits 0 where none of them ended the program, hung or took memory out of proportion.",
        shouldDisplay: false
    )

    @Option(help: "How many inputs.")
    var cases: UInt64 = 100_000

    @Option(help: "Equal seeds give equal inputs.")
    var seed: UInt64 = 1

    @Option(help: "The first case; with --cases 1, one case alone.")
    var first: UInt64 = 0

    @Option(help: "One target only; can be given several times.")
    var target: [String] = []

    @Flag(help: "Limit neither time nor memory: for a build with a sanitizer.")
    var unlimited = false

    func validate() throws {
        guard cases > 0, cases <= 1 << 40, first <= 1 << 40 else {
            throw ValidationError("--cases must be from 1 to 2^40, and --first at most that.")
        }
    }

    func run() throws {
        var options = FuzzRun.Options(cases: cases, seed: seed)
        options.first = first
        options.targets = target
        options.isUnlimited = unlimited
        let start = ContinuousClock.now
        let rows = try FuzzRun(options).run()
        for row in rows {
            let name = row.target.padding(toLength: 22, withPad: " ", startingAt: 0)
            let slowest = String(format: "%.2f", row.slowest.seconds * 1000)
            try printResult("\(name) \(row.cases) cases, \(row.accepted) accepted, slowest \(slowest) ms")
        }
        let seconds = (ContinuousClock.now - start).seconds
        try printResult(
            "\(rows.reduce(0) { $0 + $1.cases }) cases of seed \(seed) in \(String(format: "%.1f", seconds)) s: no defect"
        )
    }
}
