import Diagnostics
import Foundation
import Radiography
import Testing

@Suite("Metric")
struct MetricTests {
    @Test("The challenge's cases")
    func cases() {
        #expect(ImageCounts(intersection: 0, predicted: 0, truth: 0).dice == 1)
        #expect(ImageCounts(intersection: 0, predicted: 3, truth: 0).dice == 0)
        #expect(ImageCounts(intersection: 0, predicted: 0, truth: 3).dice == 0)
        #expect(ImageCounts(intersection: 2, predicted: 3, truth: 5).dice == 0.5)
        #expect(ImageCounts(intersection: 5, predicted: 5, truth: 5).dice == 1)
    }

    @Test("Means over all, positives and negatives, in order")
    func means() {
        let score = DiceScore([
            ImageCounts(intersection: 2, predicted: 3, truth: 5), ImageCounts(intersection: 0, predicted: 0, truth: 0),
            ImageCounts(intersection: 0, predicted: 7, truth: 0), ImageCounts(intersection: 4, predicted: 4, truth: 4),
        ])
        #expect(score.images == 4 && score.positives == 2 && score.negatives == 2)
        #expect(score.nonEmptyPredictions == 3)
        #expect(score.meanDice == 2.5 / 4)
        #expect(score.positiveDice == 0.75)
        #expect(score.negativeDice == 0.5)
        #expect(DiceScore().meanDice == nil && DiceScore().positiveDice == nil && DiceScore().negativeDice == nil)
    }

    @Test("Counts of two masks")
    func counts() throws {
        let a = try RunLengthMask(encoded: "0 4 4 4", width: 4, height: 4)
        let b = try RunLengthMask(encoded: "2 8", width: 4, height: 4)
        #expect(ImageCounts(prediction: a, truth: b) == ImageCounts(intersection: 4, predicted: 8, truth: 8))
    }

    @Test("A submission is scored over its own images; one without a label is an error")
    func submission() throws {
        let labels = try LabelFile(
            bytes: Array("ImageId, EncodedPixels\na, 0 10\nb, -1\nc, 5 5\nd, 1 2 3\n".utf8),
            path: "labels.csv"
        )
        let good = try LabelFile(bytes: Array("ImageId,EncodedPixels\nb,-1\na,5 10\n".utf8), path: "good.csv")
        let score = try DiceScore(predictions: good, labels: labels)
        #expect(score.images == 2 && score.meanDice == 0.75 && score.positives == 1)

        let unknown = try LabelFile(bytes: Array("ImageId,EncodedPixels\nx,-1\na,-1\ny,-1\n".utf8), path: "new.csv")
        let error = #expect(throws: EvaluationError.self) { try DiceScore(predictions: unknown, labels: labels) }
        #expect(error == .unlabelled(id: "x", count: 2, predictions: "new.csv", labels: "labels.csv"))
        #expect(error?.exitStatus == .badInput)
        #expect(error?.description.contains("x") == true)

        let spoilt = try LabelFile(bytes: Array("ImageId,EncodedPixels\nd,-1\n".utf8), path: "d.csv")
        let second = #expect(throws: EvaluationError.self) { try DiceScore(predictions: spoilt, labels: labels) }
        #expect(second?.description.contains("labels.csv:5") == true)

        let odd = try LabelFile(bytes: Array("ImageId,EncodedPixels\na,1 2 3\nb,-1\n".utf8), path: "odd.csv")
        let third = #expect(throws: EvaluationError.self) { try DiceScore(predictions: odd, labels: labels) }
        #expect(third?.description.contains("odd.csv:2") == true)
    }

    // The challenge's files may not be redistributed: the test runs where PLEURA_SHARED_DATA has them.
    @Test("Golden: a submission of the challenge", .enabled(if: SharedData.isPresent), .timeLimit(.minutes(15)))
    func golden() throws {
        let labels = try LabelFile.read(SharedData.path("siim/siim-pneumothorax-train-rle.csv.gz"))
        let predictions = try LabelFile.read(SharedData.path("siim/n01z3_se154_nf8_0.5_1000_0.csv"))
        let score = try DiceScore(predictions: predictions, labels: labels)
        #expect(abs(try #require(score.meanDice) - 0.8745990913) < 1e-9)
        #expect(abs(try #require(score.positiveDice) - 0.4687929422) < 1e-9)
        #expect(abs(try #require(score.negativeDice) - 0.9833641405) < 1e-9)
        #expect(score.images == 1372 && score.positives == 290 && score.nonEmptyPredictions == 221)
        let perfect = try DiceScore(predictions: labels, labels: labels)
        #expect(perfect.images == 12_047 && perfect.meanDice == 1)
    }
}
