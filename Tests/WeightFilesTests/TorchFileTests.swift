import Foundation
import TestSupport
import Testing
import WeightFiles

/// What `torch.save` writes (Tests/Fixtures/weights.py).
@Suite struct TorchFileTests {
    private func fixture(_ name: String) -> String {
        URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().appending(
            path: "Fixtures/\(name)"
        ).path
    }

    @Test(arguments: ["weights.pth", "weights-stream.pth", "weights-trainer.pth"])
    func aDictionaryOfWeightsIsRead(_ name: String) throws {
        let file = try WeightFile(fixture(name))
        let prefix = name == "weights-trainer.pth" ? "module." : ""
        #expect(
            file.tensors.map(\.name)
                == ["conv.weight", "bn.running_mean", "bn.num_batches_tracked"].map { prefix + $0 }
        )
        #expect(file.tensors.map(\.shape) == [[2, 3, 1, 1], [2], []])
        #expect(try file.values(of: file.tensors[0]) == [0, 0.125, 0.25, 0.375, 0.5, 0.625])
        #expect(try file.values(of: file.tensors[1]) == [1.5, -2.5])
        #expect(throws: WeightFileError.self) { try file.values(of: file.tensors[2]) }
    }

    @Test func aViewInAnotherOrderIsRefused() throws {
        let error = #expect(throws: WeightFileError.self) { try WeightFile(fixture("weights-transposed.pth")) }
        #expect("\(try #require(error))".contains(".contiguous()"))
    }

    /// A whole module would have to be constructed: that is a call of what the file names.
    @Test func aModuleIsRefusedWithWhatToDo() throws {
        let error = try #require(
            #expect(throws: WeightFileError.self) { try WeightFile(fixture("weights-module.pth")) }
        )
        guard case .executable(_, let global) = error else {
            Issue.record("\(error)")
            return
        }
        #expect(global == "torch.nn.modules.conv.Conv2d" && "\(error)".contains("state_dict()"))
    }

    /// Letting go of a chain of tuples goes down into each: a million of them would take the stack.
    @Test func tuplesInOneAnotherHaveAnEnd() throws {
        let folder = try TemporaryFolder()
        let head: [UInt8] = [
            0x80, 2, 0x8A, 10, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19, 0x2E, 0x80, 2, 0x4D, 0xE9, 3,
            0x2E,
            0x80, 2, 0x7D, 0x2E, 0x80, 2, 0x29,
        ]
        let chain = [UInt8](repeating: 0x85, count: 1_000_000)
        let path = try folder.write(Data(head + chain + [0x2E]), to: "deep.pth")
        let error = #expect(throws: WeightFileError.self) { try WeightFile(path) }
        #expect("\(try #require(error))".contains("tuples in one another"))
    }

    /// Every cut of every file is refused; none of them traps or reads what is not there.
    @Test(arguments: ["weights.pth", "weights-stream.pth", "weights-trainer.pth"])
    func noCutIsTaken(_ name: String) throws {
        let folder = try TemporaryFolder()
        let whole = try Data(contentsOf: URL(filePath: fixture(name)))
        for length in stride(from: 0, to: whole.count, by: 7) {
            let path = try folder.write(whole.prefix(length), to: "cut.pth")
            #expect(throws: WeightFileError.self, "\(length)") {
                let file = try WeightFile(path)
                for tensor in file.tensors where tensor.element.isFloat { _ = try file.values(of: tensor) }
            }
        }
    }
}
