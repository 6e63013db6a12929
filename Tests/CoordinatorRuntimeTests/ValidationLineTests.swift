import CoordinatorRuntime
import Reporting
import Testing

/// What the log says of a validation.
@Suite struct ValidationLineTests {
    private static func record(isBest: Bool) -> ValidationRecord {
        ValidationRecord(
            number: 4,
            step: 134,
            epoch: 14,
            time: 0,
            seconds: 1,
            loss: 0.25,
            meanDice: 0.65,
            positiveDice: .nan,
            negativeDice: 0.5,
            images: 10,
            positives: 0,
            threshold: 0.5,
            isBest: isBest
        )
    }

    @Test func theFigureThatDecidesIsNamedFirstAndStepsAreThoseThatAreDone() {
        let best = ValidationLine(Self.record(isBest: true), by: "mean_dice", best: .init(value: 0.65, steps: 135))
        #expect(
            best.text
                == "validation after 135 steps: mean_dice 0.6500 (best so far), positive_dice -, negative_dice 0.5000, "
                + "loss 0.2500"
        )
        let other = ValidationLine(Self.record(isBest: false), by: "loss", best: .init(value: 0.125, steps: 90))
        #expect(
            other.text
                == "validation after 135 steps: loss 0.2500 (best 0.1250 after 90 steps), mean_dice 0.6500, positive_dice -, "
                + "negative_dice 0.5000"
        )
    }
}
