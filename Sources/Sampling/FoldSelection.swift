/// Which samples are trained on and which are validated on.
package struct FoldSelection: Hashable, Sendable {
    /// Indices in the data set, ascending.
    package let training: [Int]
    /// Indices in the data set, ascending: their order is the order in which validation counts are added.
    package let validation: [Int]

    /// Splits samples by their folds: those of `validation` validate, those of `training` train.
    ///
    /// - Parameters:
    ///   - folds: the fold of each sample of the data set; a negative number keeps a sample out of everything.
    ///   - training: the folds to train on; nil takes all that do not validate.
    ///   - validation: the folds to validate on; may be empty, and may overlap `training` (a run that validates on
    ///     what it learns shows that learning works).
    /// - Throws: `SamplingError` for a fold that no sample has, and where nothing is left to train on.
    package init(folds: [Int], training: [Int]? = nil, validation: [Int]) throws(SamplingError) {
        let present = Set(folds.filter { $0 >= 0 }).sorted()
        for asked in (training ?? []) + validation where !present.contains(asked) {
            throw .noSuchFold(asked: asked, present: present)
        }
        let validating = Set(validation)
        let trainingFolds = training.map { Set($0) } ?? Set(present).subtracting(validating)
        self.training = folds.indices.filter { trainingFolds.contains(folds[$0]) }
        self.validation = folds.indices.filter { validating.contains(folds[$0]) }
        if self.training.isEmpty {
            throw .emptySelection(
                "validation takes all of the folds \(present.map(String.init).joined(separator: ", "))"
            )
        }
    }
}
