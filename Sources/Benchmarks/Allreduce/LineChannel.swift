import Collectives
import Foundation
import Messaging

/// Values as lines of JSON over a pair of pipes, with a deadline for every wait.
///
/// Used by one thread at a time.
final class LineChannel {
    enum Failure: Error, CustomStringConvertible {
        case ended
        case silent(Duration)
        case malformed(String)
        case broken(Int32)

        var description: String {
            switch self {
            case .ended: "the other side has ended"
            case .silent(let limit): "nothing came for \(limit)"
            case .malformed(let line): "`\(line.prefix(200))` was not expected"
            case .broken(let code): MessagingError.reason(code)
            }
        }
    }

    private let input: Int32
    private let output: Int32
    private var buffered: [UInt8] = []

    init(input: Int32, output: Int32) {
        self.input = input
        self.output = output
    }

    func send(_ value: some Encodable) throws {
        var line = [UInt8](try JSONEncoder().encode(value))
        line.append(UInt8(ascii: "\n"))
        var sent = 0
        while sent < line.count {
            let count = line[sent...].withUnsafeBytes { write(output, $0.baseAddress, $0.count) }
            if count < 0 && errno == EINTR { continue }
            if count < 0 { throw Failure.broken(errno) }
            sent += count
        }
    }

    /// The next line's value.
    ///
    /// Lines are bounded: what is longer than 1 MiB is not ours.
    func receive<Value: Decodable>(_ type: Value.Type, within limit: Duration) throws -> Value {
        let deadline = ContinuousClock.now + limit
        while true {
            if let end = buffered.firstIndex(of: UInt8(ascii: "\n")) {
                let line = Data(buffered[..<end])
                buffered.removeSubrange(...end)
                do { return try JSONDecoder().decode(type, from: line) } catch {
                    throw Failure.malformed(String(decoding: line, as: UTF8.self))
                }
            }
            if buffered.count > 1 << 20 { throw Failure.malformed("a line without end") }
            let left = (deadline - .now).inSeconds * 1000
            if left <= 0 { throw Failure.silent(limit) }
            var item = pollfd(fd: input, events: Int16(POLLIN), revents: 0)
            if poll(&item, 1, Int32(clamping: Int(left.rounded(.up)))) <= 0 { continue }
            var chunk = [UInt8](repeating: 0, count: 65536)
            let count = read(input, &chunk, chunk.count)
            if count == 0 { throw Failure.ended }
            if count < 0 && errno != EINTR && errno != EAGAIN { throw Failure.broken(errno) }
            if count > 0 { buffered += chunk[..<count] }
        }
    }
}
