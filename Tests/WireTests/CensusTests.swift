import Foundation
import Testing
import Wire

/// The census of elements stands beside the conversions, and control.proto beside both: a list that a message has and the
/// census lacks would be decoded whatever its length.
@Suite struct CensusTests {
    private struct Field {
        var number: Int
        var type: String
        var isRepeated: Bool
    }

    /// The fields of each message in control.proto.
    private static func messages() throws -> [String: [Field]] {
        let root = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../..")
        let text = try String(contentsOf: root.appending(path: "Sources/Wire/Protos/control.proto"), encoding: .utf8)
        var result: [String: [Field]] = [:]
        var name = ""
        for line in text.split(separator: "\n") {
            let words = line.split(whereSeparator: { " ;={}".contains($0) }).map(String.init)
            guard let first = words.first, first != "//", first != "reserved" else { continue }
            if first == "message", words.count > 1 {
                name = words[1]
                result[name] = []
            } else if words.count >= 3, let number = Int(words[words.count - 1]) {
                result[name]?.append(
                    Field(number: number, type: words[words.count - 3], isRepeated: first == "repeated")
                )
            }
        }
        return result
    }

    /// The paths to all repeated fields that can be reached from a message.
    private static func lists(in message: String, of messages: [String: [Field]], depth: Int = 0) -> [String] {
        guard depth < 8 else { return [] }
        return (messages[message] ?? []).flatMap { field -> [String] in
            let inner = lists(in: field.type, of: messages, depth: depth + 1).map { "\(field.number)/\($0)" }
            return (field.isRepeated ? ["\(field.number)"] : []) + inner
        }
    }

    @Test func everyListIsCounted() throws {
        let messages = try Self.messages()
        let counted = WireProtocol.countedFields
        for (message, counted) in [("FromWorker", counted.worker), ("FromCoordinator", counted.coordinator)] {
            let lists = Self.lists(in: message, of: messages)
            #expect(lists.count >= 8, "\(lists)")
            #expect(Set(lists).subtracting(counted).isEmpty)
            // Every message of its direction stands once.
            let bodies = messages[message]?.filter { $0.number > 1 }.map { "\($0.number)" } ?? []
            #expect(!bodies.isEmpty && Set(bodies).isSubset(of: counted))
        }
    }
}
