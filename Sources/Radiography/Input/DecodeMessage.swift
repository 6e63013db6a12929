/// The conversation between a decoding process and its parent, over one stream socket.
///
/// The child says `greeting`; then each request gets one reply. Numbers are 32-bit and little-endian. Neither side
/// trusts the other's lengths.
enum DecodeMessage {
    static let greeting: [UInt8] = Array("PLEURAD1".utf8)
    /// The longest path, and the longest reply but for its pixels.
    static let textLimit = 1 << 16

    /// One file to read.
    struct Request: Equatable {
        /// The side of the square image that is wanted, 0 for the header alone, or `mask`.
        var size: Int
        /// Whether the image at its own size is wanted too, behind the square one.
        var wantsWhole = false
        /// Of a mask, the values that are wanted; they stand before the path, with a line end between.
        var values: MaskValues?
        var path: String

        func encoded() -> [UInt8] {
            let text = Array(((values.map { $0.text + "\n" } ?? "") + path).utf8)
            return number(size | (wantsWhole ? wholeFlag : 0)) + number(text.count) + text
        }
    }

    /// In the place of a size: the file is a mask, whose runs are wanted.
    static let mask = 1 << 16

    static let requestHeader = 8
    /// The bit of a request's size that asks for the image at its own size too.
    static let wholeFlag = 1 << 31
    /// Status, length of the text, count of pixels.
    static let replyHeader = 12

    enum Status: Int {
        /// The text is a `FileReport`.
        case read = 0
        /// The text is a `Refusal`.
        case refused = 1
    }

    /// What a mask is, beside its runs.
    struct MaskReport: Codable {
        var width: Int
        var height: Int
        var values: [Int]
    }

    /// Why the child refused a file.
    struct Refusal: Codable {
        var kind: RadiographError.Kind
        var reason: String
        var id: String?
    }

    static func number(_ value: Int) -> [UInt8] {
        withUnsafeBytes(of: UInt32(truncatingIfNeeded: value).littleEndian, Array.init)
    }

    static func number(_ bytes: [UInt8], at offset: Int) -> Int {
        (0..<4).reduce(0) { $0 | Int(bytes[offset + $1]) << (8 * $1) }
    }
}

/// What is known of a file once its header was read.
package struct FileReport: Codable, Sendable, Equatable {
    package var metadata: RadiographMetadata
    /// XXH3, 128 bits, of the file's bytes, in hexadecimal.
    package var contentHash: String
    /// What was odd about the picture, where its pixels were read.
    package var remarks: [PictureRemark] = []
}
