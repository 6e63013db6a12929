import Foundation
import Platform
import RunFolder
import Storage

/// Figures as JSON, for `--json PATH|-`.
enum JSONOutput {
    /// Throws where `path` is a file that no `--json` has written: figures are not worth anybody's file. For the start of
    /// a command, so that no work is lost.
    static func requireOwn(_ path: String?, for option: String = "--json") throws {
        guard let path, path != "-", let obstacle = OutputOwnership.obstacle(named: path, .figures) else { return }
        throw OccupiedOutput(
            "The figures cannot be written to \(path)",
            [obstacle],
            advice: "Name another file with \(option), or move that one away."
        )
    }

    /// The value, an object, with the name of its writer.
    private struct Signed<Value: Encodable>: Encodable {
        var value: Value
        enum CodingKeys: String, CodingKey { case writtenBy = "written_by" }

        func encode(to encoder: any Swift.Encoder) throws {
            try value.encode(to: encoder)
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(OutputOwnership.signature + ProgramVersion.current, forKey: .writtenBy)
        }
    }

    /// Writes to a file, or to standard output for `-`.
    ///
    /// Numbers that JSON has not are texts.
    static func write(
        _ value: some Encodable,
        to path: String,
        keys: JSONEncoder.KeyEncodingStrategy = .useDefaultKeys
    ) throws {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = keys
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "inf",
            negativeInfinity: "-inf",
            nan: "nan"
        )
        let bytes = Array(try encoder.encode(Signed(value: value))) + [UInt8(ascii: "\n")]
        if path == "-" {
            try StandardStream.output.write(bytes)
        } else {
            try AtomicFile.write(bytes, to: path)
        }
    }
}
