import Foundation

/// A folder of a test's own, removed with it.
final class TemporaryFolder {
    let path: String

    init() throws {
        path = NSTemporaryDirectory() + "pleura-test-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit {
        try? FileManager.default.removeItem(atPath: path)
    }

    /// Writes a file, with the folders above it, and returns its path.
    @discardableResult
    func write(_ data: Data, to name: String) throws -> String {
        let file = path + "/" + name
        let folder = (file as NSString).deletingLastPathComponent
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try data.write(to: URL(fileURLWithPath: file))
        return file
    }

    @discardableResult
    func write(_ text: String, to name: String) throws -> String {
        try write(Data(text.utf8), to: name)
    }
}

/// Real radiographs that may not be redistributed: found by PLEURA_SHARED_DATA, or beside the package.
enum SharedData {
    private static let root: String = {
        if let path = ProcessInfo.processInfo.environment["PLEURA_SHARED_DATA"] { return path }
        return URL(fileURLWithPath: #filePath)
            .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appendingPathComponent("../shared/data").standardized.path
    }()

    /// Whether the data is there; says loudly once where it is not.
    static let isPresent: Bool = {
        let isPresent = FileManager.default.fileExists(atPath: root + "/siim/README.md")
        if !isPresent {
            print("SKIPPED: tests on real radiographs; set PLEURA_SHARED_DATA (looked in \(root))")
        }
        return isPresent
    }()

    static func path(_ name: String) -> String { root + "/" + name }
}
