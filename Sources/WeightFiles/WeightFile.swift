import Platform

/// A file of named tensors, made elsewhere: safetensors, or a state_dict that PyTorch has saved.
///
/// Thread-safe; reading blocks on the disk.
package struct WeightFile: Sendable {
    package let path: String
    package let tensors: [StoredTensor]
    /// What the writer of a safetensors file says of it.
    package let metadata: [String: String]
    private let file: OpenFile

    /// How `metadata["written_by"]` of this program's own files begins.
    package static let signature = "pleura "

    /// Whether the file is a safetensors of this program's, which it may write over.
    package static func isOwn(_ path: String) -> Bool {
        (try? WeightFile(path))?.metadata["written_by"]?.hasPrefix(signature) == true
    }

    /// Whether the first bytes are those of HDF5, as this program's checkpoints have behind their seal.
    package static func isHDF5(_ path: String) throws -> Bool {
        let file = try OpenFile(path, .read)
        var start = [UInt8](repeating: 0, count: 8)
        // HDF5 begins at 0, or at a power of two from 512 on.
        for offset in [0, 512, 1024, 2048, 4096] {
            let count = try start.withUnsafeMutableBytes { try file.read(at: offset, into: $0) }
            if count == 8, start == [0x89, 0x48, 0x44, 0x46, 0x0D, 0x0A, 0x1A, 0x0A] { return true }
        }
        return false
    }

    /// Reads which tensors the file has; nothing of them is read yet.
    package init(_ path: String) throws {
        let file = try OpenFile(path, .read)
        let size = try file.size()
        self.path = path
        self.file = file
        let start = try ZipDirectory.read(file, 0..<min(size, 16), path)
        if start.starts(with: [0x50, 0x4B, 3, 4]) {
            (tensors, metadata) = (try TorchFile.archived(file, size: size, path: path), [:])
        } else if start.starts(with: TorchFile.oldMagic) {
            (tensors, metadata) = (try TorchFile.streamed(file, size: size, path: path), [:])
        } else if start.count > 8, start[8] == UInt8(ascii: "{") {
            let length = try Safetensors.headerBytes(start, fileBytes: size, path: path)
            let header = try ZipDirectory.read(file, 0..<8 + length, path)
            (tensors, metadata) = try Safetensors.contents(header: header, fileBytes: size, path: path)
        } else {
            let found =
                start.isEmpty ? "nothing" : "the bytes " + start.prefix(8).map { "\($0)" }.joined(separator: " ")
            throw WeightFileError.unknownFormat(path: path, found: found)
        }
    }

    /// The values of one of its tensors in C order; all of them are finite.
    package func values(of tensor: StoredTensor) throws -> [Float] {
        let bytes = try ZipDirectory.read(file, tensor.bytes, path)
        guard let values = bytes.withUnsafeBytes({ tensor.element.floats($0) }) else {
            throw WeightFileError.malformed(
                path: path,
                problem:
                    "the tensor \(Safetensors.shown(tensor.name)) has elements of the type \(tensor.element.rawValue), "
                    + "where weights have floating point"
            )
        }
        if let element = values.firstIndex(where: { !$0.isFinite }) {
            throw WeightFileError.notFinite(
                path: path,
                tensor: Safetensors.shown(tensor.name),
                element: element,
                value: values[element]
            )
        }
        return values
    }
}
