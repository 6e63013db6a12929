import HDF5IO
import Optimization
import Settings
import Testing

@Suite struct ScheduleTests {
    @Test func `cosine is PyTorch's, also past its period`() throws {
        let expected = try HDF5File.open(fixture("optimizers.h5")).read("schedule_cosine", as: Double.self).values
        let schedule = LearningRateSchedule(
            base: 1e-4,
            rule: CosineRate(periodEpochs: 8, minimum: 1e-6, everyStep: false)
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
        let every = LearningRateSchedule(base: 1, rule: CosineRate(periodEpochs: 1))
        let half = every.learningRate(step: 5, epochs: 0.5, state: every.initialState)
        #expect(abs(half - 0.5) < 1e-12)
    }

    /// `Tests/Fixtures/schedules.py` wrote the rates, four an epoch.
    @Test(arguments: [1, 2])
    func `restarts are PyTorch's`(_ growth: Int) throws {
        let expected = try HDF5File.open(fixture("schedules.h5")).read("restarts_\(growth)", as: Double.self).values
        let rule = CosineRestarts(cycleEpochs: 3, cycleGrowth: growth, minimum: 1e-4)
        let schedule = LearningRateSchedule(base: 1e-2, rule: rule, length: 40)
        #expect(expected.count == 160)
        for (part, rate) in expected.enumerated() {
            let epochs = Double(part) / 4
            let found = schedule.learningRate(step: part, epochs: epochs, state: schedule.initialState)
            #expect(abs(found - rate) < 1e-14, "epoch \(epochs)")
        }
        var whole = schedule
        whole.rule = CosineRestarts(cycleEpochs: 3, cycleGrowth: growth, minimum: 1e-4, everyStep: false)
        let late = whole.learningRate(step: 7, epochs: 1.75, state: whole.initialState)
        #expect(abs(late - expected[4]) < 1e-14)
    }

    @Test func `steps are PyTorch's`() throws {
        let expected = try HDF5File.open(fixture("schedules.h5")).read("steps", as: Double.self).values
        let schedule = LearningRateSchedule(
            base: 1e-2,
            rule: StepwiseRate(milestones: [5, 12, 30], factor: 0.3),
            length: 40
        )
        #expect(expected.count == 40)
        for (epoch, rate) in expected.enumerated() {
            for share in [0, 0.9] {
                let found = schedule.learningRate(
                    step: epoch,
                    epochs: Double(epoch) + share,
                    state: schedule.initialState
                )
                #expect(abs(found - rate) < 1e-14, "epoch \(epoch)")
            }
        }
    }

    @Test func `without a period of its own, a cosine is as long as its run`() {
        let schedule = LearningRateSchedule(base: 1, rule: CosineRate(periodEpochs: 0), length: 6)
        let rate = { schedule.learningRate(step: 0, epochs: $0, state: schedule.initialState) }
        #expect(rate(0) == 1 && abs(rate(3) - 0.5) < 1e-12 && abs(rate(6)) < 1e-12)
    }

    /// Rules that share a setting share its range and default: it is one field.
    @Test func `settings of one name are one setting`() {
        #expect(Set(scheduleRules.map { $0.word }).count == scheduleRules.count)
        for first in scheduleRules.flatMap({ $0.declarations }) {
            for second in scheduleRules.flatMap({ $0.declarations }) where first.name == second.name {
                #expect(first.kind == second.kind && first.defaultValue == second.defaultValue, "\(first.name)")
                #expect(first.summary == second.summary && first.form == second.form, "\(first.name)")
            }
        }
    }

    @Test(arguments: ["schedule_plateau_max", "schedule_plateau_min"])
    func `plateau is PyTorch's`(_ name: String) throws {
        let file = try HDF5File.open(fixture("optimizers.h5"))
        let metrics = try file.read("schedule_metrics", as: Double.self).values
        let expected = try file.read(name, as: Double.self).values
        let schedule = LearningRateSchedule(
            base: 0.1,
            rule: PlateauRate(factor: 0.3, patience: 2, minimum: 1e-3, threshold: 1e-4),
            higherIsBetter: name.hasSuffix("max")
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
            rule: PlateauRate(factor: 0.5, patience: 0, minimum: 0, threshold: 0)
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
            .init(base: 1, rule: CosineRate(periodEpochs: -1)),
            .init(base: 1, rule: CosineRate(periodEpochs: 3, minimum: 2)),
            .init(base: 1, rule: PlateauRate(factor: 1, patience: 1)),
            .init(base: 1, rule: PlateauRate(factor: 0.5, patience: -1)),
            .init(base: 1, rule: CosineRestarts(cycleEpochs: 0)),
            .init(base: 1, rule: CosineRestarts(cycleEpochs: 1, cycleGrowth: 0)),
            .init(base: 1, rule: CosineRestarts(cycleEpochs: 1, minimum: 2)),
            .init(base: 1, rule: StepwiseRate(milestones: [], factor: 0.1)),
            .init(base: 1, rule: StepwiseRate(milestones: [1], factor: 1)),
        ]
        for schedule in wrong { #expect(throws: OptimizationError.self) { try schedule.validate() } }
        #expect(throws: Never.self) { try LearningRateSchedule(base: 1e-3).validate() }
    }
}
