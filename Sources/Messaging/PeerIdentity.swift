/// The name of one process on a transport, which its messages carry: 1 to 64 bytes of `[A-Za-z0-9._:-]`.
///
/// A process takes a name that none before it had (its role and a random number), so that a connection that lingers
/// is never taken for the new one.
package struct PeerIdentity: Hashable, Sendable, CustomStringConvertible {
    package let text: String

    /// Nil where `text` is not of the form above.
    package init?(_ text: String) {
        guard Self.isValid(Array(text.utf8)) else { return nil }
        self.text = text
    }

    /// The name that a frame carries, or nil where it is none: frames come from anybody who reaches the port.
    init?(bytes: UnsafeRawBufferPointer) {
        guard bytes.count <= 64 else { return nil }
        let bytes = [UInt8](bytes)
        guard Self.isValid(bytes) else { return nil }
        self.text = String(decoding: bytes, as: UTF8.self)
    }

    /// `role` and 64 random bits.
    package static func random(role: String) -> PeerIdentity {
        let number = String(UInt64.random(in: .min ... .max), radix: 16)
        guard let identity = PeerIdentity("\(role)-\(number)") else {
            preconditionFailure("a role is up to 40 letters, digits, dots, colons or hyphens, not `\(role)`")
        }
        return identity
    }

    package var description: String { text }

    private static func isValid(_ bytes: [UInt8]) -> Bool {
        (1...64).contains(bytes.count)
            && bytes.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: ":"),
                    UInt8(ascii: "-"):
                    true
                default: false
                }
            }
    }
}
