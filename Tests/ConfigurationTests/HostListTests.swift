import Configuration
import Testing

/// Reading lists of hosts.
@Suite struct HostListTests {
    @Test func aListHasDefaultsAndSeatsInItsOrder() throws {
        let list = try HostList.parse(
            """
            coordinator: 10.0.0.1
            hosts:
              - host: anna@gpu1
                ssh: [-p, "2222"]
                workers: 2
                threads: 8
                folder: ~/work
              - {host: local, name: here, fetch: true, cache_gib: 5}
            """,
            file: "hosts.yaml"
        )
        #expect(list.coordinator == "10.0.0.1")
        #expect(list.seats.map(\.host.name) == ["gpu1", "gpu1", "here"] && list.seats.map(\.number) == [0, 1, 2])
        #expect(list.hosts[0].ssh == ["-p", "2222"] && list.hosts[0].threads == 8 && list.hosts[0].folder == "~/work")
        #expect(!list.hosts[0].isLocal && list.hosts[0].program == nil && list.hosts[0].cacheGiB == 64)
        #expect(list.hosts[1].isLocal && list.hosts[1].fetches && list.hosts[1].cacheGiB == 5)
    }

    @Test(arguments: [
        ("hosts: []", "at least one host"),
        ("- a", "expected `hosts:`"),
        ("hosts: [gpu1]", "a host has keys"),
        ("hosts: [{name: a}]", "expected what ssh connects to"),
        ("hosts: [{host: -oProxyCommand=evil}]", "expected what ssh connects to"),
        ("hosts: [{host: a, name: \"x; y\"}]", "expected a name of letters"),
        ("hosts: [{host: a}, {host: b@a}]", "two hosts have the name `a`"),
        ("hosts: [{host: a, wrokers: 2}]", "did you mean `workers`?"),
        ("hosts: [{host: a, workers: 0}]", "expected 1 to 4096"),
        ("hosts: [{host: a, fetch: true, shards: /s}]", "exclude each other"),
        ("hosts: [{host: local, ssh: [-v]}]", "reached without ssh"),
        ("coordinator: \"a b\"\nhosts: [{host: a}]", "expected a name of letters"),
        ("hosts: [{host: a}", "not valid YAML"),
    ])
    func whatIsWrongIsSaidWithItsPlace(_ text: String, _ message: String) throws {
        let error = try #require(throws: ConfigurationError.self) { try HostList.parse(text, file: "hosts.yaml") }
        #expect(error.description.contains(message) && error.description.contains("hosts.yaml, line"), "\(error)")
    }
}
