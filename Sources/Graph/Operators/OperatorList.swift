/// All operators, in the order in which `operatorKinds` lists them.
let operatorList: [any Operator.Type] = [
    Convolution.self, TransposedConvolution.self, BatchNormalization.self, GroupNormalization.self, ReLU.self,
    LeakyReLU.self, SiLU.self, Sigmoid.self, Softmax.self, Addition.self, ChannelScaling.self, Concatenation.self,
    MaxPooling.self, AveragePooling.self, NearestUpsampling.self, BilinearUpsampling.self, GlobalAveragePooling.self,
    Dropout.self, ChannelDropout.self, DropConnect.self, Cast.self, SegmentationLossHead.self,
]

/// The kinds of all operators: tests check that each is covered.
package let operatorKinds: [String] = operatorList.map { $0.kind }
