import Sampling
import Testing

@Suite struct RunScheduleTests {
    @Test(arguments: [[10], [10, 10], [9, 17, 1, 8], [1, 1, 1]])
    func everyStepHasItsPlace(counts: [Int]) {
        let schedule = RunSchedule(epochSampleCounts: counts, microbatches: 2, microbatchSize: 2)
        var expected: [(Int, Int)] = []
        for (epoch, shape) in schedule.epochs.enumerated() {
            for step in 0..<shape.stepCount { expected.append((epoch, step)) }
        }
        #expect(schedule.totalSteps == UInt64(expected.count))
        for (step, place) in expected.enumerated() {
            let location = schedule.location(of: UInt64(step))
            #expect(location.epoch == place.0 && location.stepInEpoch == place.1)
            #expect(location.batch == schedule.epochs[place.0].batch(place.1))
            #expect(schedule.cursor(after: UInt64(step)) == place)
            let ends = place.1 + 1 == schedule.epochs[place.0].stepCount
            #expect(schedule.epochEnding(after: UInt64(step) + 1) == (ends ? place.0 : nil))
        }
        #expect(schedule.epochEnding(after: 0) == nil)
        #expect(schedule.cursor(after: schedule.totalSteps) == (counts.count, 0))
    }

    /// Within an epoch, the share of its own steps: epochs of different length do not shift each other.
    @Test func thePositionInEpochsCountsEachEpochsOwnSteps() {
        let schedule = RunSchedule(epochSampleCounts: [40, 8], microbatches: 2, microbatchSize: 2)
        let positions = (0..<schedule.totalSteps).map { schedule.epochs(before: schedule.location(of: $0)) }
        #expect(positions == (0..<10).map { Double($0) / 10 } + [1, 1.5])
        #expect(schedule.length == 2)
        let cut = RunSchedule(epochSampleCounts: [40, 8, 40], microbatches: 2, microbatchSize: 2, steps: 17)
        #expect(cut.length == 2.5)
    }

    @Test func aLimitEndsTheRun() {
        let schedule = RunSchedule(epochSampleCounts: [40, 40], microbatches: 2, microbatchSize: 2, steps: 13)
        #expect(schedule.totalSteps == 13)
        #expect(schedule.location(of: 12).epoch == 1)
        #expect(schedule.cursor(after: 13) == (1, 3))
        #expect(schedule.epochEnding(after: 13) == nil)
    }

    @Test func moreStepsThanEpochsGoOnWithTheLastEpoch() {
        let listed = RunSchedule(epochSampleCounts: [9, 17], microbatches: 2, microbatchSize: 2, steps: 15)
        let written = RunSchedule(epochSampleCounts: [9, 17, 17, 17], microbatches: 2, microbatchSize: 2, steps: 15)
        #expect(listed.totalSteps == 15 && listed.epochCount == 4)
        for step in 0..<UInt64(15) {
            #expect(listed.location(of: step) == written.location(of: step))
            #expect(listed.cursor(after: step) == written.cursor(after: step))
            #expect(listed.epochEnding(after: step) == written.epochEnding(after: step))
        }
        #expect(listed.cursor(after: 15) == (3, 2))
        // At once, and with no table of a thousand million epochs.
        let long = RunSchedule(epochSampleCounts: [1], microbatches: 1, microbatchSize: 1, steps: 1_000_000_000)
        #expect(long.location(of: 999_999_999).epoch == 999_999_999)
        #expect(long.epochCount == 1_000_000_000)
    }
}
