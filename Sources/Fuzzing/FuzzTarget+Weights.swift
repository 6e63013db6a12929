import Foundation
import Platform
import WeightFiles

/// Files of weights, which come from anywhere.
extension FuzzTarget {
    static func weightFiles() throws -> FuzzTarget {
        let file = try ScratchFile()
        return FuzzTarget(
            name: "weight-files",
            weight: 3,
            samples: [try safetensors(file), archive(), stream()],
            isText: false
        ) { bytes in
            try file.replace(bytes)
            let weights = try WeightFile(file.path)
            for tensor in weights.tensors {
                guard tensor.bytes.upperBound <= bytes.count else {
                    throw FuzzDefect(description: "a tensor was accepted that the file does not hold")
                }
                guard tensor.element.isFloat else { continue }
                let count = try weights.values(of: tensor).count
                guard count == StoredTensor.count(tensor.shape) else {
                    throw FuzzDefect(description: "\(count) values were read of a tensor of the shape \(tensor.shape)")
                }
            }
            return true
        }
    }

    private static func safetensors(_ file: ScratchFile) throws -> [UInt8] {
        let path = "\(file.folder)/sample.safetensors"
        try Safetensors.write(
            [
                Safetensors.Written(name: "a.weight", element: .float32, shape: [2, 1]) {
                    [0, 0, 128, 63, 0, 0, 0, 64]
                },
                Safetensors.Written(name: "a.count", element: .int64, shape: []) { [1, 0, 0, 0, 0, 0, 0, 0] },
            ],
            metadata: ["format": "pt"],
            to: path
        )
        return try OpenFile(path, .read).readAll(limit: 1 << 16)
    }

    /// The pickle of {"a": a tensor of two floats in the storage "0"}, as `torch.save` writes it.
    private static var program: [UInt8] {
        func text(_ word: String) -> [UInt8] { [0x58, UInt8(word.utf8.count), 0, 0, 0] + Array(word.utf8) }
        func global(_ module: String, _ name: String) -> [UInt8] { Array("c\(module)\n\(name)\n".utf8) }
        let storage =
            [0x28] + text("storage") + global("torch", "FloatStorage") + text("0") + text("cpu") + [
                0x4B, 2, 0x74, 0x51,
            ]
        let tensor =
            global("torch._utils", "_rebuild_tensor_v2") + [0x28] + storage + [
                0x4B, 0, 0x4B, 2, 0x85, 0x4B, 1, 0x85, 0x89,
            ]
            + global("collections", "OrderedDict") + [0x29, 0x52, 0x74, 0x52]
        return [0x80, 2] + global("collections", "OrderedDict") + [0x29, 0x52, 0x71, 0, 0x28] + text("a") + tensor
            + [0x75, 0x2E]
    }

    private static let elements: [UInt8] = [0, 0, 128, 63, 0, 0, 0, 64]

    /// The form since PyTorch 1.6: a ZIP archive of stored members.
    private static func archive() -> [UInt8] {
        func half(_ value: Int) -> [UInt8] { [UInt8(value & 255), UInt8(value >> 8 & 255)] }
        func word(_ value: Int) -> [UInt8] { half(value & 0xFFFF) + half(value >> 16) }
        var bytes: [UInt8] = []
        var directory: [UInt8] = []
        let members: [(String, [UInt8])] = [
            ("archive/data.pkl", program), ("archive/byteorder", Array("little".utf8)), ("archive/data/0", elements),
        ]
        for (name, content) in members {
            let sizes = word(content.count) + word(content.count)
            let start = bytes.count
            bytes += word(0x0403_4B50) + half(0) + half(0) + half(0) + word(0) + word(0) + sizes + half(name.utf8.count)
            bytes += half(0) + Array(name.utf8) + content
            directory += word(0x0201_4B50) + half(0) + half(0) + half(0) + half(0) + word(0) + word(0) + sizes
            directory +=
                half(name.utf8.count) + half(0) + half(0) + half(0) + half(0) + word(0) + word(start) + Array(name.utf8)
        }
        let end = word(0x0605_4B50) + half(0) + half(0) + half(members.count) + half(members.count)
        return bytes + directory + end + word(directory.count) + word(bytes.count) + half(0)
    }

    /// The form before it: pickles one after the other, then the elements.
    private static func stream() -> [UInt8] {
        let magic: [UInt8] = [0x80, 2, 0x8A, 10, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19, 0x2E]
        let keys: [UInt8] = [0x80, 2, 0x5D, 0x58, 1, 0, 0, 0, 0x30, 0x61, 0x2E]
        return magic + [0x80, 2, 0x4D, 0xE9, 3, 0x2E, 0x80, 2, 0x7D, 0x2E] + program + keys + [2, 0, 0, 0, 0, 0, 0, 0]
            + elements
    }
}
