import Collectives
import Configuration
import Foundation
import Messaging
import RunLinks
import Testing

@Suite struct KeyFolderTests {
    private let folder = FileManager.default.temporaryDirectory.appendingPathComponent("keys-\(UUID().uuidString)").path

    private func mode(_ path: String) throws -> Int {
        let attributes = try FileManager.default.attributesOfItem(atPath: path)
        return try #require((attributes[.posixPermissions] as? NSNumber)?.intValue)
    }

    private func change(_ name: String, _ mode: Int) throws {
        try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: "\(folder)/\(name)")
    }

    @Test func keysAreMadeForTheirOwnerAloneAndReadBack() throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let made = try KeyFolder.create(folder, workers: 3)
        #expect(try mode(folder) == 0o700)
        let names = try FileManager.default.contentsOfDirectory(atPath: folder)
        #expect(Set(names) == ["allowed.keys", "server.key", "worker-0.key", "worker-1.key", "worker-2.key"])
        for name in names { #expect(try mode("\(folder)/\(name)") == 0o600) }
        let server = try made.serverKeys()
        #expect(server.workers.keys.count == 3)
        let worker = try made.workerKeys(named: "worker-2")
        #expect(worker.plane(.encrypted).workers == server.workers)
        #expect(worker.plane(.encrypted).pair.publicKey == server.workers.keys["worker-2"])
        // No secret is in the list that goes to every host.
        let list = try String(contentsOfFile: "\(folder)/allowed.keys", encoding: .utf8)
        #expect(!list.contains(worker.plane(.encrypted).pair.secretKey))
        #expect(throws: KeyError.self) { try KeyFolder.create(folder, workers: 1) }
    }

    @Test func aSecretIsForItsReaderAndRootAlone() {
        let own = KeyFolder.Reader(user: 1000, groups: [1000, 3000])
        #expect(own.holdsAlone(mode: 0o600, owner: 1000, group: 1000))
        #expect(!own.holdsAlone(mode: 0o640, owner: 1000, group: 3000))
        #expect(!own.holdsAlone(mode: 0o604, owner: 1000, group: 1000))
        // As Kubernetes mounts it: root's, for a group of the pod.
        #expect(own.holdsAlone(mode: 0o440, owner: 0, group: 3000))
        #expect(!own.holdsAlone(mode: 0o440, owner: 0, group: 50))
        #expect(!own.holdsAlone(mode: 0o444, owner: 0, group: 3000))
        #expect(!own.holdsAlone(mode: 0o460, owner: 0, group: 3000))
        #expect(!KeyFolder.Reader(user: 0, groups: [0]).holdsAlone(mode: 0o440, owner: 0, group: 0))
    }

    @Test func eachProcessTakesAKeyOfItsOwn() throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let made = try KeyFolder.create(folder, workers: 2)
        var first: WorkerKeys? = try made.workerKeys(named: nil)
        let second = try made.workerKeys(named: nil)
        #expect(first?.name == "worker-0" && second.name == "worker-1")
        #expect { try made.workerKeys(named: nil) } throws: { "\($0)".contains("in use") }
        #expect { try made.workerKeys(named: "worker-1") } throws: { "\($0)".contains("The key worker-1") }
        #expect { try made.workerKeys(named: "worker-7") } throws: { "\($0)".contains("refuse") }
        first = nil
        #expect(try made.workerKeys(named: nil).name == "worker-0")
    }

    @Test func keysThatOthersCouldReadOrChangeAreRefused() throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let made = try KeyFolder.create(folder, workers: 1)
        for mode in [0o640, 0o604, 0o660] {
            try change("server.key", mode)
            try change("worker-0.key", mode)
            #expect(throws: KeyError.self) { try made.serverKeys() }
            #expect(throws: KeyError.self) { try made.workerKeys(named: nil) }
        }
        try change("server.key", 0o600)
        // The list may be read by all.
        try change("allowed.keys", 0o644)
        _ = try made.serverKeys()
        try change("allowed.keys", 0o664)
        #expect { try made.serverKeys() } throws: { "\($0)".contains("changed by others") }
    }

    @Test func keysOfAnotherJobAreToldApart() throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let made = try KeyFolder.create(folder, workers: 1)
        let other = try KeyFolder.create("\(folder)/other", workers: 1)
        try FileManager.default.removeItem(atPath: "\(folder)/worker-0.key")
        try FileManager.default.copyItem(atPath: "\(other.path)/worker-0.key", toPath: "\(folder)/worker-0.key")
        try change("worker-0.key", 0o600)
        #expect { try made.workerKeys(named: nil) } throws: { "\($0)".contains("different jobs") }
        #expect { try KeyFolder("/nonexistent").serverKeys() } throws: { "\($0)".contains("pleura keygen") }
    }

    @Test(arguments: [
        ("tcp://127.0.0.1:*", true), ("tcp://127.9.9.9:7", true), ("tcp://localhost:7000", true),
        ("tcp://[::1]:1", true),
        ("ipc:///tmp/x", true), ("tcp://0.0.0.0:7000", false), ("tcp://*:7000", false), ("tcp://10.0.0.1:7000", false),
        ("tcp://127.0.0.1.example.org:7000", false), ("tcp://127.example:7000", false), ("tcp://eth0:7000", false),
    ])
    func onlyLoopbackNeedsNoKeys(bind: String, isLoopback: Bool) throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        #expect(Endpoint.isLoopback(bind) == isLoopback)
        func keys(_ changes: String..., environment: [String: String] = [:]) throws -> ServerKeys? {
            let configuration = try RunConfiguration().overridden(by: changes)
            return try RunSecurity.serverKeys(configuration.security, bind: bind, environment: environment)
        }
        if isLoopback {
            #expect(try keys() == nil)
        } else {
            #expect { try keys() } throws: { "\($0)".contains("pleura keygen") && "\($0)".contains(bind) }
        }
        #expect(throws: KeyError.self) { try keys("security.mode=curve") }
        #expect(try keys("security.mode=none", environment: ["PLEURA_KEYS": "/nonexistent"]) == nil)
        _ = try KeyFolder.create(folder, workers: 1)
        #expect(try keys("security.keys=\(folder)") != nil)
        #expect(try keys(environment: ["PLEURA_KEYS": folder]) != nil)
    }

    @Test func whereNobodyCanListenThatIsSaidBesideTheKeys() throws {
        let security = RunConfiguration().security
        func refusal(_ bind: String) -> String {
            do {
                return "\(String(describing: try RunSecurity.serverKeys(security, bind: bind, environment: [:])))"
            } catch {
                return "\(error)"
            }
        }
        #expect(refusal("udp://10.0.0.1:7000").contains("must begin with tcp://"))
        #expect(refusal("tcp://10.0.0.1").contains("written tcp://HOST:PORT"))
        let unknown = refusal("tcp://nowhere.invalid:7000")
        #expect(unknown.contains("nowhere.invalid cannot be resolved") && unknown.contains("pleura keygen"))
        #expect(!refusal("tcp://10.0.0.1:7000").contains("resolved"))
    }

    @Test func whatIsUnprotectedIsSaidAtEveryStart() throws {
        var security = RunConfiguration().security
        #expect(RunSecurity.warning(security, hasKeys: true) == nil)
        #expect(RunSecurity.warning(security, hasKeys: false) == nil)
        security.data = .none
        #expect(RunSecurity.warning(security, hasKeys: true)?.contains("unencrypted") == true)
        security.mode = .none
        #expect(RunSecurity.warning(security, hasKeys: false)?.contains("whoever reaches") == true)
        #expect(throws: KeyError.self) {
            try RunSecurity.checkWorkerWithoutKeys(coordinator: "tcp://node1:7000", listen: "tcp://0.0.0.0:*")
        }
        #expect(throws: KeyError.self) {
            try RunSecurity.checkWorkerWithoutKeys(coordinator: "tcp://127.0.0.1:7000", listen: "tcp://0.0.0.0:*")
        }
        try RunSecurity.checkWorkerWithoutKeys(coordinator: "tcp://0.0.0.0:7000", listen: "tcp://127.0.0.1:*")
    }
}
