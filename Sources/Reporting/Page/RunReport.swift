/// What the report page of a run shows; `html()` writes the page.
///
/// The page is one file that needs nothing else: no network, no fonts, no scripts from elsewhere.
package struct RunReport: Sendable {
    /// A name and a value of the header, such as `Network` and `unet, resnet34`.
    package struct Fact: Sendable, Equatable {
        package let name: String
        package let value: String

        package init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }
    }

    /// A radiograph with the outlines of the true and the predicted mask.
    package struct Picture: Sendable {
        /// The sample's id.
        package let title: String
        /// The bytes of a PNG file.
        package let png: [UInt8]
        /// The picture's size in pixels.
        package let width: Int
        package let height: Int
        /// Masks of the picture's size, row by row, where anything but 0 is inside; nil where unknown, or where the
        /// outline is in the picture already.
        package let truth: [UInt8]?
        package let prediction: [UInt8]?
        /// The Dice of this sample; nil where the truth is unknown.
        package let dice: Double?

        /// - Precondition: masks have width × height elements.
        package init(
            title: String,
            png: [UInt8],
            width: Int,
            height: Int,
            truth: [UInt8]?,
            prediction: [UInt8]?,
            dice: Double?
        ) {
            for mask in [truth, prediction] {
                precondition(mask.map { $0.count == width * height } ?? true, "a mask must have the picture's size")
            }
            self.title = title
            self.png = png
            self.width = width
            self.height = height
            self.truth = truth
            self.prediction = prediction
            self.dice = dice
        }
    }

    /// A checkpoint that is on disk.
    package struct CheckpointRow: Sendable, Equatable {
        /// The file's name.
        package let name: String
        /// Steps that it has seen.
        package let step: Int
        package let epoch: Int
        /// The value of `checkpoint.metric`; nil before the first validation.
        package let metric: Double?
        package let bytes: Int
        package let isBest: Bool
        package let isLatest: Bool

        package init(
            name: String,
            step: Int,
            epoch: Int,
            metric: Double?,
            bytes: Int,
            isBest: Bool,
            isLatest: Bool
        ) {
            self.name = name
            self.step = step
            self.epoch = epoch
            self.metric = metric
            self.bytes = bytes
            self.isBest = isBest
            self.isLatest = isLatest
        }
    }

    /// The network whose figures stand in the heading.
    package struct ChosenNetwork: Sendable, Equatable {
        /// Steps that it has seen.
        package let step: Int
        package let epoch: Int
        /// Whether it is the best by `checkpointMetric`; else it is the newest.
        package let isBest: Bool
        /// The figures of its own validation, by the names of checkpoints: `mean_dice`, `positive_dice`, `images`,
        /// `positives`.
        package let metrics: [String: Double]

        package init(step: Int, epoch: Int, isBest: Bool, metrics: [String: Double]) {
            self.step = step
            self.epoch = epoch
            self.isBest = isBest
            self.metrics = metrics
        }
    }

    /// The run's name.
    package var title: String
    /// One or two words beside the name: `complete`, `stopped at step 120`.
    package var status: String
    /// In the order of the header.
    package var facts: [Fact] = []
    /// The curves.
    package var metrics = Metrics()
    /// In the order of the grid.
    package var pictures: [Picture] = []
    /// The oldest first.
    package var checkpoints: [CheckpointRow] = []
    /// The network of the heading and the radiographs; nil where no checkpoint is there.
    package var chosen: ChosenNetwork?
    /// The name of the checkpoints' metric.
    package var checkpointMetric = "metric"
    /// The resolved configuration as YAML; empty for none.
    package var configuration = ""
    /// The last line of the page: who wrote it, and when.
    package var footer = ""

    package init(title: String, status: String) {
        self.title = title
        self.status = status
    }
}
