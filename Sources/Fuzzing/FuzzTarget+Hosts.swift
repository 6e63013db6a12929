import Configuration
import Doctor
import Foundation
import Launching
import RunLinks

/// What comes through ssh's channels, and lists of hosts.
extension FuzzTarget {
    /// Decoders of what launchers, guards, probes and doctors tell each other.
    static func hosts() throws -> [FuzzTarget] {
        [hostLists(), try guardOrders(), channelKeys(), try probeAnswers()]
    }

    private static func hostLists() -> FuzzTarget {
        let samples = [
            "coordinator: 10.0.0.1\nhosts:\n  - host: anna@gpu1\n    ssh: [-p, \"2222\"]\n    workers: 2\n    threads: 8\n",
            "hosts:\n  - {host: local, name: here, folder: ~/w, fetch: true, cache_gib: 5, address: 10.0.0.2}\n",
        ].map { Array($0.utf8) }
        return FuzzTarget(name: "host-lists", weight: 1, samples: samples, isText: true) { bytes in
            let list = try HostList.parse(String(decoding: bytes, as: UTF8.self), file: "fuzzed.yaml")
            // These become words of command lines and parts of file names.
            for host in list.hosts where host.destination.hasPrefix("-") || host.name.contains("/") || host.name == "" {
                throw FuzzDefect(description: "a host was accepted whose name leads elsewhere")
            }
            return true
        }
    }

    private static func guardOrders() throws -> FuzzTarget {
        let order = GuardOrder(
            coordinator: "tcp://0.0.0.0:7000",
            arguments: ["--threads", "2"],
            folder: "~/w",
            silenceSeconds: 30,
            keys: "server KEY\nown worker-0\n"
        )
        return FuzzTarget(name: "guard-orders", weight: 2, samples: [try order.line], isText: true) { bytes in
            let order = try GuardOrder(line: bytes)
            guard try GuardOrder(line: order.line) == order else {
                throw FuzzDefect(description: "the order that was accepted reads back as another")
            }
            _ = order.reachableCoordinator(connection: order.folder)
            return true
        }
    }

    private static func channelKeys() -> FuzzTarget {
        // No key fits its pair: what is decoded here is refused at its very end.
        let key = String(repeating: "a", count: 40)
        let text = "server \(key)\nworker-0 \(key)\nown worker-0\npublic \(key)\nsecret \(key)\n"
        return FuzzTarget(name: "channel-keys", weight: 2, samples: [Array(text.utf8)], isText: true) { bytes in
            do { _ = try KeyFolder.workerKeys(fromChannel: String(decoding: bytes, as: UTF8.self)) } catch is KeyError {
                return bytes == Array(text.utf8)
            }
            return true
        }
    }

    private static func probeAnswers() throws -> FuzzTarget {
        let answers = [ProbeAnswer(time: 1.5), ProbeAnswer(peers: ["", "no way there"])]
        let samples = try answers.map { Array(try ProbeLine.encode($0).dropLast()) }
        return FuzzTarget(name: "probe-answers", weight: 2, samples: samples, isText: true) { bytes in
            ProbeLine.answer(String(decoding: bytes, as: UTF8.self)) != nil
        }
    }
}
