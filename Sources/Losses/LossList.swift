/// All terms of the loss, in the order in which users read of them.
package let lossTerms: [any LossTerm.Type] = [
    CrossEntropyLoss.self, DiceLoss.self, FocalLoss.self, ClampedCrossEntropyLoss.self, NonEmptyDiceLoss.self,
    TwoClassDiceLoss.self,
]
