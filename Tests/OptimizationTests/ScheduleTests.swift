import HDF5IO
import Optimization
import Testing

@Suite struct ScheduleTests {
    @Test func `cosine is PyTorch's, also past its period`() throws {
        let expected = try HDF5File.open(fixture("optimizers.h5")).read("schedule_cosine", as: Double.self).values
        let schedule = LearningRateSchedule(
            base: 1e-4,
            rule: .cosine(period: 8, minimum: 1e-6, everyStep: false)
        )
        for (epoch, rate) in expected.enumerated() {
            for step in [0, 4] {
                let found = schedule.learningRate(
                    step: epoch * 5 + step,
                    epochs: Double(epoch) + Double(step) / 5,
                    state: schedule.initialState
                )
                #expect(abs(found - rate) < 1e-15, "epoch \(epoch)")
            }
        }
        let every = LearningRateSchedule(base: 1, rule: .cosine(period: 1, minimum: 0, everyStep: true))
        let half = every.learningRate(step: 5, epochs: 0.5, state: every.initialState)
        #expect(abs(half - 0.5) < 1e-12)
    }

    @Test(arguments: ["schedule_plateau_max", "schedule_plateau_min"])
    func `plateau is PyTorch's`(_ name: String) throws {
        let file = try HDF5File.open(fixture("optimizers.h5"))
        let metrics = try file.read("schedule_metrics", as: Double.self).values
        let expected = try file.read(name, as: Double.self).values
        let schedule = LearningRateSchedule(
            base: 0.1,
            rule: .plateau(
                factor: 0.3,
                patience: 2,
                minimum: 1e-3,
                threshold: 1e-4,
                higherIsBetter: name.hasSuffix("max")
            )
        )
        var state = schedule.initialState
        for (position, metric) in metrics.enumerated() {
            state = schedule.state(after: metric, from: state)
            let found = schedule.learningRate(step: position, epochs: Double(position), state: state)
            #expect(abs(found - expected[position]) < 1e-12, "validation \(position)")
        }
        #expect(state.rate == 1e-3, "the metrics reach the minimum")
    }

    @Test func `a metric that is not a number is no improvement`() {
        let schedule = LearningRateSchedule(
            base: 1,
            rule: .plateau(factor: 0.5, patience: 0, minimum: 0, threshold: 0, higherIsBetter: true)
        )
        var state = schedule.state(after: .nan, from: schedule.initialState)
        #expect(state.best == nil && state.rate == 0.5)
        state = schedule.state(after: 0.3, from: state)
        #expect(state.best == 0.3 && state.rate == 0.5)
    }

    @Test func `warm-up rises linearly and meets the rule`() {
        let schedule = LearningRateSchedule(base: 2, warmUpSteps: 100, warmUpStart: 0.1)
        let rate = { schedule.learningRate(step: $0, epochs: Double($0) / 7, state: schedule.initialState) }
        #expect(abs(rate(0) - 0.2) < 1e-15)
        #expect(abs(rate(50) - 1.1) < 1e-15)
        #expect(rate(100) == 2 && rate(5000) == 2)
    }

    @Test func `constants out of range are refused`() {
        let wrong: [LearningRateSchedule] = [
            .init(base: 0), .init(base: .infinity), .init(base: 1, warmUpSteps: -1),
            .init(base: 1, rule: .cosine(period: 0, minimum: 0, everyStep: true)),
            .init(base: 1, rule: .cosine(period: 3, minimum: 2, everyStep: true)),
            .init(base: 1, rule: .plateau(factor: 1, patience: 1, minimum: 0, threshold: 0, higherIsBetter: true)),
            .init(base: 1, rule: .plateau(factor: 0.5, patience: -1, minimum: 0, threshold: 0, higherIsBetter: true)),
        ]
        for schedule in wrong { #expect(throws: OptimizationError.self) { try schedule.validate() } }
        #expect(throws: Never.self) { try LearningRateSchedule(base: 1e-3).validate() }
    }
}
