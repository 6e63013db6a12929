import Kernels

/// The same values in another format, rounded where it is the shorter one.
struct Cast: Operator {
    static let kind = "cast"

    var format: ElementFormat

    func outputShape(_ inputs: [FeatureShape]) throws(ShapeDefect) -> FeatureShape { inputs[0] }

    func forward(_ node: Node, in lowering: Lowering) {
        lowering.emit(
            CastInstruction(
                x: node.inputs[0].index,
                y: node.output.index,
                narrows: format != .float32,
                accumulate: false
            )
        )
    }

    func backward(_ node: Node, in lowering: Lowering) {
        guard let dy = lowering.gradient(of: node.output),
            let (dx, accumulate) = lowering.contribution(to: node.inputs[0])
        else { return }
        lowering.emit(CastInstruction(x: dy, y: dx, narrows: format == .float32, accumulate: accumulate))
    }
}

/// y ← x, or y + x: between `Float` and the program's precision.
struct CastInstruction: Instruction {
    var x: Int
    var y: Int
    var narrows: Bool
    var accumulate: Bool

    var reads: [Int] { accumulate ? [x, y] : [x] }
    var writes: [Int] { [y] }
    var recomputation: (any Instruction)? { self }

    func run(_ context: ExecutionContext) {
        if narrows {
            context.kernels.narrow(context.view(x), context.view(y), accumulate)
        } else {
            context.kernels.widen(context.view(x), context.view(y), accumulate)
        }
    }
}
