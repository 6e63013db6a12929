import Kernels

/// The model that a run reads: not owned, not written.
///
/// Counts are those of the program's `ParameterLayout`; each area starts at a multiple of 64 bytes.
package struct ModelMemory {
    package var weights: UnsafePointer<Float>
    package var buffers: UnsafePointer<Float>

    package init(
        weights: UnsafePointer<Float>,
        buffers: UnsafePointer<Float>
    ) {
        self.weights = weights
        self.buffers = buffers
    }
}

/// What instructions see of a run: tensors by number, parameters by number, the step's numbers.
///
/// Lives as long as its `Executor` and on its thread.
final class ExecutionContext {
    let kernels: KernelTable
    private let views: UnsafeMutablePointer<TensorView>
    private let tensorCount: Int
    private let offsets: UnsafeMutablePointer<Int>
    private let bufferOffsets: UnsafeMutablePointer<Int>
    private let tailOffset: Int
    /// Set before each run.
    var memory: ModelMemory
    var sums: UnsafeMutablePointer<Float>
    var sampleWeight = 1.0
    var dropout = DropoutKey(seed: 0, step: 0, position: 0, firstWord: 0)
    /// The microbatch's loss so far, over the losses of the graph.
    var totalLoss = 0.0

    init(
        kernels: KernelTable,
        views: [TensorView],
        weightOffsets: [Int],
        bufferOffsets: [Int],
        tailOffset: Int,
        arena: UnsafeMutablePointer<Float>
    ) {
        self.kernels = kernels
        tensorCount = views.count
        self.views = .allocate(capacity: tensorCount)
        for (id, view) in views.enumerated() { (self.views + id).initialize(to: view) }
        offsets = .allocate(capacity: max(1, weightOffsets.count))
        for (index, offset) in weightOffsets.enumerated() { (offsets + index).initialize(to: offset) }
        self.bufferOffsets = .allocate(capacity: max(1, bufferOffsets.count))
        for (index, offset) in bufferOffsets.enumerated() { (self.bufferOffsets + index).initialize(to: offset) }
        self.tailOffset = tailOffset
        memory = ModelMemory(weights: arena, buffers: arena)
        sums = arena
    }

    deinit {
        views.deallocate()
        offsets.deallocate()
        bufferOffsets.deallocate()
    }

    func view(_ tensor: Int) -> TensorView { views[tensor] }
    func setBase(of tensor: Int, to base: UnsafePointer<Float>) {
        views[tensor].address = UnsafeMutableRawPointer(mutating: base)
    }
    func pointer(_ vector: Int) -> UnsafeMutablePointer<Float> { views[vector].floats }
    /// Scratch memory; anything where the instruction needs none.
    func scratch(_ vector: Int?) -> UnsafeMutableRawPointer { views[vector ?? 0].address }
    func bytes(_ vector: Int) -> UnsafeMutablePointer<UInt8> {
        views[vector].address.assumingMemoryBound(to: UInt8.self)
    }

    func weight(_ parameter: Int) -> UnsafePointer<Float> { memory.weights + offsets[parameter] }
    func gradient(_ parameter: Int) -> UnsafeMutablePointer<Float> { sums + offsets[parameter] }
    func buffer(_ index: Int) -> UnsafePointer<Float> { memory.buffers + bufferOffsets[index] }

    /// The start of the tail of the step's sums.
    var tail: UnsafeMutablePointer<Float> { sums + tailOffset }

    /// Writes a `Double` as the sum of two `Float`s to the tail.
    func storePair(_ value: Double, at offset: Int) {
        let high = Float(value)
        tail[offset] = high
        tail[offset + 1] = high.isFinite ? Float(value - Double(high)) : 0
    }
}

extension TensorView {
    /// The view of `count` channels from `first` of elements in `format`.
    func channels(from first: Int, count: Int, _ format: ElementFormat) -> TensorView {
        var view = self
        view.address += first * format.byteCount
        view.channels = count
        return view
    }
}
