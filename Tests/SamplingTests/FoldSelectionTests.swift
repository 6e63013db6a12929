import Sampling
import Testing

@Suite struct FoldSelectionTests {
    private let folds = [0, 1, 2, 0, 1, 2, -1, 0]

    @Test func theRestTrains() throws {
        let selection = try FoldSelection(folds: folds, validation: [1])
        #expect(selection.training == [0, 2, 3, 5, 7])
        #expect(selection.validation == [1, 4])
    }

    @Test func foldsMayBeNamed() throws {
        let selection = try FoldSelection(folds: folds, training: [2], validation: [0, 2])
        #expect(selection.training == [2, 5])
        #expect(selection.validation == [0, 2, 3, 5, 7])
        #expect(try FoldSelection(folds: folds, validation: []).training.count == 7)
    }

    @Test func emptyAndUnknownFoldsAreRefused() {
        #expect(throws: SamplingError.noSuchFold(asked: 3, present: [0, 1, 2])) {
            try FoldSelection(folds: folds, validation: [3])
        }
        #expect(throws: SamplingError.self) { try FoldSelection(folds: folds, validation: [0, 1, 2]) }
        #expect(throws: SamplingError.self) { try FoldSelection(folds: folds, training: [-1], validation: [0]) }
    }
}
