import Foundation
import Reporting
import Storage
import Testing

@Suite("TensorBoard event files")
struct TensorBoardTests {
    @Test func checksumsOfRFC3720() {
        #expect(RecordFraming.checksum(Array("123456789".utf8)) == 0xE306_9283)
        #expect(RecordFraming.checksum(Array(repeating: 0, count: 32)) == 0x8A91_36AA)
        #expect(RecordFraming.checksum(Array(repeating: 0xFF, count: 32)) == 0x62A8_AB43)
        #expect(RecordFraming.checksum(Array(0..<32)) == 0x46DD_794E)
        #expect(RecordFraming.checksum([]) == 0)
    }

    @Test func aRecordIsFramedAsTFRecord() {
        let framed = RecordFraming.frame([0x41, 0x42])
        #expect(framed.count == 18)
        #expect(framed[..<8] == [2, 0, 0, 0, 0, 0, 0, 0])
        #expect(framed[12..<14] == [0x41, 0x42])
        let stored = framed[8..<12].reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        #expect(stored == RecordFraming.mask(RecordFraming.checksum([2, 0, 0, 0, 0, 0, 0, 0])))
        #expect(RecordFraming.mask(0) == 0xA282_EAD8)
        #expect(RecordFraming.mask(0x0000_8000) == 0xA282_EAD9)
    }

    @Test func theFirstEventNamesTheVersion() throws {
        let folder = try TemporaryFolder()
        let log = try TensorBoardLog(directory: folder.path, startingAt: 0, time: 1.5, writer: "host/1")
        #expect(folder.names == ["events.out.tfevents.0000000001.host_1"])
        let bytes = try Data(contentsOf: URL(filePath: log.path))
        // Field 1, 64 bits: 1.5; field 3, text of 13 bytes.
        let version: [UInt8] = [9, 0, 0, 0, 0, 0, 0, 0xF8, 0x3F, 26, 13] + Array("brain.Event:2".utf8)
        // Field 10, a message of 8 bytes: its field 1, the writer's name, by which the file is known for ours.
        let event = version + [82, 8, 10, 6] + Array("pleura".utf8)
        #expect(Array(bytes) == RecordFraming.frame(event))
        #expect(EventFile.foreignness(of: log.path) == nil)
        let other = "\(folder.path)/other"
        try Data(RecordFraming.frame(version)).write(to: URL(filePath: other))
        #expect(EventFile.foreignness(of: other)?.contains("another program") == true)
    }

    @Test func aFlippedBitAnywhereIsFoundAndATornEndIsNot() throws {
        let folder = try TemporaryFolder()
        let log = try TensorBoardLog(directory: folder.path, startingAt: 3, time: 1, writer: "w")
        try log.write(StepRecord.example(3))
        let sound = Array(try Data(contentsOf: URL(filePath: log.path)))
        #expect(try EventFile.verify(log.path) == 3)
        for offset in sound.indices {
            for bit: UInt8 in 0..<8 {
                var bytes = sound
                bytes[offset] ^= 1 << bit
                try Data(bytes).write(to: URL(filePath: log.path))
                #expect(throws: StorageDefect.self, "\(offset), bit \(bit)") { try EventFile.verify(log.path) }
            }
        }
        for length in sound.indices.dropFirst(sound.count / 2) {
            try Data(sound[..<length]).write(to: URL(filePath: log.path))
            #expect(try EventFile.verify(log.path) == 2)
        }
    }

    @Test func aFileIsNeverWrittenTwice() throws {
        let folder = try TemporaryFolder()
        let first = try TensorBoardLog(directory: folder.path, startingAt: 0, time: 1, writer: "w")
        #expect(throws: ReportingError.self) {
            _ = try TensorBoardLog(directory: folder.path, startingAt: 0, time: 1, writer: "w")
        }
        try first.write(scalars: [("a", 1)], step: 0, time: 1)
    }

    /// Reads the files with TensorBoard's own reader.
    ///
    /// Skipped where Python has no `tensorboard` package: it is no part
    /// of Debian, so a machine may lack it.
    @Test(.enabled(if: TensorBoardReader.isPresent, "Python's tensorboard package is absent"), .timeLimit(.minutes(15)))
    func tensorBoardReadsARunThatWasResumed() async throws {
        let folder = try TemporaryFolder()
        let first = try TensorBoardLog(directory: folder.path, startingAt: 0, time: 100, writer: "a")
        for step in 0..<6 { try first.write(StepRecord.example(step, loss: Double(step))) }
        try first.write(ValidationRecord.example(0, step: 5))
        let second = try TensorBoardLog(directory: folder.path, startingAt: 4, time: 200, writer: "b")
        for step in 4..<8 { try second.write(StepRecord.example(step, loss: Double(step) + 0.5)) }
        let png = TestPNG.gray(Array(0..<24), width: 6, height: 4)
        try second.write(image: png, width: 6, height: 4, channels: 1, tag: "examples/0", step: 7, time: 207)
        try second.write(scalars: [("bad", .nan), ("good", 2)], step: 7, time: 207)

        let found = try TensorBoardReader.read(folder.path)
        let scalars = try #require(found["scalars"] as? [String: [[Double]]])
        let losses: [[Double]] = [[0, 0], [1, 1], [2, 2], [3, 3], [4, 4.5], [5, 5.5], [6, 6.5], [7, 7.5]]
        #expect(scalars["loss/train"] == losses)
        #expect(scalars["throughput/worker_1"]?.count == 8)
        #expect(scalars["loss/train/dice"]?.first == [0, 0.75])
        // The first file's validation was of a step that the resumed run did again.
        #expect(scalars["dice/positives"] == [])
        #expect(scalars["good"] == [[7, 2]] && scalars["bad"] == nil)
        let images = try #require(found["images"] as? [String: [[Any]]])
        let image = try #require(images["examples/0"]?.first)
        #expect(image[0] as? Int == 7 && image[1] as? Int == 6 && image[2] as? Int == 4)
        #expect(image[3] as? String == Data(png).base64EncodedString())
    }
}

/// TensorBoard's Python package, where it is installed.
enum TensorBoardReader {
    static let isPresent: Bool = {
        let present = (try? run(["-c", "import tensorboard"])) != nil
        if !present {
            print("SKIPPED: python3 has no package `tensorboard`, so event files are not read back with it.")
        }
        return present
    }()

    private static let script = """
        import base64, json, sys
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
        events = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0, "images": 0})
        events.Reload()
        tags = events.Tags()
        print(json.dumps({
            "scalars": {tag: [[e.step, e.value] for e in events.Scalars(tag)] for tag in tags["scalars"]},
            "images": {tag: [[e.step, e.width, e.height, base64.b64encode(e.encoded_image_string).decode()]
                             for e in events.Images(tag)] for tag in tags["images"]},
        }))
        """

    static func read(_ folder: String) throws -> [String: Any] {
        let output = try run(["-c", script, folder])
        return try #require(try JSONSerialization.jsonObject(with: output) as? [String: Any])
    }

    private struct Failure: Error {
        let message: String
    }

    private static func run(_ arguments: [String]) throws -> Data {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = ["python3"] + arguments
        let output = Pipe()
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        process.standardInput = FileHandle.nullDevice
        try process.run()
        let data = try output.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw Failure(message: "python3 exited with an error") }
        return data
    }
}
