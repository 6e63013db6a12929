import Foundation
import Inference
import Radiography
import TestSupport
import Testing

/// Intervals and areas against scipy and scikit-learn, whose numbers stand here.
@Suite struct ScoreTests {
    /// Scores in thirds of 390: 25 of positives and 39 of negatives, eight values in both.
    private static let positives = (0..<25).map { Float(Double(($0 * 53) % 97 + 30) / 130) }
    private static let negatives = (0..<39).map { Float(Double(($0 * 31) % 89) / 130) }
    private static let scores = positives + negatives
    private static let isPositive = (0..<64).map { $0 < 25 }

    @Test(
        // scipy.stats.binomtest(count, total).proportion_ci(0.95, method="exact") of scipy 1.16
        arguments: [
            (0, 5, 0.0, 0.5218237501049814), (21, 25, 0.6391715455407279, 0.9546205476283751),
            (36, 39, 0.7912980787735351, 0.9838466996893416), (25, 25, 0.8628148284692875, 1.0),
            (1, 2, 0.01257911709367899, 0.987420882906321), (812, 1000, 0.7863784598368688, 0.8357692765986813),
            (5, 12_000, 0.00013530393149715917, 0.0009720908635676164),
        ]
    )
    func theIntervalOfAShareIsExact(count: Int, total: Int, low: Double, high: Double) throws {
        let interval = try #require(Interval(share: count, of: total))
        #expect(abs(interval.low - low) < 1e-9 && abs(interval.high - high) < 1e-9, "\(interval)")
    }

    @Test func aShareOfNothingHasNone() {
        #expect(
            Interval(share: 0, of: 0) == nil && Interval(share: 3, of: 2) == nil && Interval(share: -1, of: 2) == nil
        )
    }

    @Test func theAreaIsThatOfScikitLearn() throws {
        // sklearn.metrics.roc_auc_score, without weights and with them
        let area = try #require(ROC.area(scores: Self.scores, isPositive: Self.isPositive))
        #expect(abs(area - 0.7764102564102564) < 1e-12)
        let weights = (0..<25).map { $0 % 3 } + (0..<39).map { $0 % 2 + 1 }
        let weighted = try #require(ROC.area(scores: Self.scores, isPositive: Self.isPositive, weights: weights))
        #expect(abs(weighted - 0.7805316091954023) < 1e-12)
        #expect(ROC.area(scores: [0.5, 0.5], isPositive: [true, false]) == 0.5)
        #expect(ROC.area(scores: [0.9, 0.8, 0.1], isPositive: [true, true, false]) == 1)
        #expect(
            ROC.area(scores: [0.9, 0.8], isPositive: [true, true]) == nil && ROC.area(scores: [], isPositive: []) == nil
        )
    }

    @Test func theIntervalOfTheAreaIsDeLongs() throws {
        // By the definition: variances of the shares of pairs that each image wins, computed with numpy.
        let interval = try #require(ROC.interval(scores: Self.scores, isPositive: Self.isPositive))
        #expect(abs(interval.low - 0.661207919323139) < 1e-9 && abs(interval.high - 0.8916125934973738) < 1e-9)
        // No variance is no certainty.
        #expect(ROC.interval(scores: [0.9, 0.8, 0.1, 0.2], isPositive: [true, true, false, false]) == nil)
        #expect(ROC.interval(scores: [0.9, 0.1, 0.2], isPositive: [true, false, false]) == nil)
    }

    @Test func theBootstrapIsThatOfScipyWithinItsNoise() throws {
        // scipy.stats.bootstrap(method="percentile", n_resamples=20000): 0.422 to 0.569
        let values = (0..<60).map { Double(($0 * 37) % 101) / 100 }
        func mean(_ values: [Double], _ weights: [Int]) -> Double? {
            zip(values, weights).reduce(0) { $0 + $1.0 * Double($1.1) } / Double(weights.reduce(0, +))
        }
        let intervals = Bootstrap(names: values.map { _ in "" }).intervals { [mean(values, $0), nil] }
        let interval = try #require(intervals[0])
        #expect(abs(interval.low - 0.422) < 0.008 && abs(interval.high - 0.569) < 0.008, "\(interval)")
        #expect(intervals[1] == nil)
        // The same draws again.
        #expect(Bootstrap(names: values.map { _ in "" }).intervals { [mean(values, $0)] }[0] == interval)
        // Four images a patient that say the same are no more than one.
        let names = (0..<240).map { "patient \($0 / 4)" }
        let fourfold = Bootstrap(names: names)
        #expect(fourfold.isClustered && fourfold.groups == 60)
        let clustered = try #require(fourfold.intervals { [mean((0..<240).map { values[$0 / 4] }, $0)] }[0])
        #expect(abs(clustered.low - interval.low) < 1e-9 && abs(clustered.high - interval.high) < 1e-9)
    }

    private func image(
        _ id: Int,
        patient: String = "",
        truth: Int64,
        predicted: Int64,
        common: Int64,
        _ probability: Float?
    ) -> ScoredImage {
        ScoredImage(
            id: "image \(id)",
            patient: patient,
            counts: ImageCounts(intersection: common, predicted: predicted, truth: truth),
            probability: probability
        )
    }

    @Test func figuresOverNothingAreDashes() {
        let none = Evaluation([])
        #expect(none.score.meanDice == nil && none.emptyScore == nil && none.auroc == nil)
        #expect(none.text.contains("mean Dice              -         -               over 0 images"), "\(none.text)")
        #expect(
            none.text.contains("an empty submission    -") && none.text.contains("sensitivity            -         -")
        )
        // Negatives alone: nothing is known of positives.
        let negatives = Evaluation([
            image(1, truth: 0, predicted: 0, common: 0, 0.1), image(2, truth: 0, predicted: 9, common: 0, 0.9),
        ])
        #expect(negatives.sensitivity.value == nil && negatives.sensitivity.interval == nil && negatives.auroc == nil)
        #expect(
            negatives.text.contains("over the positives     -")
                && negatives.text.contains("AUROC                  -         -")
        )
        #expect(negatives.specificity.value == 0.5 && negatives.emptyScore == 1)
    }

    @Test func theQuestionIsAnyPneumothorax() throws {
        let images = [
            image(1, truth: 10, predicted: 10, common: 5, 0.9), image(2, truth: 10, predicted: 0, common: 0, 0.4),
            image(3, truth: 0, predicted: 0, common: 0, 0.2), image(4, truth: 0, predicted: 3, common: 0, 0.6),
            image(5, truth: 0, predicted: 0, common: 0, 0.1),
        ]
        #expect(
            images.map(\.verdict) == [
                "true positive", "false negative", "true negative", "false positive", "true negative",
            ]
        )
        let found = Evaluation(images)
        #expect(found.sensitivity.count == 1 && found.sensitivity.total == 2)
        #expect(found.specificity.count == 2 && found.specificity.total == 3)
        #expect(found.sensitivity.interval == Interval(share: 1, of: 2) && found.patients == nil && !found.isClustered)
        #expect(found.auroc == 5.0 / 6 && found.emptyScore == 0.6 && found.score.meanDice == 0.5)
        let table = ScoredImage.table(images).split(separator: "\n")
        #expect(table.count == 6 && table[1] == "image 1,,1,1,true positive,0.900000,0.500000,10,10,5")
        // Without probabilities there is no area; with two images of a patient all ranges are of patients.
        let masks = Evaluation(images.map { ScoredImage(id: $0.id, patient: "p", counts: $0.counts) })
        #expect(masks.auroc == nil && masks.isClustered && masks.patients == 1 && masks.sensitivity.interval == nil)
        let two = Evaluation(
            images.enumerated().map { index, image in
                ScoredImage(
                    id: image.id,
                    patient: index < 2 ? "p" : "q\(index)",
                    counts: image.counts,
                    probability: image.probability
                )
            }
        )
        // 0.5 is less than the 0.6 of empty masks.
        #expect(found.warning?.contains("would score more") == true && Evaluation(Array(images[2..<3])).warning == nil)
        let partly = Evaluation([images[0], ScoredImage(id: "6", patient: "p", counts: images[1].counts)])
        #expect(partly.intervalSentence.contains("2 patients (1 images without one count as one each)"))
        #expect(two.patients == 4 && two.text.contains("a bootstrap over 4 patients"))
        #expect(two.specificity.interval != found.specificity.interval && two.specificity.interval != nil)
    }

    // MARK: Submissions

    private func labels(_ rows: [String], _ name: String, in folder: TemporaryFolder) throws -> LabelFile {
        try LabelFile.read(folder.write((["ImageId,EncodedPixels"] + rows).joined(separator: "\n"), to: name))
    }

    @Test func labelledImagesWithoutARowAreTold() throws {
        let folder = try TemporaryFolder()
        let truth = try labels(["a,10 5", "b,-1", "c,100 7", "d,-1"], "labels.csv", in: folder)
        let predictions = try labels(["b,-1", "a,10 5"], "submission.csv", in: folder)
        let scored = try SubmissionEvaluation(predictions: predictions, labels: truth)
        #expect(scored.evaluation.score.meanDice == 1 && scored.missing == 2)
        let warning = try #require(scored.warnings.first)
        #expect(
            warning.contains("2 of 4 labelled images have no row") && warning.contains("1 of them positive"),
            "\(warning)"
        )
        #expect(warning.contains("the mean Dice is 0.75"), "\(warning)")
        let whole = try SubmissionEvaluation(predictions: truth, labels: truth)
        #expect(whole.warnings.isEmpty && whole.missing == 0 && whole.evaluation.auroc == nil)
    }

    @Test func probabilitiesComeFromATable() throws {
        let folder = try TemporaryFolder()
        let table = "id,path,probability\n\"a,\"\"x\"\"\",here,0.75\r\nb,\"two\nlines\",0.25\n"
        let found = try ProbabilityTable.read(folder.write(table, to: "p.csv"))
        #expect(found == ["a,\"x\"": 0.75, "b": 0.25])
        for bad in [
            "", "id,score\na,1\n", "id,probability\na,1.5\n", "id,probability\na,nan\n", "id,probability\na\n",
            "id,probability\na,1\na,0\n",
        ] {
            #expect(throws: ProbabilityTableError.self, "\(bad)") {
                try ProbabilityTable.read(folder.write(bad, to: "bad.csv"))
            }
        }
        let truth = try labels(["a,10 5", "b,-1"], "labels.csv", in: folder)
        let scored = try SubmissionEvaluation(
            predictions: truth,
            labels: truth,
            patients: ["a": "p"],
            probabilities: ["a": 0.75, "b": 0.25]
        )
        #expect(scored.evaluation.auroc == 1 && scored.evaluation.aurocInterval == nil)
        #expect(scored.warnings.count == 1 && scored.warnings[0].contains("1 of 2 images have no patient"))
        #expect(throws: MissingProbability.self) {
            try SubmissionEvaluation(predictions: truth, labels: truth, probabilities: ["a": 0.75])
        }
    }
}
