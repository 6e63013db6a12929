import Messaging
import Testing

@Suite struct NameRegisterTests {
    let peer = PeerIdentity.random(role: "worker-1")
    let proof: [UInt8] = [1, 2, 3]

    @Test func aNameIsItsFirstClients() {
        var names = NameRegister()
        #expect(names.claim(peer, proof, over: 5, route: [1]) == .granted(replaced: nil))
        #expect(names.claim(peer, [9], over: 6, route: [2]) == .denied)
        #expect(names.connection(of: peer) == 5 && names.route(to: peer) == [1])
    }

    @Test func anotherConnectionOfTheSameClientReplacesTheFirst() {
        var names = NameRegister()
        _ = names.claim(peer, proof, over: 5, route: [1])
        #expect(names.claim(peer, proof, over: 6, route: [2]) == .granted(replaced: 5))
        // The end of the first is no loss any more.
        #expect(names.end(5) == nil)
        #expect(names.end(6) == peer)
    }

    /// The kernel gives the lowest free descriptor: a connection that is made anew has often the number of the last one.
    @Test func aDescriptorThatIsUsedAgainIsAnotherConnection() {
        var names = NameRegister()
        _ = names.claim(peer, proof, over: 5, route: [1])
        #expect(names.end(5) == peer)
        #expect(names.claim(peer, proof, over: 5, route: [2]) == .granted(replaced: nil))
        // What had come over the first one and was read late does not bring it back.
        #expect(names.claim(peer, proof, over: 5, route: [1]) == .outdated)
        #expect(names.route(to: peer) == [2])
        #expect(names.end(5) == peer)
    }
}
