internal import CCrypto
package import Platform

/// A SHA-256 value; in JSON and text, 64 lower-case hexadecimal digits.
package struct SHA256Digest: Hashable, Sendable, CustomStringConvertible {
    /// 32 bytes.
    package let bytes: [UInt8]

    /// Takes 32 bytes; nil for any other number.
    package init?(bytes: some Collection<UInt8>) {
        guard bytes.count == 32 else { return nil }
        self.bytes = Array(bytes)
    }

    /// Parses 64 lower-case hexadecimal digits.
    package init?(hexadecimal text: some StringProtocol) {
        guard text.utf8.count == 64 else { return nil }
        var bytes: [UInt8] = []
        var high: UInt8?
        for digit in text.utf8 {
            let value: UInt8
            switch digit {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = digit - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): value = digit - UInt8(ascii: "a") + 10
            default: return nil
            }
            if let first = high {
                bytes.append(first << 4 | value)
                high = nil
            } else {
                high = value
            }
        }
        self.bytes = bytes
    }

    package var description: String {
        let digits = Array("0123456789abcdef".utf8)
        return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }

    /// The digest of some bytes.
    package static func of(_ bytes: UnsafeRawBufferPointer) -> SHA256Digest {
        var hash = SHA256()
        hash.update(bytes)
        return hash.finish()
    }

    /// The digest of some bytes.
    package static func of(_ bytes: [UInt8]) -> SHA256Digest { bytes.withUnsafeBytes { of($0) } }
}

extension SHA256Digest: Codable {
    package init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        guard let digest = SHA256Digest(hexadecimal: text) else {
            throw DecodingError.dataCorrupted(
                .init(codingPath: decoder.codingPath, debugDescription: "not 64 hexadecimal digits")
            )
        }
        self = digest
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

/// A running SHA-256 over bytes given piece by piece, by OpenSSL with the processor's instructions.
package struct SHA256: ~Copyable {
    private let context: OpaquePointer

    package init() {
        // OpenSSL refuses only for want of memory, or in a mode that forbids SHA-256; neither can go on.
        guard let context = EVP_MD_CTX_new(), EVP_DigestInit_ex(context, EVP_sha256(), nil) == 1 else {
            preconditionFailure("OpenSSL cannot start a SHA-256")
        }
        self.context = context
    }

    deinit { EVP_MD_CTX_free(context) }

    /// Adds bytes.
    package mutating func update(_ bytes: UnsafeRawBufferPointer) {
        precondition(EVP_DigestUpdate(context, bytes.baseAddress, bytes.count) == 1, "OpenSSL cannot hash")
    }

    /// Adds the bytes of an array.
    package mutating func update(_ bytes: [UInt8]) { bytes.withUnsafeBytes { update($0) } }

    /// Adds the UTF-8 bytes of a text.
    package mutating func update(_ text: String) { update(Array(text.utf8)) }

    /// Adds an integer's bytes, least significant first.
    package mutating func update<Integer: FixedWidthInteger>(littleEndian value: Integer) {
        withUnsafeBytes(of: value.littleEndian) { update($0) }
    }

    /// Adds a text behind its length in bytes, so that neighbouring texts cannot be confused.
    package mutating func update(sized text: String) {
        update(littleEndian: UInt32(clamping: text.utf8.count))
        update(text)
    }

    /// The digest of the bytes added so far; more may follow.
    package func digestSoFar() -> SHA256Digest {
        let copy = SHA256()
        precondition(EVP_MD_CTX_copy_ex(copy.context, context) == 1, "OpenSSL cannot copy a SHA-256")
        return copy.finish()
    }

    /// The digest of all bytes added.
    package consuming func finish() -> SHA256Digest {
        var bytes = [UInt8](repeating: 0, count: 32)
        precondition(EVP_DigestFinal_ex(context, &bytes, nil) == 1, "OpenSSL cannot finish a SHA-256")
        guard let digest = SHA256Digest(bytes: bytes) else { preconditionFailure("SHA-256 has 32 bytes") }
        return digest
    }
}

/// How long a file was, or its first part, and what it held.
package struct FileSeal: Codable, Hashable, Sendable {
    /// The bytes that are vouched for, from the start of the file.
    package var bytes: Int
    package var sha256: SHA256Digest

    package init(bytes: Int, sha256: SHA256Digest) {
        self.bytes = bytes
        self.sha256 = sha256
    }

    /// The seal of a whole file.
    package static func of(_ path: String) throws -> FileSeal {
        let file = try OpenFile(path, .read)
        let size = try file.size()
        guard let digest = try file.sha256(count: size) else {
            throw StorageDefect(.truncated, file: path, "it became shorter while it was read")
        }
        return FileSeal(bytes: size, sha256: digest)
    }

    /// What is wrong with the file at `path`, of which these were the first bytes, or, where `isWhole`, all; nil where
    /// nothing is. `since` is when that was, as in "when the run ended".
    package func defect(of path: String, isWhole: Bool, since: String) throws -> StorageDefect? {
        guard FileSystem.exists(path) else {
            return StorageDefect(.missing, file: path, "it is gone, and had \(bytes) bytes \(since)")
        }
        let file = try OpenFile(path, .read)
        let size = try file.size()
        if size < bytes {
            return StorageDefect(.truncated, file: path, "it has \(size) bytes, and had \(bytes) \(since)")
        }
        if isWhole && size > bytes {
            return StorageDefect(.inconsistent, file: path, "it has \(size) bytes, and had \(bytes) \(since)")
        }
        guard try file.sha256(count: bytes) == sha256 else {
            return StorageDefect(.wrongHash, file: path, "its first \(bytes) bytes are not those that it had \(since)")
        }
        return nil
    }
}

/// The seal of a file that grows, kept as it grows.
package struct RunningSeal: ~Copyable {
    private var hash = SHA256()
    private var bytes = 0

    package init() {}

    package mutating func add(_ record: [UInt8]) {
        hash.update(record)
        bytes += record.count
    }

    package var seal: FileSeal { FileSeal(bytes: bytes, sha256: hash.digestSoFar()) }
}

extension OpenFile {
    /// The SHA-256 of a part of the file, or of all of it; nil if it ends before.
    package func sha256(at offset: Int = 0, count: Int? = nil) throws(FileError) -> SHA256Digest? {
        let size = try size()
        let end = offset + (count ?? max(0, size - offset))
        guard end <= size else { return nil }
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
        defer { buffer.deallocate() }
        var hash = SHA256()
        var position = offset
        while position < end {
            let part = UnsafeMutableRawBufferPointer(rebasing: buffer[..<min(buffer.count, end - position)])
            guard try read(at: position, into: part) == part.count else { return nil }
            hash.update(UnsafeRawBufferPointer(part))
            position += part.count
        }
        return hash.finish()
    }
}
