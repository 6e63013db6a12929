import Foundation
import Testing

/// A system call of a victim that is broken, and how; see the header of `FaultInjection`.
struct Fault: CustomStringConvertible, Sendable {
    var action: String
    /// The first call that is broken, counted from 1, and how many are from there.
    var call: Int
    var count = 1
    /// Only calls of these kinds, or all of them where there are none.
    var kinds: [String] = []
    var seed = 0

    /// Whether the victim is to end by it.
    var kills: Bool { ["before", "after", "torn"].contains(action) }

    var environment: [String: String] {
        [
            "FAULT_ACTION": action, "FAULT_CALL": "\(call)", "FAULT_COUNT": "\(count)",
            "FAULT_KINDS": kinds.joined(separator: ","), "FAULT_SEED": "\(seed)",
        ]
    }

    var description: String {
        let place = count == 1 ? "call \(call)" : "\(count) calls from \(call)"
        return "\(action) at \(place)\(kinds.isEmpty ? "" : " of \(kinds.joined(separator: ", "))"), seed \(seed)"
    }
}

/// The process that saves and loads checkpoints while its system calls are broken.
struct Victim {
    let folder: String
    /// The file that lists the calls, if they are to be listed.
    var log: String?

    struct Outcome {
        /// The exit status, or the signal's number negated.
        var status: Int32
        var lines: [String]

        /// The steps that lines beginning with a word are about.
        func steps(_ word: String) -> [Int] {
            lines.filter { $0.hasPrefix(word + " ") }.compactMap {
                Int($0.split(separator: " ")[1].prefix { $0 != ":" })
            }
        }
    }

    /// Both stand beside the tests.
    private static func product(_ name: String) throws -> String {
        let tests = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        let path = URL(fileURLWithPath: tests).deletingLastPathComponent().appendingPathComponent(name).path
        try #require(FileManager.default.fileExists(atPath: path), "\(path) is not built")
        return path
    }

    /// Runs the victim to its end; without a fault nothing is broken.
    func run(_ arguments: [String], fault: Fault? = nil) throws -> Outcome {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: try Self.product("CheckpointVictim"))
        process.arguments = arguments
        var environment = ProcessInfo.processInfo.environment
        environment["LD_PRELOAD"] = try Self.product("libFaultInjection.so")
        environment["FAULT_FOLDER"] = folder
        if let log { environment["FAULT_LOG"] = log }
        if let fault { environment.merge(fault.environment) { $1 } }
        process.environment = environment
        let pipe = Pipe()
        process.standardOutput = pipe
        process.standardInput = FileHandle.nullDevice
        try process.run()
        let text = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        let isExit = process.terminationReason == .exit
        return Outcome(
            status: isExit ? process.terminationStatus : -process.terminationStatus,
            lines: text.split(separator: "\n").map(String.init)
        )
    }

    /// The kinds and paths of the calls that are listed so far.
    func calls() throws -> [(kind: String, path: String)] {
        let text = try String(contentsOfFile: log ?? "", encoding: .utf8)
        return text.split(separator: "\n").map { line in
            let words = line.split(separator: " ")
            return (String(words[1]), String(words[2]))
        }
    }

    /// The SHA-256 of the states that the victim saves.
    static func expectedHashes(_ steps: [Int]) throws -> [Int: String] {
        let outcome = try Victim(folder: "/nowhere").run(["expect"] + steps.map(String.init))
        let pairs = outcome.lines.map { $0.split(separator: " ") }.compactMap { words in
            Int(words[0]).map { ($0, String(words[1])) }
        }
        return Dictionary(pairs, uniquingKeysWith: { first, _ in first })
    }
}

extension TestRandom {
    mutating func shuffle<Element>(_ list: inout [Element]) {
        for index in list.indices.dropFirst() { list.swapAt(index, next(below: index + 1)) }
    }
}
