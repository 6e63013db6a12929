import Messaging
import Testing
import Training

@Suite struct ListenAddressTests {
    private func address(
        listen: String? = nil,
        advertise: String? = nil,
        coordinator: String,
        own: String? = "192.0.2.7"
    ) throws -> ListenAddress {
        try ListenAddress(listen: listen, advertise: advertise, coordinator: coordinator) { _ in own }
    }

    @Test func workersOfALocalCoordinatorStayOnLoopback() throws {
        for host in ["127.0.0.1", "localhost", "0.0.0.0"] {
            let address = try address(coordinator: "tcp://\(host):7000", own: nil)
            #expect(address.listen == "tcp://127.0.0.1:*" && address.advertised == nil, "\(host)")
        }
        // The name of this very machine.
        #expect(try address(coordinator: "tcp://here:7000", own: "127.0.1.1").listen == "tcp://127.0.0.1:*")
    }

    @Test func othersAreReachedAsTheCoordinatorReachesThem() throws {
        let found = try address(coordinator: "tcp://198.51.100.1:7000")
        #expect(found.listen == "tcp://0.0.0.0:*" && found.advertised == "192.0.2.7")
        let named = try address(advertise: "node7", coordinator: "tcp://198.51.100.1:7000", own: nil)
        #expect(named.listen == "tcp://0.0.0.0:*" && named.advertised == "node7")
        let open = try address(listen: "tcp://*:7001", coordinator: "tcp://198.51.100.1:7000")
        #expect(open.listen == "tcp://*:7001" && open.advertised == "192.0.2.7")
        let bound = try address(listen: "tcp://192.0.2.9:*", coordinator: "tcp://198.51.100.1:7000", own: nil)
        #expect(bound.listen == "tcp://192.0.2.9:*" && bound.advertised == nil)
    }

    @Test func anAddressThatNobodyCouldUseIsRefused() {
        for listen in [nil, "tcp://0.0.0.0:*", "tcp://*:7001", "tcp://[::]:7001"] {
            #expect {
                try address(listen: listen, coordinator: "tcp://far:7000", own: nil)
            } throws: {
                "\($0)".contains("--advertise") && "\($0)".contains("far")
            }
        }
    }

    @Test func theKernelKnowsTheWay() {
        #expect(ListenAddress.localAddress(towards: "127.0.0.1") == "127.0.0.1")
    }
}
