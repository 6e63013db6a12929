/// Records operators into a `Graph`, checking shapes and names as it goes.
///
/// The builder functions of the operators are extensions beside them, in `Operators/`.
package struct GraphBuilder {
    private var nodes: [Node] = []
    private var shapes: [FeatureShape] = []
    private var parameters: [ParameterDeclaration] = []
    private var buffers: [BufferDeclaration] = []
    private var names: Set<String> = []
    /// The graph's input: the images.
    package let input: Tensor
    /// What inference returns: set by the first loss, or by `finish(output:)`.
    package internal(set) var output: Tensor?

    /// Put before the names of the layers that follow: the same function can build a part twice.
    package var namePrefix = ""

    /// A graph whose input has this shape.
    package init(input shape: FeatureShape) throws(GraphError) {
        if shape.height < 1 || shape.width < 1 || shape.channels < 1 || shape.height > 16_384
            || shape.width > 16_384 || shape.channels > 65_536
        {
            throw GraphError(
                layer: "input",
                problem: "the shape \(shape) is outside 1×1×1 … 16384×16384×65536."
            )
        }
        shapes.append(shape)
        input = Tensor(index: 0)
    }

    package func shape(of tensor: Tensor) -> FeatureShape { shapes[tensor.index] }

    /// Appends an operator under a name that no other layer has: it names parameters.
    mutating func apply(
        _ operation: any Operator,
        to inputs: [Tensor],
        name: String
    ) throws(GraphError) -> Tensor {
        let name = namePrefix + name
        precondition(inputs.allSatisfy { shapes.indices.contains($0.index) }, "a tensor of another builder")
        if !names.insert(name).inserted {
            throw GraphError(layer: name, problem: "two layers have this name; names must differ.")
        }
        let inputShapes = inputs.map { shapes[$0.index] }
        let shape: FeatureShape
        do {
            shape = try operation.outputShape(inputShapes)
        } catch {
            throw GraphError(layer: name, problem: error.problem)
        }
        let state = operation.state(inputShapes)
        for var declaration in state.parameters {
            declaration.name = "\(name).\(declaration.name)"
            parameters.append(declaration)
        }
        for var declaration in state.buffers {
            declaration.name = "\(name).\(declaration.name)"
            buffers.append(declaration)
        }
        let output = Tensor(index: shapes.count)
        shapes.append(shape)
        nodes.append(Node(name: name, inputs: inputs, output: output, operation: operation))
        return output
    }

    /// The finished graph; `output` nil means the logits of the first loss.
    package func finish(output: Tensor? = nil) throws(GraphError) -> Graph {
        guard let result = output ?? self.output else {
            throw GraphError(layer: "output", problem: "the graph has neither a loss nor an output.")
        }
        return Graph(
            nodes: nodes,
            input: input,
            output: result,
            shapes: shapes,
            parameters: parameters,
            buffers: buffers
        )
    }
}
