private import CZlib
package import Diagnostics
private import Glibc

/// Why a file could not be read.
package enum InputFileError: ReportableError, Equatable {
    case system(path: String, call: String, errno: Int32)
    case isDirectory(path: String)
    case tooLarge(path: String, limit: Int)
    case damagedGzip(path: String, reason: String)

    package var exitStatus: ExitStatus {
        switch self {
        case .system: .missingInput
        case .isDirectory, .tooLarge, .damagedGzip: .badInput
        }
    }

    /// Why, without the path.
    var reason: String {
        switch self {
        case .system(_, _, let code): String(cString: strerror(code))
        case .isDirectory: "it is a folder, and a file is needed"
        case .tooLarge(_, let limit): "it holds more than \(limit >> 20) MiB, which no file of this kind needs"
        case .damagedGzip(_, let reason): "\(reason). The gzip file is damaged or cut off; copy it again"
        }
    }

    package var description: String {
        switch self {
        case .system(let path, let call, _): "Cannot \(call) \(path): \(reason)."
        case .isDirectory(let path), .tooLarge(let path, _): "Cannot read \(path): \(reason)."
        case .damagedGzip(let path, _): "Cannot unpack \(path): \(reason)."
        }
    }
}

/// Whole files in memory.
package enum FileContents {
    /// The largest text file that is read, packed or unpacked: 1 GiB, 170 times the challenge's label file.
    package static let textLimit = 1 << 30

    /// The bytes of a file of at most `limit` bytes.
    ///
    /// Blocks on the disk.
    package static func read(_ path: String, limit: Int) throws(InputFileError) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .system(path: path, call: "open", errno: errno) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw .system(path: path, call: "read", errno: errno) }
        guard status.st_mode & S_IFMT != S_IFDIR else { throw .isDirectory(path: path) }
        guard Int(status.st_size) <= limit else { throw .tooLarge(path: path, limit: limit) }
        var bytes = [UInt8](repeating: 0, count: max(Int(status.st_size), 4096))
        var filled = 0
        while true {
            // A pipe has no size and a file may grow: read until the end, not until the size.
            if filled == bytes.count {
                guard filled < limit else { throw .tooLarge(path: path, limit: limit) }
                bytes.append(contentsOf: repeatElement(0, count: min(filled, limit - filled)))
            }
            let count = bytes.withUnsafeMutableBytes { buffer in
                Glibc.read(descriptor, buffer.baseAddress.map { $0 + filled }, buffer.count - filled)
            }
            if count == 0 { break }
            if count < 0 {
                if errno == EINTR { continue }
                throw .system(path: path, call: "read", errno: errno)
            }
            filled += count
        }
        bytes.removeLast(bytes.count - filled)
        return bytes
    }

    /// The bytes of a text file, unpacked where it is gzip (told by its first bytes, not by its name).
    package static func readMaybeCompressed(_ path: String) throws(InputFileError) -> [UInt8] {
        let bytes = try read(path, limit: textLimit)
        guard bytes.starts(with: [0x1F, 0x8B]) else { return bytes }
        return try inflate(bytes, path: path)
    }

    /// Unpacks gzip members one after another, as `gzip -d` does.
    private static func inflate(_ packed: [UInt8], path: String) throws(InputFileError) -> [UInt8] {
        var stream = z_stream()
        // 15 bits of window, + 16 for the gzip wrapper.
        guard inflateInit2_(&stream, 15 + 16, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else {
            throw .damagedGzip(path: path, reason: "zlib could not be started")
        }
        defer { inflateEnd(&stream) }
        var result: [UInt8] = []
        result.reserveCapacity(packed.count * 6)
        var chunk = [UInt8](repeating: 0, count: 1 << 18)
        var consumed = 0
        while consumed < packed.count {
            let available = min(packed.count - consumed, 1 << 30)
            let (status, taken, made) = packed.withUnsafeBufferPointer { input in
                chunk.withUnsafeMutableBufferPointer { output in
                    stream.next_in = UnsafeMutablePointer(mutating: input.baseAddress.map { $0 + consumed })
                    stream.avail_in = UInt32(available)
                    stream.next_out = output.baseAddress
                    stream.avail_out = UInt32(output.count)
                    let status = CZlib.inflate(&stream, Z_NO_FLUSH)
                    return (status, available - Int(stream.avail_in), output.count - Int(stream.avail_out))
                }
            }
            consumed += taken
            result.append(contentsOf: chunk[..<made])
            guard result.count <= textLimit else { throw .tooLarge(path: path, limit: textLimit) }
            switch status {
            case Z_STREAM_END:
                if consumed == packed.count { return result }
                guard inflateReset(&stream) == Z_OK else {
                    throw .damagedGzip(path: path, reason: "zlib could not go on to the next member")
                }
            case Z_OK: continue
            default:
                let reason = stream.msg.map { String(cString: $0) } ?? "zlib stopped with code \(status)"
                throw .damagedGzip(path: path, reason: reason)
            }
        }
        // The input may be used up while output is still pending.
        while true {
            let (status, made) = chunk.withUnsafeMutableBufferPointer { output in
                stream.next_out = output.baseAddress
                stream.avail_out = UInt32(output.count)
                return (CZlib.inflate(&stream, Z_NO_FLUSH), output.count - Int(stream.avail_out))
            }
            result.append(contentsOf: chunk[..<made])
            if status == Z_STREAM_END { return result }
            guard status == Z_OK, made > 0 else {
                throw .damagedGzip(path: path, reason: "it ends before its data does")
            }
        }
    }
}
