import Foundation
import Testing

/// Hosts that are network namespaces of this machine, from `cluster/namespaces/hosts.py`; gone with this object.
final class NamespaceHosts {
    private let process = Process()
    private let input = Pipe()
    private let output = Pipe()
    private var text = ""
    /// The namespaces by the hosts' names; `head` is for the launcher.
    private(set) var namespaces: [String: String] = [:]
    /// Where keys, `hosts.yaml` and the hosts' working folders are.
    let folder: String

    private static var script: URL {
        URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .appendingPathComponent("../../cluster/namespaces/hosts.py").standardized
    }

    /// Why there can be none on this machine; nil where there can. Said on standard error, so that nobody takes skipped
    /// tests for passed ones.
    static let obstacle: String? = {
        let process = Process()
        let errors = Pipe()
        process.executableURL = script
        process.arguments = ["--check"]
        process.standardError = errors
        var reason = "hosts.py cannot be started"
        if (try? process.run()) != nil {
            let said = errors.fileHandleForReading.readDataToEndOfFile()
            process.waitUntilExit()
            if process.terminationStatus == 0 { return nil }
            reason = String(decoding: said, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
        }
        try? FileHandle.standardError.write(contentsOf: Data("SKIPPED: tests over several hosts: \(reason)\n".utf8))
        return reason
    }()

    /// Makes three hosts that see no shards, with an sshd in each.
    init(folder: String) throws {
        self.folder = folder
        process.executableURL = Self.script
        process.arguments = ["--fetch", "--program", try ProgramRunner.program.path, folder]
        process.standardInput = input
        process.standardOutput = output
        try process.run()
        let names = try #require(nextLine(), "hosts.py ended early")
        namespaces = try JSONDecoder().decode([String: String].self, from: Data(names.utf8))
    }

    /// Breaks or heals the network; returns when that holds.
    func command(_ command: String) throws {
        try input.fileHandleForWriting.write(contentsOf: Data((command + "\n").utf8))
        #expect(nextLine() == "done", "\(command)")
    }

    private func nextLine() -> String? {
        while !text.contains("\n") {
            let data = output.fileHandleForReading.availableData
            if data.isEmpty { return nil }
            text += String(decoding: data, as: UTF8.self)
        }
        let line = text.prefix { $0 != "\n" }
        text = String(text.dropFirst(line.count + 1))
        return String(line)
    }

    /// What has a command line run on the launcher's host.
    var prefix: [String] { ["ip", "netns", "exec", namespaces["head"] ?? ""] }

    /// The processes of the program in the namespaces of hosts, or of one, with their command lines.
    func processes(on host: String? = nil) -> [(process: Int32, command: String)] {
        var inodes: Set<String> = []
        for (name, namespace) in namespaces where host.map({ $0 == name }) ?? (name != "head") {
            var status = stat()
            if stat("/run/netns/\(namespace)", &status) == 0 { inodes.insert("net:[\(status.st_ino)]") }
        }
        let all = ((try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []).compactMap(Int32.init)
        return all.compactMap { process in
            guard
                let link = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(process)/ns/net"),
                inodes.contains(link),
                let command = FileManager.default.contents(atPath: "/proc/\(process)/cmdline")
            else { return nil }
            let words = command.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
            return words.contains { $0 == "worker" || $0 == "worker-guard" }
                ? (process, words.joined(separator: " ")) : nil
        }
    }

    /// Removes processes and namespaces.
    func close() {
        try? input.fileHandleForWriting.close()
        process.waitUntilExit()
    }

    deinit { if process.isRunning { process.terminate() } }
}
