import CZeroMQ

/// Keys of CURVE, libzmq's encryption: Curve25519 in Z85 text of 40 characters.
package enum CurveKeys: Hashable, Sendable {
    /// A listening socket: its secret key, and who may connect.
    ///
    /// The socket's context must have an `Authenticator` of that list: without one, nobody is let in.
    case server(secretKey: String, allowed: AllowList)
    /// A connecting socket: the server's public key, which is pinned, and the socket's own pair.
    case client(serverKey: String, publicKey: String, secretKey: String)

    /// Bytes that encryption adds to a frame, and some: 16 of authentication, 8 of the nonce, 8 of a name, 1 of flags.
    static let overheadBytes = 64

    /// Whether this libzmq was built with CURVE.
    package static var isAvailable: Bool { zmq_has("curve") == 1 }

    /// A new pair from the system's random source.
    package static func generatePair() throws(MessagingError) -> CurvePair {
        var publicKey = [CChar](repeating: 0, count: 41)
        var secretKey = publicKey
        guard zmq_curve_keypair(&publicKey, &secretKey) == 0 else {
            throw .call("zmq_curve_keypair", subject: "a new pair of keys", code: zmq_errno())
        }
        return CurvePair(publicKey: Self.text(publicKey), secretKey: Self.text(secretKey))
    }

    /// Whether the text is a key: 40 characters of Z85.
    package static func isKey(_ text: String) -> Bool {
        var bytes = [UInt8](repeating: 0, count: 32)
        return text.utf8.count == 40 && !text.utf8.contains(0) && zmq_z85_decode(&bytes, text) != nil
    }

    /// The public key that belongs to a secret one; nil where the text is no key.
    package static func publicKey(of secretKey: String) -> String? {
        guard isKey(secretKey) else { return nil }
        var publicKey = [CChar](repeating: 0, count: 41)
        return zmq_curve_public(&publicKey, secretKey) == 0 ? text(publicKey) : nil
    }

    /// The text of a key's 32 bytes; nil for another number of bytes.
    static func text(of bytes: UnsafeRawBufferPointer) -> String? {
        guard bytes.count == 32, let base = bytes.baseAddress else { return nil }
        var key = [CChar](repeating: 0, count: 41)
        return zmq_z85_encode(&key, base.assumingMemoryBound(to: UInt8.self), 32) == nil ? nil : text(key)
    }

    private static func text(_ key: [CChar]) -> String {
        String(decoding: key.prefix(40).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

/// A pair of CURVE keys in Z85.
package struct CurvePair: Hashable, Sendable, Codable {
    package let publicKey: String
    package let secretKey: String

    package init(publicKey: String, secretKey: String) {
        self.publicKey = publicKey
        self.secretKey = secretKey
    }
}

/// Who may connect: public keys, each under the name by which its owner is known.
package struct AllowList: Hashable, Sendable, Codable {
    /// The public key of each name.
    package let keys: [String: String]
    private let names: [String: String]

    /// Nil where a name is not one (1 to 24 of `a-z`, `0-9` and hyphens), a key is not one, or two names share a key.
    package init?(_ keys: [String: String]) {
        guard keys.allSatisfy({ Self.isName($0) && CurveKeys.isKey($1) }) else { return nil }
        names = Dictionary(keys.map { ($1, $0) }) { first, _ in first }
        guard names.count == keys.count else { return nil }
        self.keys = keys
    }

    /// Whose key it is; nil for a stranger's.
    func name(of publicKey: String) -> String? { names[publicKey] }

    /// Whether the text can be the name of a key.
    package static func isName(_ text: String) -> Bool {
        (1...24).contains(text.utf8.count)
            && text.utf8.allSatisfy { byte in
                (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
                    || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || byte == UInt8(ascii: "-")
            }
    }
}
