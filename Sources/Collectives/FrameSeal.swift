import CCrypto
import CZeroMQ
import Messaging

// Frames that are authenticated and not encrypted carry a seal as a frame of its own, behind their header: 16 bytes of a
// salt, which the sender draws for each connection; 8 bytes of a counter, little-endian; the 16 bytes of an AES-256-GMAC
// over header and payload under a key of the two workers and the salt, with the counter as its nonce; and the name of the
// sender's key. A key of a salt sees a counter once, so no nonce comes twice; a receiver takes a salt's counters in
// ascending order only, so a frame that was recorded is not taken again.

/// The key of one salt, from one worker to another.
private final class SealKey {
    private let context: OpaquePointer

    /// Nil where libcrypto refuses.
    init?(secret: [UInt8], salt: [UInt8], from sender: String, to receiver: String) {
        let text = Array("pleura frames 1".utf8) + salt + Array("\(sender)\n\(receiver)\n".utf8) + secret
        var key = [UInt8](repeating: 0, count: 32)
        guard EVP_Digest(text, text.count, &key, nil, EVP_sha256(), nil) == 1, let context = EVP_CIPHER_CTX_new() else {
            return nil
        }
        guard EVP_EncryptInit_ex(context, EVP_aes_256_gcm(), nil, key, nil) == 1 else {
            EVP_CIPHER_CTX_free(context)
            return nil
        }
        self.context = context
    }

    deinit { EVP_CIPHER_CTX_free(context) }

    /// The tag over the parts; nil where libcrypto refuses.
    func tag(counter: UInt64, _ header: UnsafeRawBufferPointer, _ payload: UnsafeRawBufferPointer?) -> [UInt8]? {
        var nonce = [UInt8](repeating: 0, count: 4)
        withUnsafeBytes(of: counter.littleEndian) { nonce += $0 }
        guard EVP_EncryptInit_ex(context, nil, nil, nil, nonce) == 1 else { return nil }
        for case let part? in [header, payload] {
            guard let base = part.baseAddress, !part.isEmpty else { continue }
            var count: Int32 = 0
            let bytes = base.assumingMemoryBound(to: UInt8.self)
            guard EVP_EncryptUpdate(context, nil, &count, bytes, Int32(part.count)) == 1 else { return nil }
        }
        var count: Int32 = 0
        var rest = [UInt8](repeating: 0, count: 16)
        var tag = rest
        guard EVP_EncryptFinal_ex(context, &rest, &count) == 1,
            EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_GET_TAG, 16, &tag) == 1
        else { return nil }
        return tag
    }
}

extension PlaneKeys {
    /// What this worker and `other` share and nobody else can know (X25519); nil for a stranger.
    func sharedSecret(with other: String) -> [UInt8]? {
        guard let theirs = workers.keys[other], let own = Self.bytes(of: pair.secretKey),
            let public32 = Self.bytes(of: theirs),
            let mine = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, nil, own, own.count)
        else { return nil }
        defer { EVP_PKEY_free(mine) }
        guard let yours = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, nil, public32, public32.count) else {
            return nil
        }
        defer { EVP_PKEY_free(yours) }
        guard let context = EVP_PKEY_CTX_new(mine, nil) else { return nil }
        defer { EVP_PKEY_CTX_free(context) }
        var secret = [UInt8](repeating: 0, count: 32)
        var count = secret.count
        guard EVP_PKEY_derive_init(context) == 1, EVP_PKEY_derive_set_peer(context, yours) == 1,
            EVP_PKEY_derive(context, &secret, &count) == 1, count == 32
        else { return nil }
        return secret
    }

    private static func bytes(of key: String) -> [UInt8]? {
        guard CurveKeys.isKey(key) else { return nil }
        var bytes = [UInt8](repeating: 0, count: 32)
        return zmq_z85_decode(&bytes, key) == nil ? nil : bytes
    }
}

/// Seals the frames of one connection.
final class FrameSealer {
    private let key: SealKey
    private let salt: [UInt8]
    private let name: [UInt8]
    private var counter: UInt64 = 0

    /// Nil where `receiver` is a stranger.
    init?(_ keys: PlaneKeys, to receiver: String) {
        var random = SystemRandomNumberGenerator()
        salt = (0..<16).map { _ in UInt8.random(in: .min ... .max, using: &random) }
        guard let secret = keys.sharedSecret(with: receiver),
            let key = SealKey(secret: secret, salt: salt, from: keys.name, to: receiver)
        else { return nil }
        self.key = key
        name = Array(keys.name.utf8)
    }

    /// The seal's frame; nil where libcrypto refuses.
    func seal(_ header: UnsafeRawBufferPointer, _ payload: UnsafeRawBufferPointer?) -> [UInt8]? {
        counter += 1
        guard let tag = key.tag(counter: counter, header, payload) else { return nil }
        return withUnsafeBytes(of: counter.littleEndian) { salt + $0 + tag + name }
    }
}

/// Checks the seals of all who send to this worker.
final class FrameSeals {
    /// The most connections of one worker whose counters are known; the oldest is forgotten first.
    private static let known = 16

    private struct Sender {
        let secret: [UInt8]
        var connections: [(salt: [UInt8], key: SealKey, counter: UInt64)] = []
    }

    private let keys: PlaneKeys
    private var senders: [String: Sender] = [:]

    init(_ keys: PlaneKeys) { self.keys = keys }

    /// Whose key has sealed the frame; nil where none on the list has, or it came before.
    func sender(
        of header: UnsafeRawBufferPointer,
        _ payload: UnsafeRawBufferPointer?,
        seal: UnsafeRawBufferPointer
    ) -> String? {
        guard (41...64).contains(seal.count) else { return nil }
        let name = String(decoding: seal[40...], as: UTF8.self)
        if senders[name] == nil {
            guard let secret = keys.sharedSecret(with: name) else { return nil }
            senders[name] = Sender(secret: secret)
        }
        guard let sender = senders[name] else { return nil }
        let salt = Array(seal[..<16])
        let counter = UInt64(littleEndian: seal.loadUnaligned(fromByteOffset: 16, as: UInt64.self))
        let place = sender.connections.firstIndex { $0.salt == salt }
        let last = place.map { sender.connections[$0].counter } ?? 0
        guard counter > last,
            let key = place.map({ sender.connections[$0].key })
                ?? SealKey(secret: sender.secret, salt: salt, from: name, to: keys.name),
            let tag = key.tag(counter: counter, header, payload),
            CRYPTO_memcmp(tag, seal.baseAddress.map { $0 + 24 }, 16) == 0
        else { return nil }
        if let place {
            senders[name]?.connections[place].counter = counter
        } else {
            senders[name]?.connections.append((salt, key, counter))
            if sender.connections.count >= Self.known { senders[name]?.connections.removeFirst() }
        }
        return name
    }
}
