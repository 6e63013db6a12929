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
