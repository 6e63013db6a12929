import Kernels

/// What one instruction of a program does, for traces and reports.
package struct InstructionDescription: Hashable, Sendable {
    /// The layer's name.
    package var layer: String
    /// The instruction's own name.
    package var operation: String
    package var phase: Phase
    /// What it reads and writes, the largest tensor of each, and what it does besides: `4×64×64×64 → 4×64×64×64, 3×3 s2`,
    /// `4×64×64×64 → 4×64×64×64, residual, ReLU`.
    package var shape: String
    /// Bytes of the tensors and weights that it touches, each once; scratch memory does not count.
    package var bytes: Int
    /// Floating-point operations of the direct algorithm; 0 where it only moves memory.
    package var flops: Int
    package var isRecomputation: Bool
}

extension Program {
    /// Describes the instruction at `index`.
    package func description(of index: Int) -> InstructionDescription {
        let scheduled = instructions[index]
        let instruction = scheduled.instruction
        let read = Set(instruction.reads)
        let written = Set(instruction.writes).subtracting(scratchTensors)
        var bytes = read.union(written).reduce(0) { $0 + tensors[$1].elements * tensors[$1].format.byteCount }
        // An accumulated destination is read and written.
        bytes += read.intersection(written).reduce(0) { $0 + tensors[$1].elements * tensors[$1].format.byteCount }
        // Where a destination is added to, what is added says more.
        let sources = instruction.reads.filter { !written.contains($0) }
        var shape = text(
            (sources.isEmpty ? instruction.reads : sources).max { tensors[$0].elements < tensors[$1].elements }
        )
        if let target = written.max(by: { (tensors[$0].elements, $1) < (tensors[$1].elements, $0) }) {
            shape += " → " + text(target)
        }
        if let g = instruction.convolution {
            bytes += 4 * g.storageCount
            if written.isEmpty { shape += " → \(g.outputChannels)×\(g.inputChannels / g.groups)" }
            shape += ", \(g.kernelHeight)×\(g.kernelWidth)"
            if g.stride != 1 { shape += " s\(g.stride)" }
            if g.dilation != 1 { shape += " d\(g.dilation)" }
            if g.groups != 1 { shape += " g\(g.groups)" }
        }
        for extra in instruction.extras { shape += ", \(extra)" }
        return InstructionDescription(
            layer: scheduled.name,
            operation: scheduled.operation,
            phase: scheduled.phase,
            shape: shape,
            bytes: bytes,
            flops: scheduled.flops,
            isRecomputation: scheduled.isRecomputation
        )
    }

    private func text(_ tensor: Int?) -> String {
        guard let tensor else { return "" }
        return "\(tensors[tensor].images)×\(tensors[tensor].shape)"
    }
}
