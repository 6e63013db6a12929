/// The first frame of each message of a `ZeroMQClient`: whose it is, and proof that it is the same client as before.
///
/// The names that ZMTP knows (routing ids) are taken over by whoever says them, before anybody is asked. Here the server
/// binds a name to the client that used it first: 16 random bytes, which each client draws when it is made. With keys
/// nobody else can read them; without, who reads the network can, and is in.
struct NameFrame: Hashable {
    private static let magic = Array("PLEURA\u{1}".utf8)
    private static let proofBytes = 16

    let identity: PeerIdentity
    let proof: [UInt8]

    init(_ identity: PeerIdentity) {
        self.identity = identity
        var random = SystemRandomNumberGenerator()
        proof = (0..<Self.proofBytes).map { _ in UInt8.random(in: .min ... .max, using: &random) }
    }

    /// Nil where the bytes are no name.
    init?(_ bytes: UnsafeRawBufferPointer) {
        let start = Self.magic.count + Self.proofBytes
        guard bytes.count > start, bytes.prefix(Self.magic.count).elementsEqual(Self.magic),
            let identity = PeerIdentity(bytes: UnsafeRawBufferPointer(rebasing: bytes[start...]))
        else { return nil }
        self.identity = identity
        proof = Array(bytes[Self.magic.count..<start])
    }

    var bytes: [UInt8] { Self.magic + proof + Array(identity.text.utf8) }
}

/// Which client has which name on a server, and over which connection it is reached.
package struct NameRegister {
    /// A name's owner; `connection` is nil while there is none.
    private struct Owner {
        var proof: [UInt8]
        var connection: Int32?
        /// libzmq's name for the connection; no two connections of a socket have the same, as descriptors may.
        var route: [UInt8]
        /// That of the connection before.
        var formerRoute: [UInt8]?
    }

    /// The names of so many clients that are gone stay reserved for them; of more, the oldest are given up.
    private static let kept = 4096

    private var owners: [PeerIdentity: Owner] = [:]
    private var peers: [Int32: PeerIdentity] = [:]
    private var gone: [PeerIdentity] = []

    package init() {}

    /// Who speaks through the connection, as far as it is known.
    package func peer(over connection: Int32) -> PeerIdentity? { peers[connection] }

    /// The connection over which the peer spoke last.
    package func connection(of peer: PeerIdentity) -> Int32? { owners[peer]?.connection }

    /// libzmq's name for the connection over which the peer spoke last.
    package func route(to peer: PeerIdentity) -> [UInt8]? { owners[peer]?.route }

    package enum Claim: Equatable {
        /// The name belongs to the sender. `replaced` is its connection before this one, which is dead.
        case granted(replaced: Int32?)
        /// The message came over an older connection of the sender's, which is known to have ended.
        case outdated
        /// It is another's.
        case denied
    }

    /// Whether a message that came over `connection` may use the name. A program that gives no proof (an empty one)
    /// cannot take a name from another.
    package mutating func claim(
        _ name: PeerIdentity,
        _ proof: [UInt8],
        over connection: Int32?,
        route: [UInt8]
    ) -> Claim {
        var replaced: Int32?
        var formerRoute: [UInt8]?
        if let owner = owners[name] {
            guard owner.proof == proof else { return .denied }
            if !proof.isEmpty {
                if route == owner.formerRoute { return .outdated }
                formerRoute = route == owner.route ? owner.formerRoute : owner.route
            }
            if let connection, let old = owner.connection, old != connection { replaced = old }
        }
        if let replaced { peers[replaced] = nil }
        if let connection {
            if let former = peers[connection], former != name { owners[former]?.connection = nil }
            peers[connection] = name
        }
        owners[name] = Owner(proof: proof, connection: connection, route: route, formerRoute: formerRoute)
        return .granted(replaced: replaced)
    }

    /// The connection is gone; returns the peer that is not reached any more.
    package mutating func end(_ connection: Int32) -> PeerIdentity? {
        guard let peer = peers.removeValue(forKey: connection), owners[peer]?.connection == connection else {
            return nil
        }
        owners[peer]?.connection = nil
        gone.append(peer)
        if gone.count > Self.kept {
            let oldest = gone.removeFirst()
            if owners[oldest]?.connection == nil { owners[oldest] = nil }
        }
        return peer
    }
}
