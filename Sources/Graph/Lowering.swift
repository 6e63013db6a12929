import Kernels

/// What a program is compiled for.
package enum ProgramMode: Hashable, Sendable {
    /// Forward and backward; batch normalisation uses the microbatch's statistics where its layer says so.
    case training
    /// Forward only, with running statistics; the result is the logits, or their sigmoid.
    case inference(probabilities: Bool)
}

/// A tensor of a program: a feature map of the microbatch, or a vector.
struct ProgramTensor: Sendable {
    var images: Int
    var shape: FeatureShape
    var format = ElementFormat.float32

    var elements: Int { images * shape.elements }
    /// Its size in the arena, in words of 4 bytes.
    var words: Int { (elements * format.byteCount + 3) / 4 }
}

/// Turns a graph into a list of instructions over numbered tensors: forward in the graph's order, then backward in
/// reverse by each operator's gradient rule.
///
/// The order in which gradients are accumulated is that of the instructions, hence fixed by the graph alone.
final class Lowering {
    let graph: Graph
    let images: Int
    let mode: ProgramMode
    private(set) var instructions: [ScheduledInstruction] = []
    /// The tensors of the graph by their indices, then the gradients and the temporaries.
    private(set) var tensors: [ProgramTensor]
    /// The tensor that holds the masks; not in the arena.
    let targets: Int
    let tail: TailLayout
    /// Indices of the declared parameters in the order in which their gradients are complete.
    private(set) var completed: [Int] = []
    private let parameterIndex: [String: Int]
    private let bufferIndex: [String: Int]
    private let needsGradient: [Bool]
    private var gradients: [Int: Int] = [:]
    private var saved: [Int: [Int]] = [:]
    private var dropoutWords = 0
    private var current: (name: String, kind: String, phase: Phase) = ("", "", .forward)

    init(_ graph: Graph, images: Int, mode: ProgramMode) {
        self.graph = graph
        self.images = images
        self.mode = mode
        tensors = zip(graph.shapes, graph.formats).map { ProgramTensor(images: images, shape: $0, format: $1) }
        targets = tensors.count
        tail = TailLayout(graph)
        let output = graph.shape(of: graph.output)
        tensors.append(ProgramTensor(images: images, shape: output))
        let parameterIndex = Dictionary(uniqueKeysWithValues: graph.parameters.enumerated().map { ($1.name, $0) })
        self.parameterIndex = parameterIndex
        bufferIndex = Dictionary(uniqueKeysWithValues: graph.buffers.enumerated().map { ($1.name, $0) })
        var needs = [Bool](repeating: false, count: graph.shapes.count)
        for node in graph.nodes {
            let own = node.operation.state(node.inputs.map { graph.shapes[$0.index] }).parameters
            let trains = own.contains { declaration in
                parameterIndex["\(node.name).\(declaration.name)"].map { graph.parameters[$0].isTrainable } ?? false
            }
            needs[node.output.index] = trains || node.inputs.contains { needs[$0.index] }
        }
        needsGradient = needs
    }

    /// Emits the whole program.
    func run() {
        for node in graph.nodes {
            current = (node.name, node.kind, .forward)
            node.operation.forward(node, in: self)
        }
        guard mode == .training else { return }
        for node in graph.nodes.reversed() where needsGradient[node.output.index] {
            current = (node.name, node.kind, .backward)
            node.operation.backward(node, in: self)
        }
    }

    // MARK: What operators call

    /// Appends an instruction; `completes` are declared parameters whose gradients it finishes.
    func emit(_ instruction: any Instruction, multiplyAdds: Int = 0, completes: [Int] = []) {
        let trainable = completes.filter { graph.parameters[$0].isTrainable }
        completed += trainable
        instructions.append(
            ScheduledInstruction(
                name: current.name,
                kind: current.kind,
                phase: current.phase,
                flops: 2 * multiplyAdds,
                completes: trainable,
                instruction: instruction
            )
        )
    }

    /// The declared parameter of `node` with this suffix.
    func parameter(_ node: Node, _ suffix: String) -> ParameterReference {
        guard let index = parameterIndex["\(node.name).\(suffix)"] else {
            preconditionFailure("layer \(node.name) declares no parameter \(suffix)")
        }
        return ParameterReference(index: index, isTrainable: graph.parameters[index].isTrainable)
    }

    /// The index of the declared buffer of `node` with this suffix.
    func buffer(_ node: Node, _ suffix: String) -> Int {
        guard let index = bufferIndex["\(node.name).\(suffix)"] else {
            preconditionFailure("layer \(node.name) declares no buffer \(suffix)")
        }
        return index
    }

    /// A new tensor for a vector of `count` elements.
    func vector(_ count: Int) -> Int {
        tensors.append(ProgramTensor(images: 1, shape: FeatureShape(height: 1, width: 1, channels: count)))
        return tensors.count - 1
    }

    /// A new tensor with a value for each channel of each image of `tensor`, in its format.
    func gate(for tensor: Int) -> Int {
        var gate = tensors[tensor]
        gate.shape = FeatureShape(height: 1, width: 1, channels: gate.shape.channels)
        tensors.append(gate)
        return tensors.count - 1
    }

    /// Scratch memory for a pass of a convolution whose input, or the gradient to it, is tensor `x`; nil where it needs
    /// none.
    func scratch(_ pass: ConvolutionPass, _ geometry: ConvolutionGeometry, x: Int) -> Int? {
        let bytes = geometry.scratchBytes(
            pass,
            for: tensors[x].format,
            images: tensors[x].images,
            height: tensors[x].shape.height,
            width: tensors[x].shape.width
        )
        return bytes == 0 ? nil : vector((bytes + 3) / 4)
    }

    /// A new tensor of the shape of `tensor`.
    func temporary(like tensor: Int) -> Int {
        tensors.append(tensors[tensor])
        return tensors.count - 1
    }

    /// Keeps tensors of the forward pass of `node` for its backward pass.
    func save(_ ids: [Int], for node: Node) { saved[node.output.index] = ids }

    /// What `save` kept.
    func saved(for node: Node) -> [Int] { saved[node.output.index] ?? [] }

    /// Whether anything upstream of `tensor` is trained.
    func requiresGradient(_ tensor: Tensor) -> Bool { needsGradient[tensor.index] }

    /// The complete gradient of a node's output, nil where nothing that follows depends on it.
    func gradient(of tensor: Tensor) -> Int? { gradients[tensor.index] }

    /// Where to put a contribution to the gradient of `tensor`: nil where it is not needed; `accumulate` where an
    /// earlier instruction has already put one there.
    func contribution(to tensor: Tensor) -> (gradient: Int, accumulate: Bool)? {
        guard needsGradient[tensor.index] else { return nil }
        if let known = gradients[tensor.index] { return (known, true) }
        let id = temporary(like: tensor.index)
        gradients[tensor.index] = id
        return (id, false)
    }

    /// Emits an instruction that overwrites its destination, through a temporary where the gradient of `tensor`
    /// already has a contribution.
    func contribute(
        to tensor: Tensor,
        multiplyAdds: Int = 0,
        _ instruction: (_ destination: Int) -> any Instruction
    ) {
        guard let (gradient, accumulate) = contribution(to: tensor) else { return }
        let destination = accumulate ? temporary(like: gradient) : gradient
        emit(instruction(destination), multiplyAdds: multiplyAdds)
        if accumulate { emit(CopyInstruction(x: destination, y: gradient, accumulate: true)) }
    }

    /// The first of `count` words of the dropout sequence, used by no other operator.
    func reserveDropoutWords(_ count: Int) -> Int {
        defer { dropoutWords += (count + 3) / 4 * 4 }
        return dropoutWords
    }
}

/// A declared parameter, as instructions refer to it.
struct ParameterReference: Sendable {
    var index: Int
    var isTrainable: Bool
}
