package import Diagnostics

/// Why a control message was not accepted, or cannot be sent.
package enum WireError: ReportableError, Equatable {
    /// More bytes than a message may have.
    case tooLong(bytes: Int, limit: Int)
    /// The bytes are no message of this protocol.
    case undecodable
    /// The bytes are not as they were sent, or without the hash that tells so.
    case damaged
    /// The message says nothing, or something that this program does not know.
    case empty
    /// A field is missing or out of its range.
    case badField(String, found: String)
    /// A list has more elements than it may have; none of it was decoded.
    case tooMany(String, limit: Int)

    package var description: String {
        switch self {
        case .tooLong(let bytes, let limit):
            "A control message has \(bytes) bytes, more than the \(limit) that are allowed; it was not read."
        case .undecodable: "A control message is not one of Pleura's protocol; it was dropped."
        case .damaged:
            "A control message was dropped: it is damaged, or of a program that does not hash its messages."
        case .empty:
            "A control message says nothing that this program knows; install the same program on all hosts."
        case .badField(let field, let found):
            "A control message was dropped: its field \(field) is \(found)."
        case .tooMany(let field, let limit):
            "A control message was dropped: of \(field) it has more than the \(limit) that are allowed."
        }
    }

    package var exitStatus: ExitStatus { .badInput }
}
