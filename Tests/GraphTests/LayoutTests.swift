import Graph
import Kernels
import Losses
import Numerics
import Reduction
import TestSupport
import Testing

@Suite struct LayoutTests {
    private func graph() throws -> Graph {
        var b = try GraphBuilder(input: FeatureShape(height: 6, width: 6, channels: 1))
        var x = b.input
        for layer in 0..<6 {
            x = try b.convolution(x, name: "conv\(layer)", outputChannels: 20, kernel: 3, bias: layer % 2 == 0)
            x = try b.batchNormalization(
                x,
                name: "bn\(layer)",
                statistics: layer == 3 ? .running : .batch,
                momentum: 0.25
            )
            x = try b.relu(x, name: "relu\(layer)")
        }
        let logits = try b.convolution(x, name: "head", outputChannels: 1, kernel: 1, bias: true)
        try b.segmentationLoss(logits, SegmentationLoss(focal: 2))
        return try b.finish()
    }

    @Test func `parameters stand in the order in which gradients become ready`() throws {
        let layout = ParameterLayout(try graph())
        #expect(layout.parameters.first?.name == "head.bias")
        #expect(layout.parameters.last?.name == "conv0.weight")
        var end = 0
        for parameter in layout.parameters {
            #expect(parameter.offset == end && parameter.isTrained)
            end = (parameter.range.upperBound + 15) / 16 * 16
        }
        #expect(layout.trainedCount == end && layout.weightCount == end)
        #expect(layout.parameters.map(\.rank).sorted() == Array(0..<layout.parameters.count))
        let byRank = layout.parameters.sorted { $0.rank < $1.rank }.map(\.name)
        #expect(byRank == byRank.sorted())
    }

    @Test func `a bucket is reported once its elements are final`() throws {
        let rig = try Rig(graph(), images: 2, bucketBytes: 8_000)
        let buckets = rig.layout.bucketLayout(targetBytes: 8_000).buckets
        #expect(buckets.count > 4 && buckets.last?.upperBound == rig.layout.sumCount)
        for bucket in buckets.dropLast() {
            #expect(rig.layout.parameters.contains { ($0.range.upperBound + 15) / 16 * 16 == bucket.upperBound })
            #expect(bucket.count * 4 >= 8_000)
        }
        let base = rig.sums.base
        var ready: [Int] = []
        var snapshots: [[Float]] = []
        var reportedAt: [Int] = []
        var instruction = -1
        rig.executor.observer = { instruction = $0 }
        rig.train(randomValues(72, seed: 1), randomMask(72, seed: 2)) { bucket in
            ready.append(bucket)
            reportedAt.append(instruction)
            snapshots.append(
                Array(UnsafeBufferPointer(start: base + buckets[bucket].lowerBound, count: buckets[bucket].count))
            )
        }
        #expect(ready == Array(buckets.indices))
        for (bucket, snapshot) in zip(buckets, snapshots) {
            #expect(areFinite(snapshot))
            #expect(snapshot == Array(rig.sums.values[bucket]))
        }
        // Reported as early as can be: the first bucket long before the end.
        #expect(reportedAt[0] < rig.program.instructions.count * 3 / 4)
    }

    @Test func `padding of the sums is zero`() throws {
        let rig = try Rig(graph(), images: 2)
        rig.train(randomValues(72, seed: 1), randomMask(72, seed: 2))
        #expect(areFinite(rig.sums.values))
        var used = Set<Int>()
        for parameter in rig.layout.parameters { used.formUnion(parameter.range) }
        for index in 0..<rig.layout.trainedCount where !used.contains(index) { #expect(rig.sums.base[index] == 0) }
    }

    @Test func `frozen parameters get no gradient and stand last`() throws {
        let whole = try graph()
        let frozen = whole.freezing { $0.hasPrefix("conv0") || $0.hasPrefix("bn0") || $0.hasPrefix("conv1") }
        let layout = ParameterLayout(frozen)
        let names = layout.parameters.filter { !$0.isTrained }.map(\.name)
        #expect(Set(names) == ["conv0.weight", "conv0.bias", "bn0.weight", "bn0.bias", "conv1.weight"])
        #expect(layout.trainedCount < layout.weightCount)
        let rig = try Rig(frozen, images: 2)
        let reference = try Rig(whole, images: 2)
        let input = randomValues(72, seed: 1)
        let targets = randomMask(72, seed: 2)
        rig.train(input, targets)
        reference.train(input, targets)
        #expect(rig.program.instructions.count < reference.program.instructions.count)
        for parameter in layout.parameters where parameter.isTrained {
            let other = try #require(reference.spec(parameter.name))
            #expect(rig.gradient(parameter) == reference.gradient(other), "\(parameter.name)")
        }
    }

    @Test func `the sample weight scales gradients, statistics and losses`() throws {
        let input = randomValues(72, seed: 1)
        let targets = randomMask(72, seed: 2)
        let whole = try Rig(graph(), images: 2)
        whole.train(input, targets)
        let half = try Rig(graph(), images: 2)
        half.train(input, targets, sampleWeight: 0.5)
        // A half is exact, so everything is exactly half.
        #expect(zip(whole.sums.values, half.sums.values).allSatisfy { $0 == 2 * $1 })
    }

    @Test func `running statistics move by the momentum`() throws {
        let rig = try Rig(graph(), images: 2)
        rig.train(randomValues(72, seed: 1), randomMask(72, seed: 2))
        #expect(rig.layout.statistics.map(\.layer) == ["bn0", "bn1", "bn2", "bn4", "bn5"])
        let before = rig.buffers.values
        rig.layout.applyStatistics(rig.sums.base, to: rig.buffers.base)
        for layer in rig.layout.statistics {
            for c in 0..<layer.channels {
                let mean = Double(rig.sums.base[layer.mean + c])
                let expected = 0.75 * Double(before[layer.runningMean + c]) + 0.25 * mean
                #expect(rig.buffers.base[layer.runningMean + c] == Float(expected))
                #expect(rig.buffers.base[layer.runningVariance + c] > 0.75)
            }
        }
        let frozen = try #require(rig.layout.buffers.first { $0.name == "bn3.running_mean" })
        #expect(rig.buffers.values[frozen.offset..<frozen.offset + 20].allSatisfy { $0 == 0 })
    }

    @Test func `losses have names and add up`() throws {
        let rig = try Rig(graph(), images: 2)
        rig.train(randomValues(72, seed: 1), randomMask(72, seed: 2))
        let losses = rig.layout.lossValues(rig.sums.base)
        #expect(losses.map(\.name) == ["loss", "loss.cross_entropy", "loss.dice", "loss.focal"])
        let total = losses[1].value + losses[2].value + 2 * losses[3].value
        #expect(abs(losses[0].value - total) < 1e-12)
        #expect(rig.layout.name(at: 0) == "head.bias")
        #expect(rig.layout.name(at: rig.layout.losses[0].offset) == "loss")
    }

    @Test func `initial values come from the counter-based generator`() throws {
        let rig = try Rig(graph(), images: 1)
        let parameter = try #require(rig.spec("conv2.weight"))
        let sequence = RandomSequence(seed: 11, purpose: .initialization, epoch: 0, position: UInt32(parameter.rank))
        let bound = Float((6.0 / 180).squareRoot())
        let values = rig.layout.export(parameter, from: rig.weights.base)
        for index in [0, 1, 179, 3599] { #expect(values[index] == (2 * sequence.uniform(index) - 1) * bound) }
        #expect(values.allSatisfy { abs($0) <= bound })
    }

    @Test func `a parameter of another size is refused`() throws {
        let rig = try Rig(graph(), images: 1)
        let parameter = try #require(rig.spec("conv2.weight"))
        #expect(!rig.layout.import([1, 2, 3], as: parameter, into: rig.weights.base))
    }
}
