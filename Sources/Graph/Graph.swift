package import Kernels

/// A value that flows between operators: the handle that `GraphBuilder` gives out.
package struct Tensor: Hashable, Sendable {
    let index: Int
}

/// One operator of a graph, applied.
package struct Node: Sendable {
    /// The layer's name: its parameters are called `<name>.weight`, ….
    package var name: String
    package var inputs: [Tensor]
    package var output: Tensor
    var operation: any Operator

    /// The operator's kind, as the list of operators calls it.
    package var kind: String { type(of: operation).kind }
}

/// How a parameter is stored in the flat vector.
package enum ParameterStorage: Hashable, Sendable {
    /// A plain vector, one element for each channel.
    case vector(count: Int)
    /// Weights in the storage layout of the geometry.
    case convolution(ConvolutionGeometry)

    /// Elements in the flat vector, padding left out.
    package var count: Int {
        switch self {
        case .vector(let count): count
        case .convolution(let geometry): geometry.storageCount
        }
    }
}

/// The rule by which a parameter is drawn at the start of a run.
package enum InitializationRule: Hashable, Sendable {
    case constant(Float)
    /// Uniform in ±`bound`: (2u - 1) · bound, u the uniform number at the element's index in PyTorch's order.
    case uniform(bound: Float)

    /// Kaiming's uniform rule for ReLU: bound √(6 / fanIn), rounded once.
    package static func kaiming(fanIn: Int) -> InitializationRule {
        .uniform(bound: Float((6 / Double(fanIn)).squareRoot()))
    }
}

/// A trained parameter, before its place in the flat vector is known.
struct ParameterDeclaration: Sendable {
    var name: String
    /// The shape that PyTorch gives the same parameter.
    var shape: [Int]
    var storage: ParameterStorage
    var initialization: InitializationRule
    var isTrainable = true
}

/// State that is not trained by gradients: the running statistics of batch normalisation.
struct BufferDeclaration: Sendable {
    var name: String
    var count: Int
    var initial: Float
}

/// A network as data: operators on NHWC feature maps with shapes, in an order in which they can run.
///
/// Made by `GraphBuilder`, turned into a `Program` by `Program.init`. A graph knows no memory and no kernels.
package struct Graph: Sendable {
    package internal(set) var nodes: [Node]
    package internal(set) var input: Tensor
    /// What inference returns: the logits.
    package internal(set) var output: Tensor
    var shapes: [FeatureShape]
    var parameters: [ParameterDeclaration]
    var buffers: [BufferDeclaration]

    package func shape(of tensor: Tensor) -> FeatureShape { shapes[tensor.index] }

    /// The same graph in which the parameters whose names satisfy `isFrozen` get no gradient and no update.
    package func freezing(_ isFrozen: (String) -> Bool) -> Graph {
        var copy = self
        for index in copy.parameters.indices where isFrozen(copy.parameters[index].name) {
            copy.parameters[index].isTrainable = false
        }
        return copy
    }

    /// Multiply-adds of a node's forward pass for one image; taps in the padding count.
    package func multiplyAdds(of node: Node) -> Int {
        node.operation.multiplyAdds(node.inputs.map { shapes[$0.index] }, shapes[node.output.index])
    }

    /// Names, PyTorch shapes and element counts of the parameters of `node`.
    package func parameters(of node: Node) -> [(name: String, shape: [Int])] {
        node.operation.state(node.inputs.map { shapes[$0.index] }).parameters.map {
            ("\(node.name).\($0.name)", $0.shape)
        }
    }
}
