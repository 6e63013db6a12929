import Glibc
import Graph
import KernelSelection
import Kernels
import Losses
import TestSupport
import Testing

/// A step allocates nothing: it runs where nothing can be allocated.
///
/// In a process of its own, memory is used up after a first run: the address space may not grow, and everything that
/// malloc still has is taken. Whatever allocates after that fails, and Swift ends the process.
@Suite struct AllocationTests {
    @Test(.timeLimit(.minutes(15)))
    func `a run allocates nothing`() async {
        await #expect(processExitsWith: .exitCode(7)) {
            let run = try preparedRun()
            run()
            useUpMemory()
            run()
            _exit(7)
        }
    }

    @Test(.timeLimit(.minutes(15)))
    func `the test notices an allocation`() async {
        await #expect(processExitsWith: .failure) {
            let run = try preparedRun()
            run()
            useUpMemory()
            run()
            // Any growing array does.
            var values: [Int] = []
            for index in 0..<Int(getpid()) { values.append(index) }
            _exit(values.count > 0 ? 0 : 1)
        }
    }
}

private func preparedRun() throws -> () -> Void {
    var b = try GraphBuilder(input: FeatureShape(height: 16, width: 16, channels: 1))
    var x = b.input
    for layer in 0..<3 {
        x = try b.convolution(x, name: "conv\(layer)", outputChannels: 20, kernel: 3)
        x = try b.relu(try b.batchNormalization(x, name: "bn\(layer)"), name: "relu\(layer)")
    }
    x = try b.upsampleNearest(try b.maxPool(x, name: "pool", size: 2), name: "up")
    x = try b.upsampleBilinear(x, name: "bilinear", height: 16, width: 16)
    x = try b.dropout(try b.concatenate([x, b.input], name: "join"), name: "dropout", probability: 0.5)
    x = try b.transposedConvolution(try b.maxPool(x, name: "half", size: 2), name: "double", outputChannels: 6)
    let logits = try b.convolution(x, name: "head", outputChannels: 1, kernel: 1, bias: true)
    try b.segmentationLoss(logits, SegmentationLoss(lossTerms.map { term($0) }))
    let rig = try Rig(b.finish(), images: 2, kernels: KernelVariant.best.table, bucketBytes: 2_000)
    let input = AlignedBuffer(count: 512)
    input.set(randomValues(512, seed: 1))
    let targets = AlignedBuffer(count: 512)
    targets.set(randomMask(512, seed: 2))
    return {
        rig.executor.runTraining(
            input: input.base,
            targets: targets.base,
            model: rig.model,
            sampleWeight: 1,
            sums: rig.sums.base,
            dropout: .init(seed: 1, step: 2, position: 3, firstWord: 0)
        ) { _ in }
    }
}

private func useUpMemory() {
    var limit = rlimit(rlim_cur: 0, rlim_max: 0)
    setrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit)
    // Large pieces first, then every size that a malloc of glibc keeps a list of.
    var size = 1 << 24
    while size >= 16 {
        // Linked, so that the compiler cannot take an unused allocation away and assume that it succeeds.
        while let piece = malloc(size) {
            piece.storeBytes(of: taken, as: UnsafeMutableRawPointer?.self)
            taken = piece
        }
        size = size > 4096 ? size / 2 : size - 16
    }
}

/// The last piece that `useUpMemory` took; used by the one thread of a test's child process.
private nonisolated(unsafe) var taken: UnsafeMutableRawPointer?
