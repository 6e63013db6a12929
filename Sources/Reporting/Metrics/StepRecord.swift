/// What is known of a step once it is committed: one line of `metrics.jsonl`.
package struct StepRecord: Sendable, Equatable {
    /// The step's number, from 0 over the whole run.
    package var step: Int
    /// The epoch it belongs to, from 0.
    package var epoch: Int
    /// The incarnation of the coordinator; a greater one means that the run was resumed in between.
    package var incarnation: Int
    /// Unix time of the commit in seconds.
    package var time: Double
    /// Seconds since the commit before, or since the start of the incarnation.
    package var seconds: Double
    /// The loss of the global batch.
    package var loss: Double
    /// The unweighted terms of the loss by name, such as `cross_entropy` and `dice`.
    package var parts: [String: Double]
    /// The global norm of the gradient before clipping.
    package var gradientNorm: Double
    /// The learning rate of this step.
    package var learningRate: Double
    /// Samples in the global batch.
    package var images: Int
    /// What each worker did, in the order of their numbers.
    package var workers: [WorkerShare]

    package init(
        step: Int,
        epoch: Int,
        incarnation: Int = 0,
        time: Double,
        seconds: Double,
        loss: Double,
        parts: [String: Double] = [:],
        gradientNorm: Double,
        learningRate: Double,
        images: Int,
        workers: [WorkerShare] = []
    ) {
        self.step = step
        self.epoch = epoch
        self.incarnation = incarnation
        self.time = time
        self.seconds = seconds
        self.loss = loss
        self.parts = parts
        self.gradientNorm = gradientNorm
        self.learningRate = learningRate
        self.images = images
        self.workers = workers
    }

    /// Images a second of all workers together.
    package var imagesPerSecond: Double { seconds > 0 ? Double(images) / seconds : 0 }
}

/// One worker's part in a step.
///
/// The four times are of its wall clock, do not overlap, and add up to the step.
package struct WorkerShare: Sendable, Equatable {
    /// The worker's number in the job.
    package var worker: Int
    /// Samples that it computed.
    package var images: Int
    /// Images a second: its samples over the step's seconds.
    package var imagesPerSecond: Double
    /// Seconds in reading and augmenting samples that compute had to wait for.
    package var data: Double
    /// Seconds in forward, backward and the optimizer.
    package var compute: Double
    /// Seconds in the all-reduce that computation did not hide.
    package var communication: Double
    /// Seconds in waiting for others: assignment, slower workers, commit.
    package var wait: Double

    package init(
        worker: Int,
        images: Int,
        imagesPerSecond: Double,
        data: Double,
        compute: Double,
        communication: Double,
        wait: Double
    ) {
        self.worker = worker
        self.images = images
        self.imagesPerSecond = imagesPerSecond
        self.data = data
        self.compute = compute
        self.communication = communication
        self.wait = wait
    }
}

/// The result of one validation: one line of `metrics.jsonl`.
package struct ValidationRecord: Sendable, Equatable {
    /// Counts validations over the whole run, from 0.
    package var number: Int
    /// The last step before it.
    package var step: Int
    /// The epoch of that step.
    package var epoch: Int
    /// Unix time of the result in seconds.
    package var time: Double
    /// How long it took.
    package var seconds: Double
    /// The mean loss.
    package var loss: Double
    /// The challenge's Dice over all images, over the positives, and over the negatives; NaN over no image.
    package var meanDice: Double
    package var positiveDice: Double
    package var negativeDice: Double
    /// Images, and those of them with a pneumothorax.
    package var images: Int
    package var positives: Int
    /// The probability above which a pixel counted as positive.
    package var threshold: Double
    /// True where it was better than every validation before.
    package var isBest: Bool

    package init(
        number: Int,
        step: Int,
        epoch: Int,
        time: Double,
        seconds: Double,
        loss: Double,
        meanDice: Double,
        positiveDice: Double,
        negativeDice: Double,
        images: Int,
        positives: Int,
        threshold: Double,
        isBest: Bool
    ) {
        self.number = number
        self.step = step
        self.epoch = epoch
        self.time = time
        self.seconds = seconds
        self.loss = loss
        self.meanDice = meanDice
        self.positiveDice = positiveDice
        self.negativeDice = negativeDice
        self.images = images
        self.positives = positives
        self.threshold = threshold
        self.isBest = isBest
    }

    /// The figures by the names that they have in `metrics.jsonl` and in `checkpoint.metric`.
    package var figures: [(name: String, value: Double)] {
        [
            ("mean_dice", meanDice), ("positive_dice", positiveDice), ("negative_dice", negativeDice), ("loss", loss),
        ]
    }

    /// The figure of a name; NaN where there is none.
    package func figure(_ name: String) -> Double { figures.first { $0.name == name }?.value ?? .nan }

    /// The mean Dice of predicting nothing on these images: the share of negatives.
    package var emptyPredictionDice: Double {
        images > 0 ? Double(images - positives) / Double(images) : .nan
    }
}
