import Kernels

/// An operator: everything the graph knows about one kind of layer.
///
/// Each conforming type lives in its own file of `Operators` together with its builder function and its instructions;
/// `operatorList` names them all. Adding one is one file, one entry there and its test.
protocol Operator: Sendable {
    /// The kind as `pleura inspect` and error messages print it.
    static var kind: String { get }

    /// Whether it sets values to zero at random in training, which tests leave out to compare.
    static var drops: Bool { get }

    /// The output's shape for inputs of these shapes, or what does not fit.
    func outputShape(_ inputs: [FeatureShape]) throws(ShapeDefect) -> FeatureShape

    /// Parameters and buffers, named relative to the layer.
    func state(_ inputs: [FeatureShape]) -> OperatorState

    /// Multiply-adds of the forward pass for one image. Operators that only move memory count 0.
    func multiplyAdds(_ inputs: [FeatureShape], _ output: FeatureShape) -> Int

    /// Emits the forward instructions.
    func forward(_ node: Node, in lowering: Lowering)

    /// Emits the instructions that turn the gradient of the output into those of the inputs and the parameters.
    func backward(_ node: Node, in lowering: Lowering)

    /// The activation that this operator is, which others may make part of them; nil for all others.
    var activation: Activation? { get }

    /// This operator with a following activation made part of it, or nil.
    func fusing(_ activation: Activation) -> (any Operator)?

    /// This operator with a following addition made part of it, whose other operand becomes its second input, or nil.
    func fusingResidual() -> (any Operator)?

    /// What the operator leaves behind the gradients in the step's sums.
    var tail: TailNeed { get }
}

/// What an operator leaves behind the gradients in the step's flat vector of sums.
enum TailNeed: Sendable {
    case nothing
    /// A mean and a variance for each channel of its output.
    case statistics
    /// A pair for each term of a loss by these names, and a part of the total.
    case losses([String])
}

/// The parameters and buffers of one operator, named relative to its layer.
struct OperatorState {
    var parameters: [ParameterDeclaration] = []
    var buffers: [BufferDeclaration] = []
}

extension Operator {
    static var drops: Bool { false }
    func state(_ inputs: [FeatureShape]) -> OperatorState { OperatorState() }
    func multiplyAdds(_ inputs: [FeatureShape], _ output: FeatureShape) -> Int { 0 }
    var activation: Activation? { nil }
    func fusing(_ activation: Activation) -> (any Operator)? { nil }
    func fusingResidual() -> (any Operator)? { nil }
    var tail: TailNeed { .nothing }
}
