import Configuration
import Foundation
import Launching
import Platform
import RunFolder
import RunLinks
import TestSupport
import Testing

/// Workers on other hosts: what is sent to them, and how.
@Suite struct RemoteWorkersTests {
    /// What a shell makes of a remote command line, with `arguments` in the place of the program.
    private func shell(_ script: String, home: String) throws -> String {
        let process = Process()
        let output = Pipe()
        process.executableURL = URL(fileURLWithPath: "/bin/sh")
        process.arguments = ["-c", script]
        process.environment = ["HOME": home, "PATH": "\(home)/bin:/usr/bin:/bin"]
        process.standardOutput = output
        try process.run()
        let text = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return String(decoding: text, as: UTF8.self)
    }

    private func install(_ path: String, saying word: String) throws {
        try FileManager.default.createDirectory(
            atPath: FileSystem.parent(of: path),
            withIntermediateDirectories: true
        )
        try "#!/bin/sh\necho \(word) \"$@\"\n".write(toFile: path, atomically: true, encoding: .utf8)
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: path)
    }

    @Test func theProgramIsFoundInTheFolderThenOnThePath() throws {
        let folder = try TemporaryFolder()
        let home = folder.file("home")
        try install("\(home)/bin/pleura", saying: "path")
        var host = HostList.Host()
        host.destination = "a"
        host.folder = "~/it's a $folder; exit"
        let script = RemoteWorkers.remoteScript(of: host, running: "worker-guard")
        #expect(try shell(script, home: home) == "path worker-guard\n")
        try install("\(home)/it's a $folder; exit/pleura", saying: "folder")
        #expect(try shell(script, home: home) == "folder worker-guard\n")
        host.program = "\(home)/bin/pleura"
        #expect(try shell(RemoteWorkers.remoteScript(of: host, running: "x"), home: home) == "path x\n")
    }

    @Test func anOrderComesThroughAsItWas() throws {
        let order = GuardOrder(
            coordinator: "tcp://0.0.0.0:7000",
            arguments: ["--threads", "2"],
            folder: "~/w",
            silenceSeconds: 30,
            keys: "server KEY\nown worker-0\n"
        )
        let line = try order.line
        #expect(line.last == UInt8(ascii: "\n") && line.dropLast().allSatisfy { $0 != UInt8(ascii: "\n") })
        #expect(try GuardOrder(line: line.dropLast()) == order)
        #expect(throws: LaunchError.self) { try GuardOrder(line: Array("hello".utf8)) }
        #expect(order.expandedFolder(home: "/home/anna") == "/home/anna/w")
        #expect(order.reachableCoordinator(connection: "10.0.0.9 50000 10.0.0.1 22") == "tcp://10.0.0.9:7000")
        #expect(order.reachableCoordinator(connection: nil) == "tcp://127.0.0.1:7000")
        var named = order
        named.coordinator = "tcp://head:7000"
        #expect(named.reachableCoordinator(connection: "10.0.0.9 50000 10.0.0.1 22") == "tcp://head:7000")
    }

    @Test func keysComeThroughAChannelAndNothingElseDoes() throws {
        let folder = try TemporaryFolder()
        let keys = try KeyFolder.create(folder.file("keys"), workers: 3)
        let text = try keys.channelText(of: "worker-1")
        let received = try KeyFolder.workerKeys(fromChannel: text)
        #expect(received.name == "worker-1")
        #expect(try keys.channelText(of: "worker-1") == text)
        // The secrets of others stay where they are.
        for other in ["server", "worker-0", "worker-2"] {
            let file = try String(contentsOfFile: folder.file("keys/\(other).key"), encoding: .utf8)
            let secret = try #require(file.split(separator: "\n").first { $0.hasPrefix("secret ") })
            #expect(!text.contains(secret.dropFirst(7)))
        }
        #expect(throws: KeyError.self) { try keys.channelText(of: "worker-9") }
        #expect(throws: KeyError.self) { try KeyFolder.workerKeys(fromChannel: "") }
        let swapped = text.replacingOccurrences(of: "own worker-1", with: "own worker-2")
        #expect(throws: KeyError.self) { try KeyFolder.workerKeys(fromChannel: swapped) }
        #expect(throws: KeyError.self) { try KeyFolder.workerKeys(fromChannel: text + "more\n") }
        // Asked for again, what is there is taken.
        #expect(try KeyFolder.existingOrNew(keys.path, workers: 3) == keys)
    }
}
