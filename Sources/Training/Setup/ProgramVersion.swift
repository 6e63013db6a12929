import Foundation
import Storage

/// The version of this program.
package enum ProgramVersion {
    /// The version as users know it.
    package static let current = "0.1.0"

    /// The version and a digest of the program's file: equal results need equal programs, and two builds of one version
    /// may round differently.
    ///
    /// Coordinator and workers must have the same one.
    package static let build: String = {
        // The very file that runs, also where another was installed over it since.
        guard let file = try? Data(contentsOf: URL(fileURLWithPath: "/proc/self/exe"), options: .alwaysMapped) else {
            return "\(current) (build unknown)"
        }
        let digest = String(file.withUnsafeBytes { XXH3.hash64($0) }, radix: 16)
        return "\(current) (build \(String(repeating: "0", count: 16 - digest.count))\(digest))"
    }()
}
