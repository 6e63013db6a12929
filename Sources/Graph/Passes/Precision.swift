import Kernels

/// The graph with its feature maps in `format`: the images are converted before the first layer, and what losses and
/// callers read is converted back to `Float`.
func casting(_ graph: Graph, to format: ElementFormat) -> Graph {
    var result = graph
    result.nodes = []
    /// What stands for a tensor in `format`, and in `Float`.
    var inner: [Tensor: Tensor] = [:]
    var outer: [Tensor: Tensor] = [:]

    func cast(_ tensor: Tensor, to format: ElementFormat, name: String) -> Tensor {
        let output = Tensor(index: result.shapes.count)
        result.shapes.append(result.shapes[tensor.index])
        result.nodes.append(Node(name: name, inputs: [tensor], output: output, operation: Cast(format: format)))
        return output
    }
    func readable(_ tensor: Tensor) -> Tensor {
        if let known = outer[tensor] { return known }
        let output = cast(inner[tensor] ?? tensor, to: .float32, name: "cast.\(tensor.index)")
        outer[tensor] = output
        return output
    }

    inner[graph.input] = cast(graph.input, to: format, name: "cast.input")
    for var node in graph.nodes {
        if node.operation is SegmentationLossHead {
            node.inputs = node.inputs.map(readable)
        } else {
            node.inputs = node.inputs.map { inner[$0] ?? $0 }
        }
        result.nodes.append(node)
    }
    result.output = readable(graph.output)
    return result
}

extension Graph {
    /// The format of each tensor's elements.
    var formats: [ElementFormat] {
        var formats = [ElementFormat](repeating: .float32, count: shapes.count)
        for node in nodes {
            if let cast = node.operation as? Cast {
                formats[node.output.index] = cast.format
            } else if let first = node.inputs.first {
                formats[node.output.index] = formats[first.index]
            }
        }
        return formats
    }
}
