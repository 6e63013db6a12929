import Messaging
import Testing

@Suite(.timeLimit(.minutes(15)))
struct InMemoryTransportTests {
    @Test func messagesPassBothWaysInOrder() async throws {
        let network = try InMemoryNetwork()
        let events = (server: Events(), client: Events())
        let server = network.server(handler: events.server.handler)
        let client = network.client(identity: .random(role: "worker"), handler: events.client.handler)
        try await events.client.connected()
        for number in 0..<100 { try client.send([UInt8(number)]) }
        for number in 0..<100 { #expect(try await events.server.nextMessage().bytes == [UInt8(number)]) }
        for number in 0..<100 { try server.send([UInt8(number)], to: client.identity) }
        for number in 0..<100 { #expect(try await events.client.nextMessage().bytes == [UInt8(number)]) }
        network.close()
        #expect(throws: MessagingError.closed) { try client.send([0]) }
    }

    @Test func aSeveredConnectionLosesMessagesAndComesBack() async throws {
        let network = try InMemoryNetwork()
        defer { network.close() }
        let events = (server: Events(), client: Events())
        let server = network.server(handler: events.server.handler)
        let client = network.client(identity: .random(role: "worker"), handler: events.client.handler)
        try await events.client.connected()
        // As over ZeroMQ, a server reaches only those that have spoken.
        try server.send([1], to: client.identity)
        #expect(try await events.server.nextLoss().peer == client.identity)
        try client.send([2])
        #expect(try await events.server.nextMessage().bytes == [2])

        network.sever(client.identity)
        #expect(try await events.server.nextLoss().peer == client.identity)
        _ = try await events.client.nextLoss()
        try client.send([3])
        network.heal(client.identity)
        try await events.client.connected()
        try client.send([4])
        #expect(try await events.server.nextMessage().bytes == [4])
        client.close()
        #expect(try await events.server.nextLoss().peer == client.identity)
    }
}
