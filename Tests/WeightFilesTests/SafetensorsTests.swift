import Foundation
import TestSupport
import Testing
import WeightFiles

/// The format of huggingface's safetensors, as its README says it.
@Suite struct SafetensorsTests {
    let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    /// A file with this JSON, padded as it stands, and so many bytes of zeros behind it.
    private func file(_ json: String, bytes: Int = 0, length: UInt64? = nil) throws -> String {
        var data = Data()
        withUnsafeBytes(of: (length ?? UInt64(json.utf8.count)).littleEndian) { data.append(contentsOf: $0) }
        data.append(Data(json.utf8))
        data.append(Data(count: bytes))
        return try folder.write(data, to: "file.safetensors")
    }

    @Test func whatIsWrittenIsRead() throws {
        let path = folder.file("own.safetensors")
        let values: [Float] = [1, -2.5, .leastNonzeroMagnitude, .greatestFiniteMagnitude, -0.0, 7]
        try Safetensors.write(
            [
                Safetensors.Written(name: "b", element: .float32, shape: [2, 3]) {
                    values.withUnsafeBytes { Array($0) }
                },
                Safetensors.Written(name: "a.num_batches_tracked", element: .int64, shape: []) {
                    [UInt8](repeating: 1, count: 8)
                },
                Safetensors.Written(name: "empty", element: .float32, shape: [0, 4]) { [] },
            ],
            metadata: ["written_by": "pleura 1"],
            to: path
        )
        let read = try WeightFile(path)
        // The largest elements first, then by name.
        #expect(read.tensors.map(\.name) == ["a.num_batches_tracked", "b", "empty"])
        #expect(read.metadata == ["written_by": "pleura 1"] && WeightFile.isOwn(path))
        let b = try #require(read.tensors.first { $0.name == "b" })
        #expect(b.shape == [2, 3] && b.bytes.lowerBound % 8 == 0)
        #expect(try read.values(of: b).map(\.bitPattern) == values.map(\.bitPattern))
        #expect(try read.values(of: #require(read.tensors.last)).isEmpty)
    }

    @Test func halvesAndDoublesAreTheNearestFloats() throws {
        let path = try file(
            #"{"h":{"dtype":"F16","shape":[2],"data_offsets":[0,4]},"b":{"dtype":"BF16","shape":[1],"data_offsets":[4,6]},"#
                + #""d":{"dtype":"F64","shape":[1],"data_offsets":[6,14]}}"#
        )
        var data = try Data(contentsOf: URL(filePath: path))
        // 1.5 and the smallest subnormal half; 1.0 as bfloat16; a third in fp64.
        data.append(contentsOf: [0x00, 0x3E, 0x01, 0x00, 0x80, 0x3F])
        withUnsafeBytes(of: (1.0 / 3.0).bitPattern.littleEndian) { data.append(contentsOf: $0) }
        let read = try WeightFile(try folder.write(data, to: "kinds.safetensors"))
        func values(_ name: String) throws -> [Float] {
            try read.values(of: #require(read.tensors.first { $0.name == name }))
        }
        #expect(try values("h") == [1.5, 0x1p-24])
        #expect(try values("b") == [1])
        #expect(try values("d") == [Float(1.0 / 3.0)])
    }

    @Test(arguments: [
        (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, 4, "are not in the file"),
        (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, 12, "belong to no tensor"),
        (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#, 8, "are not in the file"),
        (#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#, 8, "its shape 12"),
        (#"{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}"#, 8, "impossible shape"),
        (
            #"{"a":{"dtype":"F32","shape":[4611686018427387904,4611686018427387904],"data_offsets":[0,8]}}"#, 8,
            "impossible shape"
        ),
        (#"{"a":{"dtype":"F7","shape":[2],"data_offsets":[0,8]}}"#, 8, "is not known"),
        (
            #"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#,
            4, "to two"
        ),
        (
            #"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#,
            8, "belong to"
        ),
        (#"[1]"#, 0, "no JSON object"),
        (#"{"a":3}"#, 0, "not the JSON"),
    ]) func damageIsRefused(_ json: String, _ bytes: Int, _ word: String) throws {
        let path = try file(json, bytes: bytes)
        let error = #expect(throws: WeightFileError.self) { try WeightFile(path) }
        #expect("\(try #require(error))".contains(word) || json == "[1]", "\(String(describing: error))")
    }

    /// A length takes no memory before it is compared with the file.
    @Test(arguments: [UInt64.max, 1 << 62, 1 << 30, 0]) func aLengthIsNotBelieved(_ length: UInt64) throws {
        let path = try file(#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, bytes: 4, length: length)
        #expect(throws: WeightFileError.self) { try WeightFile(path) }
    }

    @Test func valuesThatAreNoNumbersAreNamed() throws {
        let path = folder.file("nan.safetensors")
        let values: [Float] = [1, .nan]
        try Safetensors.write(
            [Safetensors.Written(name: "w", element: .float32, shape: [2]) { values.withUnsafeBytes { Array($0) } }],
            metadata: [:],
            to: path
        )
        let read = try WeightFile(path)
        let error = #expect(throws: WeightFileError.self) { try read.values(of: read.tensors[0]) }
        #expect("\(try #require(error))".contains("Element 1 of the tensor w"))
    }

    @Test func whatIsNoFileOfWeightsSaysSo() throws {
        let error = #expect(throws: WeightFileError.self) { try WeightFile(folder.write("hello, world", to: "text")) }
        #expect("\(try #require(error))".contains("holds no weights that can be read"))
        #expect(throws: WeightFileError.self) { try WeightFile(folder.write("", to: "empty")) }
    }
}
