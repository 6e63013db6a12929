package import Configuration
import Glibc
import Platform

/// The folder of a run whose user has named none: `runs/NAME-N`, in which no run has ever been.
package struct NewRunFolder: Sendable {
    package let path: String
    /// The folder above it, where it is new as well.
    private let parent: String?

    /// Makes the folder, with the first number that nothing has; two that begin at once get two folders.
    ///
    /// - Parameters:
    ///   - configuration: its `run.name` is the name where it has one, else that of its file, else that of its shards.
    ///   - file: the path of the configuration.
    ///   - place: where runs are kept.
    package init(_ configuration: RunConfiguration, file: String, in place: String = "runs") throws {
        parent = FileSystem.exists(place) ? nil : place
        try FileSystem.createDirectory(place)
        let name = Self.name(configuration, file: file)
        var number = 1
        while true {
            let path = "\(place)/\(name)-\(number)"
            if mkdir(path, 0o777) == 0 {
                self.path = path
                return
            }
            guard errno == EEXIST else { throw FileError("create the directory", path: path, code: errno) }
            number += 1
        }
    }

    /// Takes the folder away again where nothing was written into it.
    package func removeIfEmpty() {
        _ = rmdir(path)
        if let parent { _ = rmdir(parent) }
    }

    /// Letters, digits and what does not matter to shells and paths.
    static func name(_ configuration: RunConfiguration, file: String) -> String {
        func plain(_ text: String) -> String {
            let kept = text.unicodeScalars.map { scalar -> Character in
                let isKept =
                    scalar.properties.isAlphabetic || scalar.properties.numericType != nil
                    || "._-".unicodeScalars.contains(scalar)
                return isKept ? Character(scalar) : "-"
            }
            let text = String(kept).split(separator: "-").joined(separator: "-")
            return String(text.drop { $0 == "." || $0 == "-" }.prefix(60))
        }
        func last(_ path: String) -> String { path.split(separator: "/").last.map(String.init) ?? "" }
        var own = last(file)
        for ending in [".yaml", ".yml"] where own.hasSuffix(ending) { own.removeLast(ending.count) }
        // `<(…)` of a shell, or standard input, has no name.
        if file.hasPrefix("/dev/") || file.hasPrefix("/proc/") { own = "" }
        let names = [configuration.run.name, own, last(configuration.data.shards), "run"]
        return names.map(plain).first { !$0.isEmpty } ?? "run"
    }
}
