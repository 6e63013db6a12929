import Messaging
import Testing

@Suite struct EndpointTests {
    @Test(
        arguments: [
            ("tcp://0.0.0.0:41234", "tcp://node1:7000", "tcp://node1:41234"),
            ("tcp://*:41234", "tcp://10.0.0.3:7000", "tcp://10.0.0.3:41234"),
            ("tcp://[::]:41234", "tcp://[fe80::1]:7000", "tcp://[fe80::1]:41234"),
            ("tcp://10.0.0.9:41234", "tcp://node1:7000", "tcp://10.0.0.9:41234"),
            ("ipc:///tmp/a", "tcp://node1:7000", "ipc:///tmp/a"), ("tcp://*:1", "nonsense", "tcp://*:1"), ("", "", ""),
        ]
    )
    func aWildcardIsReachedAsItsNeighbour(endpoint: String, neighbour: String, expected: String) {
        #expect(Endpoint.reachable(endpoint, beside: neighbour) == expected)
    }

    @Test func aSecondSocketStandsBesideTheFirst() {
        #expect(Endpoint.beside("tcp://[::1]:7000") == "tcp://[::1]:*")
        #expect(Endpoint.beside("tcp://10.0.0.1:7000") == "tcp://10.0.0.1:*")
        #expect(Endpoint.beside("ipc:///tmp/run") == "ipc:///tmp/run.bulk")
    }

    @Test func theHintNamesTheMachine() {
        #expect(Endpoint.reachable("tcp://0.0.0.0:7000", at: "node1") == "tcp://node1:7000")
        #expect(Endpoint.reachable("tcp://127.0.0.1:7000", at: "node1") == "tcp://127.0.0.1:7000")
    }
}
