import Messaging
import RunLinks
import Testing

@Suite struct FetchWindowTests {
    private let now = ContinuousClock.now

    private func request(_ peer: Int, _ number: UInt64) throws -> FetchWindow.Request {
        FetchWindow.Request(
            peer: try #require(PeerIdentity("peer-\(peer)")),
            number: number,
            file: BulkFile(isCheckpoint: true, name: "step-1.h5"),
            offset: 0,
            length: BulkMessage.largestPayload
        )
    }

    @Test("Who does not take its answers gets eight, and is cut off when it asks for many more")
    func onePeer() throws {
        var window = FetchWindow()
        var answers = 0
        for number: UInt64 in 0..<72 {
            let actions = window.ask(try request(0, number), at: now)
            answers += actions.answers.count
            #expect(actions.refusals.isEmpty)
            // The same one again is none.
            let again = window.ask(try request(0, number), at: now)
            #expect(again.answers.isEmpty && again.refusals.isEmpty)
        }
        #expect(answers == 8)
        let peer = try request(0, 0).peer
        // Each that is received lets one through.
        #expect(window.received(3, by: peer, at: now).answers.map(\.number) == [8])
        #expect(window.received(3, by: peer, at: now).answers.isEmpty)
        #expect(window.ask(try request(0, 72), at: now).refusals.isEmpty)
        let refusals = window.ask(try request(0, 73), at: now).refusals
        #expect(refusals[peer]?.contains("64 requests") == true)
        // It begins anew.
        #expect(window.ask(try request(0, 74), at: now).answers.count == 1)
    }

    @Test("All together have 64 answers under way; who takes none gives way to those who wait")
    func manyPeers() throws {
        var window = FetchWindow()
        var answers = 0
        for peer in 0..<20 {
            for number: UInt64 in 0..<8 { answers += window.ask(try request(peer, number), at: now).answers.count }
        }
        #expect(answers == 64)
        // One that takes its answers goes on, however many others wait.
        let honest = try request(0, 0).peer
        #expect(window.received(0, by: honest, at: now).answers.count == 1)
        let late = try request(99, 1)
        #expect(window.ask(late, at: now + .seconds(4)).answers.isEmpty)
        // It asks again after a while, and those who have taken nothing for so long are gone.
        let actions = window.ask(late, at: now + .seconds(6))
        #expect(actions.answers.contains(late) && !actions.refusals.isEmpty)
        #expect(actions.refusals.values.allSatisfy { $0.contains("not received any for 5") })
        // Who is gone leaves nothing behind.
        for peer in 0..<100 { _ = window.lost(try request(peer, 0).peer, at: now + .seconds(7)) }
        #expect(window.ask(try request(50, 0), at: now + .seconds(7)).answers.count == 1)
    }
}
