package import Diagnostics

/// What went wrong with an HDF5 file: which operation on which object of which file, and what HDF5 said.
package struct HDF5Error: ReportableError, Equatable {
    /// The kinds of failure that callers tell apart.
    package enum Code: Equatable, Sendable {
        /// The file does not exist or may not be opened.
        case missingFile
        /// The file is not HDF5, is cut short, or its structure is damaged.
        case damagedFile
        /// The file has no object or attribute of this name.
        case missingObject
        /// An object has another type, rank or shape than was asked for.
        case mismatch
        /// An object claims a size that the file cannot hold, or that is over the caller's limit.
        case tooLarge
        /// A name or size that HDF5 cannot store, or a handle used after it was closed.
        case misuse
        /// Another program has the file open for writing.
        case inUse
        /// The disk is full.
        case noSpace
        /// The disk does not read or write.
        case device
        /// Any other refusal of the library.
        case library
    }

    package let code: Code
    /// The file's path, or a name in angle brackets for a file in memory.
    package let file: String
    /// The object or attribute inside the file; empty where the file itself is meant.
    package let object: String
    /// A verb phrase: what was asked.
    package let operation: String
    /// What was found; from HDF5's error stack where the library refused.
    package let detail: String

    package init(_ code: Code, file: String, object: String = "", operation: String, detail: String) {
        self.code = code
        self.file = file
        self.object = object
        self.operation = operation
        self.detail = detail
    }

    package var description: String {
        let place = object.isEmpty ? file : "\(object) in \(file)"
        return "Cannot \(operation) \(place): \(detail)."
    }

    package var exitStatus: ExitStatus {
        switch code {
        case .missingFile: .missingInput
        case .damagedFile, .missingObject, .mismatch, .tooLarge: .badInput
        case .noSpace, .device, .inUse: .temporary
        case .misuse, .library: .internal
        }
    }
}
