import Foundation
import Platform
import Radiography
import TestSupport
import Testing

@Suite("Decoding processes", .timeLimit(.minutes(15)))
struct DecodeWorkerTests {
    @Test("A process reads file after file, as this process would")
    func reads() throws {
        let folder = try TemporaryFolder()
        let worker = DecodeWorker(try BuiltProgram.launch())
        for index in 0..<3 {
            let image = GrayImageTests.noise(40, 30, seed: UInt64(index))
            var source = DICOMSource(.bytes(image.pixels), rows: 30, columns: 40)
            source.elements = ["SOPInstanceUID=1.2.\(index)", "PixelSpacing=0.1\\0.2", "PatientOrientation=L\\F"]
            let path = folder.path + "/\(index).dcm"
            try source.write(to: path)
            let radiograph = try RadiographReader.read(path)
            let squared = try worker.read(path, size: 16)
            #expect(squared.image == radiograph.image.squared(to: 16))
            #expect(squared.metadata == radiograph.metadata && squared.whole == nil)
            #expect(squared.metadata.patientOrientation == "L\\F")
            // The image at its own size comes with it where it is asked for.
            let both = try worker.read(path, size: 16, wantsWhole: true)
            #expect(both.image == squared.image && both.whole == radiograph.image)
            let report = try worker.probe(path)
            #expect(report.metadata == radiograph.metadata)
            #expect(try report == RadiographReader.probe(path))
        }
        let error = #expect(throws: RadiographError.self) { try worker.read(folder.path + "/absent.dcm", size: 16) }
        #expect(error?.kind == .unreadable)
    }

    @Test("A crash refuses the file and says what happened")
    func crash() {
        let worker = DecodeWorker(BuiltProgram.impostor("head -c 8 <&0 >/dev/null; kill -SEGV $$"))
        for _ in 0..<2 {
            let error = #expect(throws: RadiographError.self) { try worker.read("x.dcm", size: 8) }
            #expect(error?.kind == .crashed && error?.reason.contains("signal 11") == true)
        }
    }

    @Test("A process that hangs is killed in time")
    func hang() {
        let worker = DecodeWorker(BuiltProgram.impostor("exec sleep 1000", secondsPerFile: 0.3))
        let error = #expect(throws: RadiographError.self) { try worker.read("x.dcm", size: 8) }
        #expect(error?.kind == .timedOut)
    }

    @Test("An image of another size than its report's is not believed")
    func wholeOfAnotherSize() {
        let text = #"{"metadata":{"rows":3,"columns":5},"contentHash":""}"#
        let length = String(text.utf8.count, radix: 8)
        for count in [8 * 8 + 14, 8 * 8 + 16] {
            let octal = String(count, radix: 8)
            let reply = #"printf '\0\0\0\0\\#(length)\0\0\0\\#(octal)\0\0\0%s' '\#(text)' >&0; exec sleep 1000"#
            let worker = DecodeWorker(BuiltProgram.impostor(reply))
            let error = #expect(throws: RadiographError.self) { try worker.read("x.dcm", size: 8, wantsWhole: true) }
            #expect(error?.kind == .crashed)
        }
    }

    @Test(
        "Answers that make no sense are not believed",
        arguments: [
            #"printf '\377\377\377\377\377\377\377\377\377\377\377\377' >&0; exec sleep 1000"#,
            #"printf '\0\0\0\0\0\0\0\0\377\377\377\177' >&0; exec sleep 1000"#,
            #"printf '\0\0\0\0\2\0\0\0\100\0\0\0{}%064d' 0 >&0; exec sleep 1000"#,
        ]
    )
    func babble(script: String) {
        let worker = DecodeWorker(BuiltProgram.impostor(script))
        let error = #expect(throws: RadiographError.self) { try worker.read("x.dcm", size: 8) }
        #expect(error?.kind == .crashed)
    }

    @Test("A program that cannot be started is no fault of the file")
    func launchErrors() {
        for launch in [
            DecodeLaunch(program: .file("/nonexistent/pleura")), DecodeLaunch(program: .file("/bin/false")),
            DecodeLaunch(program: .file("/bin/sh"), arguments: ["-c", "printf NONSENSE >&0; exec sleep 1000"]),
        ] {
            let worker = DecodeWorker(launch)
            #expect(throws: DecodeLaunchError.self) { try worker.read("x.dcm", size: 8) }
        }
    }
}
