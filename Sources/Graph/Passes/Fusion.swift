/// Joins operators that one kernel can do: activations into what precedes them, addition into normalisations.
///
/// The bits of fp32 do not change: the joined kernels round where the separate ones do. In bfloat16 a joined kernel
/// rounds once, at its end.
func fused(_ graph: Graph) -> Graph {
    var nodes: [Node?] = graph.nodes
    var producer: [Tensor: Int] = [:]
    var consumers: [Tensor: Int] = [graph.output: 1]
    for (index, node) in graph.nodes.enumerated() {
        producer[node.output] = index
        for input in node.inputs { consumers[input, default: 0] += 1 }
    }

    /// The node that makes `tensor`, where only one node reads it.
    func soleProducer(of tensor: Tensor) -> (index: Int, node: Node)? {
        guard consumers[tensor] == 1, let index = producer[tensor], let node = nodes[index] else { return nil }
        return (index, node)
    }

    /// Puts `operation` under the name of `part` in the place of node `index`.
    func join(_ part: (index: Int, node: Node), _ operation: any Operator, inputs: [Tensor], at index: Int) {
        guard let output = nodes[index]?.output else { return }
        nodes[index] = Node(name: part.node.name, inputs: inputs, output: output, operation: operation)
        nodes[part.index] = nil
        producer[output] = index
    }

    for index in graph.nodes.indices {
        guard let node = nodes[index] else { continue }
        if node.operation is Addition, node.inputs[0] != node.inputs[1] {
            for position in 0..<2 {
                guard let part = soleProducer(of: node.inputs[position]),
                    let operation = part.node.operation.fusingResidual()
                else { continue }
                join(part, operation, inputs: part.node.inputs + [node.inputs[1 - position]], at: index)
                break
            }
        } else if let activation = node.operation.activation, let part = soleProducer(of: node.inputs[0]),
            let operation = part.node.operation.fusing(activation)
        {
            join(part, operation, inputs: part.node.inputs, at: index)
        }
    }
    var result = graph
    result.nodes = nodes.compactMap { $0 }
    return result
}
