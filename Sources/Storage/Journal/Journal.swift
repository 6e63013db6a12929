internal import FoundationEssentials
import Platform
internal import Synchronization

/// An append-only journal: one JSON object a line, each on the disk before `append` returns.
///
/// A line is `{"sequence":1,"checksum":"<XXH3 of sequence and entry, 16 digits>","entry":{…}}`; sequence numbers count
/// from 1. A journal has one writer. Thread-safe; every call blocks on the disk.
package final class Journal<Entry: Codable & Sendable>: Sendable {
    package let path: String
    private let state: Mutex<State>

    private struct State: ~Copyable {
        let file: OpenFile
        var bytes: Int
        var sequence: Int
        var running = RunningSeal()
    }

    private init(path: String, state: consuming sending State) {
        self.path = path
        self.state = Mutex(state)
    }

    /// Opens a journal for appending, creating it if there is none, and returns what it holds.
    ///
    /// A torn last line, left by a writer that died in the middle of it, is cut off; `notice` then says so. Anything
    /// else that is wrong is thrown as a `StorageDefect` that names the line.
    package static func open(
        _ path: String
    ) throws -> (journal: Journal<Entry>, entries: [Entry], notice: String?) {
        let isNew = !FileSystem.exists(path)
        let file = try OpenFile(path, .append)
        if isNew { try FileSystem.syncDirectory(FileSystem.parent(of: path)) }
        let lines = try JournalLines(reading: path)
        let entries: [Entry] = try lines.decoded()
        if lines.notice != nil {
            try file.truncate(to: lines.soundBytes)
            try file.sync()
        }
        var state = State(file: file, bytes: lines.soundBytes, sequence: entries.count)
        state.running.add(try file.bytes(in: 0..<lines.soundBytes))
        return (Journal(path: path, state: state), entries, lines.notice)
    }

    /// Reads a journal without changing it, as `open` does.
    package static func read(_ path: String) throws -> (entries: [Entry], notice: String?) {
        let lines = try JournalLines(reading: path)
        return (try lines.decoded(), lines.notice)
    }

    /// The file as far as it was written here and before.
    package var seal: FileSeal { state.withLock { $0.running.seal } }

    /// Appends an entry and waits until it is on the disk.
    ///
    /// If this throws, the entry is not in the journal, or is only as a torn line that the next `open` drops.
    package func append(_ entry: Entry) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let json = Array(try encoder.encode(entry))
        try state.withLock { state in
            let line = JournalLines.line(sequence: state.sequence + 1, entry: json)
            do {
                try line.withUnsafeBytes { try state.file.append($0) }
                try state.file.sync()
            } catch {
                // A part of the line may have been written: it is cut off, or the next line would be damaged.
                try? state.file.truncate(to: state.bytes)
                throw error
            }
            state.running.add(line)
            state.bytes += line.count
            state.sequence += 1
        }
    }
}

/// The lines of a journal, checked; what they mean is the caller's.
package struct JournalLines: Sendable {
    /// The entries' JSON.
    let entries: [[UInt8]]
    /// The bytes up to the end of the last whole line.
    let soundBytes: Int
    /// Says that a torn last line was left out.
    package let notice: String?
    /// What is wrong with the last line, where the death of its writer does not explain it; `notice` says so too.
    package let endDefect: StorageDefect?
    private let path: String

    /// The number of whole lines.
    package var count: Int { entries.count }

    /// The most bytes of a journal: far above any run's.
    private static let maximumBytes = 1 << 30

    /// Reads a journal's lines; a damaged line that is not the torn end is thrown as a `StorageDefect`.
    package init(reading path: String) throws {
        try self.init(try OpenFile(path, .read).readAll(limit: Self.maximumBytes), path: path)
    }

    /// Checks the bytes of a journal; `path` is for messages.
    package init(_ bytes: [UInt8], path: String) throws {
        var entries: [[UInt8]] = []
        var position = 0
        var notice: String?
        var endDefect: StorageDefect?
        while position < bytes.count {
            let number = entries.count + 1
            let end = bytes[position...].firstIndex(of: UInt8(ascii: "\n"))
            let line = bytes[position..<(end ?? bytes.count)]
            if let end, let entry = Self.entry(of: line, sequence: number) {
                entries.append(entry)
                position = end + 1
                continue
            }
            // A line without its end was never acknowledged; nor was one with blocks that did not reach the disk.
            let isLast = end == nil || end == bytes.count - 1
            guard isLast, end == nil || line.contains(0) else {
                throw StorageDefect(
                    .wrongHash,
                    file: path,
                    part: .line(number),
                    "it is damaged or out of order; put back an older copy of the journal"
                )
            }
            notice =
                "\(path), line \(number): its writer died in the middle of it; the line's \(line.count) bytes are left out."
            let isWhole = end == nil && Self.entry(of: line.dropLast(), sequence: number) != nil
            // A writer that died has left the beginning of a line, and nothing else.
            let head = Self.head(sequence: number, entry: []).prefix { $0 != UInt8(ascii: ":") }
            if end == nil, !isWhole, !line.prefix(head.count).elementsEqual(head.prefix(line.count)) {
                endDefect = StorageDefect(
                    .malformed,
                    file: path,
                    part: .line(number),
                    "no entry of a journal begins like this"
                )
            } else if isWhole || (end != nil && !Self.hasMissingBlock(line)) {
                let detail =
                    isWhole ? "the end of the line is damaged" : "it holds zero bytes where no crash leaves any"
                endDefect = StorageDefect(.malformed, file: path, part: .line(number), detail)
            }
            break
        }
        self.path = path
        self.entries = entries
        self.notice = notice
        self.endDefect = endDefect
        soundBytes = position
    }

    /// Whether a line has zeros where a block of the disk was not written: a run of them from the line's start or a
    /// block's, to a block's end or the line's.
    private static func hasMissingBlock(_ line: ArraySlice<UInt8>) -> Bool {
        let block = 512
        var position = line.startIndex
        while let start = line[position...].firstIndex(of: 0) {
            let end = line[start...].firstIndex { $0 != 0 } ?? line.endIndex
            let begins = start == line.startIndex || start % block == 0
            if begins, end == line.endIndex || end % block == 0 { return true }
            position = end
        }
        return false
    }

    package func decoded<Entry: Decodable>() throws -> [Entry] {
        let decoder = JSONDecoder()
        return try entries.enumerated().map { index, json in
            do {
                return try decoder.decode(Entry.self, from: Data(json))
            } catch {
                throw StorageDefect(
                    .foreign,
                    file: path,
                    part: .line(index + 1),
                    "the line is whole, but is no entry that this program knows: \(error)"
                )
            }
        }
    }

    private static func head(sequence: Int, entry: some Collection<UInt8>) -> [UInt8] {
        let hash = String(XXH3.hash64(Array("\(sequence) ".utf8) + entry), radix: 16)
        let digits = String(repeating: "0", count: 16 - hash.count) + hash
        return Array("{\"sequence\":\(sequence),\"checksum\":\"\(digits)\",\"entry\":".utf8)
    }

    /// A line of a journal.
    package static func line(sequence: Int, entry: [UInt8]) -> [UInt8] {
        head(sequence: sequence, entry: entry) + entry + Array("}\n".utf8)
    }

    /// The entry's JSON, or nil if the line is not what `line` gives for it.
    private static func entry(of line: ArraySlice<UInt8>, sequence: Int) -> [UInt8]? {
        // The head's length depends on the sequence number only.
        let headCount = head(sequence: sequence, entry: []).count
        guard line.count > headCount, line.last == UInt8(ascii: "}") else { return nil }
        let entry = Array(line.dropFirst(headCount).dropLast())
        return head(sequence: sequence, entry: entry) == Array(line.prefix(headCount)) ? entry : nil
    }
}
