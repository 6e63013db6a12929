import Messaging
import Testing

@Suite struct ListenAddressTests {
    private func address(
        listen: String? = nil,
        advertise: String? = nil,
        coordinator: String,
        own: String? = "192.0.2.7",
        resolved: [String] = ["198.51.100.1"],
        interfaces: [String] = []
    ) throws -> ListenAddress {
        let system = ListenAddress.System(
            addresses: { (_, _) throws(MessagingError) in resolved },
            localAddress: { _ in own },
            interfaces: { interfaces }
        )
        return try ListenAddress(listen: listen, advertise: advertise, coordinator: coordinator, system: system)
    }

    @Test func workersOfALocalCoordinatorStayOnLoopback() throws {
        for host in ["127.0.0.1", "localhost", "0.0.0.0"] {
            let address = try address(coordinator: "tcp://\(host):7000", own: nil, resolved: ["127.0.0.1"])
            #expect(address.listen == "tcp://127.0.0.1:*" && address.advertised == nil, "\(host)")
        }
        let ofIPv6 = try address(coordinator: "tcp://[::1]:7000", own: nil)
        #expect(ofIPv6.listen == "tcp://[::1]:*" && ofIPv6.advertised == nil)
    }

    /// Debian maps the own name to 127.0.1.1: a worker beside the coordinator must not tell the others to come there.
    @Test func theOwnNameIsNoLoopbackForOthers() throws {
        func beside(_ interfaces: [String]) throws -> ListenAddress {
            try address(
                coordinator: "tcp://here:7000",
                own: "127.0.1.1",
                resolved: ["127.0.1.1"],
                interfaces: interfaces
            )
        }
        let found = try beside(["10.9.0.1"])
        #expect(found.listen == "tcp://0.0.0.0:*" && found.advertised == "10.9.0.1")
        #expect {
            try beside(["10.9.0.1", "10.8.0.1"])
        } throws: {
            "\($0)".contains("--advertise") && "\($0)".contains("10.8.0.1") && "\($0)".contains("here")
        }
        // A machine without a network is alone.
        #expect(try beside([]).listen == "tcp://127.0.0.1:*")
    }

    @Test func namesThatMeanNothingAreSaid() {
        for (coordinator, word) in [
            ("tcp://nowhere.invalid:7011", "nowhere.invalid cannot be resolved"), ("tcp://127.0.0.1", "HOST:PORT"),
            ("tcp://::1:7000", "brackets"),
        ] {
            #expect {
                try ListenAddress(listen: nil, advertise: nil, coordinator: coordinator)
            } throws: {
                "\($0)".contains(word)
            }
        }
        #expect {
            try ListenAddress(listen: nil, advertise: "nowhere.invalid", coordinator: "tcp://127.0.0.1:7000")
        } throws: {
            "\($0)".contains("nowhere.invalid cannot be resolved")
        }
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
        #expect(HostName.localAddress(towards: "127.0.0.1") == "127.0.0.1")
        #expect(HostName.localAddress(towards: "nowhere.invalid") == nil)
        #expect((try? HostName.addresses(of: "localhost", in: "")) != [])
    }
}
