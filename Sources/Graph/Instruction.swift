import Kernels

/// One step of a program: a kernel call, or a few that belong together, on tensors named by number.
///
/// Instructions hold no addresses: `ExecutionContext` gives the view of a tensor. What they read and write is declared
/// here and nowhere else; the memory plan rests on it.
protocol Instruction: Sendable {
    /// Tensors whose elements the instruction reads, an accumulated destination included.
    var reads: [Int] { get }
    /// Tensors whose elements the instruction writes.
    var writes: [Int] { get }
    /// The convolution that the instruction is a pass of, for traces and reports.
    var convolution: ConvolutionGeometry? { get }
    /// What the instruction does besides what its name says, for traces and reports: `ReLU`, `residual`, `added` where it
    /// adds to what its destination holds.
    var extras: [String] { get }
    /// A chance to let two tensors share memory.
    var sharing: SharingRequest? { get }
    /// What writes the same feature maps once more in the backward pass, nil where that is not foreseen.
    var recomputation: (any Instruction)? { get }

    func run(_ context: ExecutionContext)
}

extension Instruction {
    var convolution: ConvolutionGeometry? { nil }
    var extras: [String] { [] }
    var sharing: SharingRequest? { nil }
    var recomputation: (any Instruction)? { nil }
}

/// How two tensors of an instruction could share memory.
enum SharingRequest: Sendable {
    /// The output may overwrite the input, of the same shape.
    case inPlace(output: Int, input: Int)
    /// The operand may be written straight into `channel`… of the joined tensor, and the instruction goes away.
    case join(operand: Int, joined: Int, channel: Int)
    /// The part may be channels `channel`… of the whole, and the instruction goes away.
    case slice(part: Int, whole: Int, channel: Int)
}

/// The pass of a step that an instruction belongs to.
package enum Phase: String, Sendable, Codable {
    case forward
    case backward
}

/// An instruction with what traces and reports say about it.
package struct ScheduledInstruction: Sendable {
    /// The layer's name.
    package var name: String
    /// The operator's kind.
    package var kind: String
    /// The instruction's own name, for traces.
    package var operation: String { "\(type(of: instruction))" }
    package var phase: Phase
    /// Floating-point operations of the whole microbatch: 2 for each multiply-add of a convolution, 0 otherwise.
    package var flops: Int
    /// The declared parameters whose gradients are complete after it.
    var completes: [Int]
    var instruction: any Instruction
    /// Whether it makes once more what the forward pass has made and given up.
    package var isRecomputation = false
}

/// Moves a tensor: y ← x, or y + x.
struct CopyInstruction: Instruction {
    var x: Int
    var y: Int
    var accumulate: Bool

    var extras: [String] { accumulate ? ["added"] : [] }
    var reads: [Int] { accumulate ? [x, y] : [x] }
    var writes: [Int] { [y] }
    var sharing: SharingRequest? { accumulate ? nil : .slice(part: y, whole: x, channel: 0) }

    func run(_ context: ExecutionContext) {
        context.kernels.copy(context.view(x), context.view(y), accumulate)
    }
}
