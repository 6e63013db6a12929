import Sampling
import Testing

@Suite struct EpochShapeTests {
    @Test(arguments: [1, 2, 7, 8, 9, 31, 32, 33, 100], [1, 2, 3, 4, 7])
    func everyPositionIsInOneMicrobatch(sampleCount: Int, microbatches: Int) {
        for microbatchSize in 1...5 {
            let shape = EpochShape(
                sampleCount: sampleCount,
                microbatches: microbatches,
                microbatchSize: microbatchSize
            )
            var next = 0
            for step in 0..<shape.stepCount {
                let batch = shape.batch(step)
                #expect(batch.microbatchCount >= 1 && batch.microbatchCount <= microbatches)
                if step < shape.stepCount - 1 { #expect(batch.sampleCount == shape.batchSize) }
                var weights: Double = 0
                for index in 0..<batch.microbatchCount {
                    let positions = batch.positions(ofMicrobatch: index)
                    #expect(positions.lowerBound == next && !positions.isEmpty)
                    let isLast = step == shape.stepCount - 1 && index == batch.microbatchCount - 1
                    if !isLast { #expect(positions.count == microbatchSize) }
                    #expect(
                        batch.weight(ofMicrobatch: index) == Float(Double(positions.count) / Double(batch.sampleCount))
                    )
                    weights += Double(positions.count) / Double(batch.sampleCount)
                    next = positions.upperBound
                }
                #expect(abs(weights - 1) < 1e-12)
            }
            #expect(next == sampleCount)
        }
    }

    @Test func theExampleOfTheDocumentation() {
        let shape = EpochShape(sampleCount: 11, microbatches: 4, microbatchSize: 2)
        #expect(shape.stepCount == 2)
        #expect(shape.batch(1).microbatchCount == 2)
        #expect(shape.batch(1).positions(ofMicrobatch: 1) == 10..<11)
        #expect(shape.batch(1).weight(ofMicrobatch: 0) == Float(2.0 / 3.0))
    }
}
