import Foundation
package import Platform

/// The version of this program.
package enum ProgramVersion {
    /// The version as users know it: the newest heading of CHANGELOG.md.
    package static let current = "0.4.0"

    /// The version and a digest of the program's file: equal results need equal programs, and two builds of one version
    /// may round differently.
    ///
    /// Coordinator and workers must have the same one.
    package static let build: String = {
        // The very file that runs, also where another was installed over it since.
        guard let file = try? OpenFile("/proc/self/exe", .read), let digest = try? digest(of: file) else {
            return "\(current) (build unknown)"
        }
        return "\(current) (build \(digest))"
    }()

    /// A digest of a file's bytes as 16 hexadecimal digits: piece by piece, each hashed behind the hash of those before.
    ///
    /// A program has tens of megabytes, which read or mapped at once would be the peak of a small worker's memory.
    package static func digest(of file: OpenFile) throws -> String {
        var buffer = [UInt8](repeating: 0, count: 8 + (1 << 20))
        var position = 0
        var hash: UInt64 = 0
        while true {
            for index in 0..<8 { buffer[index] = UInt8(truncatingIfNeeded: hash >> (8 * UInt64(index))) }
            let count = try buffer.withUnsafeMutableBytes { bytes in
                try file.read(at: position, into: UnsafeMutableRawBufferPointer(rebasing: bytes[8...]))
            }
            if count == 0 { break }
            hash = buffer.withUnsafeBytes { XXH3.hash64(UnsafeRawBufferPointer(rebasing: $0[..<(8 + count)])) }
            position += count
        }
        let digits = String(hash, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}
