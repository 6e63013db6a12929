import Foundation
import Platform
package import Radiography

/// The program that stands beside the test bundle: `swift build --build-tests` makes both.
package enum BuiltProgram {
    package static let path: String? = {
        let beginnings = [
            CommandLine.arguments[0],
            (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? "",
            Bundle.main.bundlePath + "/x",
        ]
        let candidates = beginnings.map { ($0 as NSString).deletingLastPathComponent + "/pleura" }
        return candidates.first { FileManager.default.isExecutableFile(atPath: $0) }
    }()

    /// Starts decoding processes of the program.
    package static func launch() throws -> DecodeLaunch {
        guard let path else { throw MissingProgram() }
        return DecodeLaunch(program: .file(path))
    }

    /// Starts a shell in place of a decoding process, to misbehave after the greeting.
    package static func impostor(_ script: String, secondsPerFile: Double = 60) -> DecodeLaunch {
        DecodeLaunch(
            program: .file("/bin/sh"),
            arguments: ["-c", "printf PLEURAD1 >&0; " + script],
            secondsPerFile: secondsPerFile
        )
    }
}

/// The program does not stand beside the tests.
package struct MissingProgram: Error, CustomStringConvertible {
    package var description: String { "build with --build-tests: pleura is not beside the tests" }
}
