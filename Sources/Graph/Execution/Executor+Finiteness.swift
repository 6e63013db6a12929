import Kernels

/// Where a microbatch's numbers stop to be finite.
package struct NonFiniteFinding: Hashable, Sendable {
    /// The layer whose instruction it is.
    package var layer: String
    /// `activation`, `loss` or `gradient`.
    package var what: String
    /// The parameter, of a gradient.
    package var parameter: String?
}

extension Executor {
    /// Runs `body`, a training run of this executor, and finds the first instruction after which an element that it has
    /// written is not finite: of a feature map, of the losses, or of a parameter's gradient. Nil where none is.
    ///
    /// For diagnosis: every element is looked at, which takes several times as long as the run. Replaces `observer`
    /// meanwhile. `sums` are those of the run.
    package func firstNonFinite(sums: UnsafePointer<Float>, during body: () -> Void) -> NonFiniteFinding? {
        let before = observer
        defer { observer = before }
        var finding: NonFiniteFinding?
        observer = { [unowned self] index in
            if finding == nil, index >= 0 { finding = self.finding(after: index, sums) }
        }
        body()
        return finding
    }

    private func finding(after index: Int, _ sums: UnsafePointer<Float>) -> NonFiniteFinding? {
        let scheduled = program.instructions[index]
        if scheduled.phase == .forward {
            // The graph's own tensors come first; gradients and temporaries follow the targets.
            for tensor in scheduled.instruction.writes where tensor < program.targets && !isFinite(tensor) {
                return NonFiniteFinding(layer: scheduled.name, what: "activation")
            }
        }
        let layout = program.layout
        for declaration in scheduled.completes {
            let parameter = layout.parameters[layout.positions[declaration]]
            if parameter.isTrained, !isFinite(sums + parameter.offset, parameter.count) {
                return NonFiniteFinding(layer: scheduled.name, what: "gradient", parameter: parameter.name)
            }
        }
        // The tail is written by the forward pass; before its end it holds what stood there.
        let isLast = program.instructions.lastIndex { $0.phase == .forward } == index
        if isLast, layout.losses.contains(where: { !sums[$0.offset].isFinite }) {
            return NonFiniteFinding(layer: scheduled.name, what: "loss")
        }
        return nil
    }

    private func isFinite(_ tensor: Int) -> Bool {
        let view = view(of: tensor)
        let pixels = view.images * view.pixelsPerImage
        switch program.format(of: tensor) {
        case .float32:
            let elements = view.address.assumingMemoryBound(to: Float.self)
            return (0..<pixels).allSatisfy { isFinite(elements + $0 * view.pixelStride, view.channels) }
        case .bfloat16:
            let elements = view.address.assumingMemoryBound(to: UInt16.self)
            return (0..<pixels).allSatisfy { pixel in
                // Infinities and what is not a number have all bits of the exponent.
                (0..<view.channels).allSatisfy { elements[pixel * view.pixelStride + $0] & 0x7F80 != 0x7F80 }
            }
        }
    }

    private func isFinite(_ elements: UnsafePointer<Float>, _ count: Int) -> Bool {
        (0..<count).allSatisfy { elements[$0].isFinite }
    }
}

extension Program {
    /// The format of a tensor's elements.
    fileprivate func format(of tensor: Int) -> ElementFormat { tensors[places[tensor].root].format }
}
