import Graph
import HDF5IO
import Kernels
import TestSupport
import Testing

/// Values that PyTorch computed in fp64 once; `Tests/Fixtures/operators.py` wrote them.
struct GoldenCase {
    private var arrays: [String: [Float]] = [:]
    var names: [String] { arrays.keys.sorted() }

    init(_ name: String) throws {
        let file = try HDF5File.open(fixture(name.hasPrefix("loss") ? "losses.h5" : "operators.h5"))
        let values = try file.read(name, as: Float.self).values
        var offset = 0
        for entry in try file.textAttribute("index", of: name).split(separator: ";") {
            let parts = entry.split(separator: ":")
            let count = parts[1].split(separator: "x").reduce(1) { $0 * (Int($1) ?? 0) }
            arrays[String(parts[0])] = Array(values[offset..<offset + count])
            offset += count
        }
        try #require(offset == values.count)
    }

    func values(_ name: String) throws -> [Float] { try #require(arrays[name], "the fixture has no \(name)") }
}

func fixture(_ name: String) -> String {
    var parts = #filePath.split(separator: "/", omittingEmptySubsequences: false)
    parts.removeLast(2)
    return parts.joined(separator: "/") + "/Fixtures/" + name
}

/// The largest difference, in units of the largest magnitude of `expected`, or of `floor` where that is larger.
func distance(_ found: [Float], _ expected: [Float], floor: Float = 1e-3) -> Float {
    guard found.count == expected.count else { return .infinity }
    let scale = max(floor, largest(expected))
    let worst = zip(found, expected).reduce(Float(0)) { worst, pair in
        let difference = abs(pair.0 - pair.1)
        return difference.isNaN ? .infinity : max(worst, difference)
    }
    return worst / scale
}

func largest(_ values: [Float]) -> Float { values.reduce(0) { max($0, abs($1)) } }

@Suite struct GoldenTests {
    /// fp32 against fp64, each value rounded to fp32: a few roundings of the largest element.
    static let tolerance: Float = 4e-6

    /// That of one case: these two round at every step of an exponential and of a product of its results besides.
    private func tolerance(_ operation: OperatorCase) -> Float {
        ["normalization_silu", "softmax"].contains(operation.name) ? 6e-6 : Self.tolerance
    }

    @Test(arguments: operatorCases)
    func `operators and their gradients are PyTorch's`(_ operation: OperatorCase) throws {
        let golden = try GoldenCase(operation.name)
        for kernels in tables {
            let rig = try Rig(operation.graph(), images: operation.images, kernels: kernels)
            try load(golden, into: rig)
            rig.poisonFreedMemory()
            rig.train(try golden.values("input"), try golden.values("targets"))
            let loss = try golden.values("loss")[0]
            #expect(abs(Float(rig.loss) - loss) <= tolerance(operation) * max(1, abs(loss)), "loss, \(kernels.name)")
            // Gradients that cancel, as that of a bias before a normalisation, carry the rounding of what they are
            // sums of.
            let gradients = try golden.names.filter { $0.hasPrefix("gradient/") }.map { try golden.values($0) }
            let floor = 0.1 * largest(gradients.map(largest))
            for parameter in rig.layout.parameters {
                let expected = try golden.values("gradient/\(parameter.name)")
                let found = distance(rig.gradient(parameter), expected, floor: floor)
                #expect(found <= tolerance(operation), "gradient of \(parameter.name), \(kernels.name)")
            }
            rig.layout.applyStatistics(rig.sums.base, to: rig.buffers.base)
            for name in golden.names where name.hasPrefix("after/") {
                let buffer = try #require(rig.layout.buffers.first { "after/\($0.name)" == name })
                let found = Array(UnsafeBufferPointer(start: rig.buffers.base + buffer.offset, count: buffer.count))
                let expected = try golden.values(name)
                #expect(distance(found, expected) <= tolerance(operation), "\(name), \(kernels.name)")
            }
        }
    }

    /// Of the operators that do in inference what they do in training.
    private static let steadyCases = operatorCases.filter {
        !["batch normalisation", "dropout", "channel dropout", "drop connect"].contains($0.kind)
    }

    @Test(arguments: steadyCases)
    func `inference gives PyTorch's logits`(_ operation: OperatorCase) throws {
        let golden = try GoldenCase(operation.name)
        for kernels in tables {
            let rig = try Rig(
                operation.graph(),
                images: operation.images,
                mode: .inference(probabilities: false),
                kernels: kernels
            )
            try load(golden, into: rig)
            rig.poisonFreedMemory()
            let found = distance(rig.infer(try golden.values("input")), try golden.values("logits"))
            #expect(found <= tolerance(operation), "logits, \(kernels.name)")
        }
    }

    @Test func `every operator has a golden case`() {
        // Casts are made by the choice of a precision; `PrecisionTests` is theirs.
        let covered = Set(operatorCases.map(\.kind)).union(["cast"])
        #expect(operatorKinds.filter { !covered.contains($0) } == [])
    }

    private func load(_ golden: GoldenCase, into rig: Rig) throws {
        for parameter in rig.layout.parameters {
            let values = try golden.values("parameter/\(parameter.name)")
            try #require(values.count == parameter.elementCount, "\(parameter.name) has another shape")
            let fits = rig.layout.import(values, as: parameter, into: rig.weights.base)
            let returned = rig.layout.export(parameter, from: rig.weights.base)
            #expect(fits && distance(returned, values) == 0, "\(parameter.name)")
        }
        for buffer in rig.layout.buffers {
            for (index, value) in try golden.values("buffer/\(buffer.name)").enumerated() {
                rig.buffers.base[buffer.offset + index] = value
            }
        }
    }
}
