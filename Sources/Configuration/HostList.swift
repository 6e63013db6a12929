import Diagnostics
import Foundation
import Yams

/// The hosts of a run, as `launch --hosts FILE` reads them.
///
/// ```yaml
/// coordinator: 10.0.0.1          # how the hosts reach the coordinator; by default as ssh reached them
/// hosts:
///   - host: anna@gpu1            # what ssh connects to; `local` is this machine, without ssh
///     ssh: [-p, "2222", -i, ~/.ssh/job]
///     name: gpu1                 # in messages and logs; by default what follows the @
///     workers: 2
///     threads: 8                 # of each worker
///     folder: /scratch/pleura    # program, shards and caches of the job; made where it is missing
///     program: /opt/pleura       # by default `pleura` in the folder, else on the PATH there
///     address: 10.0.0.2          # how other hosts reach its workers; by default its address on the way here
///     shards: /data/shards       # where the data set is there; by default where it is here, or fetched
///     fetch: true                # fetch it even where its folder can be seen there
///     cache_gib: 64              # the most that fetched data sets may take there
/// ```
package struct HostList: Sendable, Equatable {
    /// One host with its workers.
    package struct Host: Sendable, Equatable {
        /// What ssh connects to; `local` for this machine.
        package var destination = ""
        /// Unique in the list; letters, digits, `.`, `-` and `_`.
        package var name = ""
        /// Options of ssh, each word an element.
        package var ssh: [String] = []
        package var workers = 1
        /// Compute threads of each worker; nil takes `workers.threads`.
        package var threads: Int?
        /// The working folder there; `~/` stands for the home folder there.
        package var folder = "~/.cache/pleura"
        package var program: String?
        package var address: String?
        package var shards: String?
        package var fetches = false
        package var cacheGiB = 64

        package init() {}

        /// Whether its workers are started without ssh.
        package var isLocal: Bool { destination == "local" }
    }

    /// The coordinator's host as the others reach it; nil: as ssh's server sees this machine.
    package var coordinator: String?
    /// At least one.
    package var hosts: [Host] = []

    /// A list of hosts, which the caller has made with care: names differ.
    package init(_ hosts: [Host] = []) { self.hosts = hosts }

    /// A place for one worker.
    package struct Seat: Sendable, Equatable {
        package let host: Host
        /// Among the seats of all hosts, in their order.
        package let number: Int
    }

    /// All places, host by host.
    package var seats: [Seat] {
        hosts.flatMap { host in (0..<host.workers).map { _ in host } }.enumerated()
            .map { Seat(host: $1, number: $0) }
    }

    /// Reads a file; throws every problem that it finds, with its place.
    package static func load(path: String) throws(ConfigurationError) -> HostList {
        guard let bytes = RunConfiguration.contents(of: path), bytes.count <= 1 << 20,
            let text = String(data: bytes, encoding: .utf8)
        else {
            throw ConfigurationError(
                problems: [
                    .init(
                        origin: .wholeFile(path: path),
                        message: "no list of hosts can be read here; give a YAML file of at most 1 MiB with `hosts:`"
                    )
                ],
                exitStatus: .missingInput
            )
        }
        return try parse(text, file: path)
    }

    /// Reads YAML text; `file` is its name for messages.
    package static func parse(_ text: String, file: String) throws(ConfigurationError) -> HostList {
        var reader = HostListReader(file: file)
        return try reader.read(text)
    }
}

/// Collects hosts and problems.
private struct HostListReader {
    let file: String
    private var problems: [ConfigurationError.Problem] = []
    private var list = HostList()

    private static let keys = [
        "host", "ssh", "name", "workers", "threads", "folder", "program", "address", "shards", "fetch", "cache_gib",
    ]

    init(file: String) { self.file = file }

    mutating func read(_ text: String) throws(ConfigurationError) -> HostList {
        do {
            let root = try compose(yaml: text)
            if case .mapping(let mapping)? = root {
                readRoot(mapping)
            } else {
                complain(root?.mark, "expected `hosts:` with a list of hosts, each `- host: user@name`")
            }
        } catch {
            problems.append(
                ConfigurationReader().syntaxProblem(error, in: text) { ConfigurationReader.place($0, in: file) }
            )
        }
        if problems.isEmpty && list.hosts.isEmpty {
            complain(nil, "expected at least one host under `hosts:`, found none; write `- host: user@name`")
        }
        guard problems.isEmpty else { throw ConfigurationError(problems: problems) }
        return list
    }

    private mutating func complain(_ mark: Mark?, _ message: String) {
        problems.append(.init(origin: ConfigurationReader.place(mark, in: file), message: message))
    }

    private mutating func readRoot(_ mapping: Node.Mapping) {
        for (key, value) in mapping {
            switch key.scalar?.string {
            case "coordinator":
                if let host: String = take(value, "coordinator") {
                    if isName(host) { list.coordinator = host } else { refuseName(value.mark, "coordinator", host) }
                }
            case "hosts":
                guard case .sequence(let entries) = value else {
                    complain(value.mark, "`hosts`: expected a list, found \(value.found)")
                    continue
                }
                for entry in entries { readHost(entry) }
            default: unknown(key, known: ["coordinator", "hosts"])
            }
        }
    }

    private mutating func readHost(_ node: Node) {
        guard case .mapping(let mapping) = node else {
            let keys = Self.keys.prefix(4).joined(separator: ", ")
            complain(node.mark, "a host has keys (\(keys), …), found \(node.found)")
            return
        }
        var host = HostList.Host()
        for (key, value) in mapping {
            switch key.scalar?.string {
            case "host": take(value, "host").map { host.destination = $0 }
            case "ssh": take(value, "ssh").map { host.ssh = $0 }
            case "name": take(value, "name").map { host.name = $0 }
            case "workers": take(value, "workers", in: 1...4096).map { host.workers = $0 }
            case "threads": take(value, "threads", in: 1...1024).map { host.threads = $0 }
            case "folder": take(value, "folder").map { host.folder = $0 }
            case "program": take(value, "program").map { host.program = $0 }
            case "address": take(value, "address").map { host.address = $0 }
            case "shards": take(value, "shards").map { host.shards = $0 }
            case "fetch": take(value, "fetch").map { host.fetches = $0 }
            case "cache_gib": take(value, "cache_gib", in: 1...1_000_000).map { host.cacheGiB = $0 }
            default: unknown(key, known: Self.keys)
            }
        }
        check(&host, at: node.mark)
        list.hosts.append(host)
    }

    private mutating func check(_ host: inout HostList.Host, at mark: Mark?) {
        // ssh would take it for an option, and options can name commands.
        if host.destination.isEmpty || host.destination.hasPrefix("-") {
            let found = host.destination.isEmpty ? "nothing" : "`\(host.destination)`"
            complain(mark, "`host`: expected what ssh connects to, as user@name, or `local`, found \(found)")
            return
        }
        if host.name.isEmpty {
            host.name = host.destination.split(separator: "@").last.map(String.init) ?? host.destination
        }
        if !isName(host.name) { refuseName(mark, "name", host.name) }
        if let address = host.address, !isName(address) { refuseName(mark, "address", address) }
        if list.hosts.contains(where: { $0.name == host.name }) {
            complain(mark, "two hosts have the name `\(host.name)`; give each a `name` of its own")
        }
        if host.fetches && host.shards != nil {
            complain(mark, "`fetch` and `shards` of `\(host.name)` exclude each other; leave one out")
        }
        if host.isLocal && !host.ssh.isEmpty {
            complain(mark, "`ssh` of `\(host.name)`: `host: local` is this machine and is reached without ssh")
        }
    }

    /// Whether the text can be a host's name or address: it becomes part of file names, endpoints and command lines.
    private func isName(_ text: String) -> Bool {
        let isPlain = text.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"): true
            default: false
            }
        }
        return isPlain && (1...253).contains(text.utf8.count) && text.first != "-" && text.first != "."
    }

    private mutating func refuseName(_ mark: Mark?, _ key: String, _ found: String) {
        complain(mark, "`\(key)`: expected a name of letters, digits, `.`, `-` and `_`, found `\(found)`")
    }

    private mutating func take<Value: ConfigurationValue>(
        _ node: Node,
        _ key: String,
        as _: Value.Type = Value.self
    ) -> Value? {
        do throws(ValueProblem) {
            return try Value(node: node)
        } catch {
            complain(error.mark ?? node.mark, "`\(key)`: \(error.message)")
            return nil
        }
    }

    private mutating func take(_ node: Node, _ key: String, in range: ClosedRange<Int>) -> Int? {
        guard let value: Int = take(node, key) else { return nil }
        if range.contains(value) { return value }
        complain(node.mark, "`\(key)`: expected \(range.lowerBound) to \(range.upperBound), found \(value)")
        return nil
    }

    private mutating func unknown(_ key: Node, known: [String]) {
        let word = key.scalar?.string ?? key.found
        let near = Spelling.nearest(to: word, in: known).map { "; did you mean `\($0)`?" }
        complain(key.mark, "unknown key `\(word)`\(near ?? "; known are \(known.joined(separator: ", "))")")
    }
}
