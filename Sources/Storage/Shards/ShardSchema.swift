/// What all shards of a data set have in common.
package struct ShardSchema: Codable, Hashable, Sendable {
    /// The version of the layout that this program writes and reads.
    package static let version = 1
    /// The most bytes of a sample's name.
    package static let longestID = 1024

    /// Height and width of the stored images and masks, in pixels.
    package var size: Int
    /// Height and width of the frame in which `runs` count, in pixels.
    package var labelSize: Int
    /// Names of further text columns under `/metadata`, ascending.
    package let extraMetadata: [String]

    package init(size: Int, labelSize: Int = 1024, extraMetadata: [String] = []) {
        self.size = size
        self.labelSize = labelSize
        self.extraMetadata = extraMetadata.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }

    /// The columns of metadata that every shard has.
    static let standardColumns: Set<String> = ["patient", "sex", "view", "age", "spacing", "source_size"]

    /// Whether a further column may have this name.
    static func isColumnName(_ name: String) -> Bool {
        !standardColumns.contains(name) && !name.isEmpty && name != "." && name != ".."
            && !name.utf8.contains { $0 == 0 || $0 == UInt8(ascii: "/") }
    }

    /// The further column of sets without labels, which holds `noLabel`: their empty masks must not pass for negatives.
    package static let labelColumn = "label"
    package static let noLabel = "none"

    /// Whether the samples have labels.
    package var isLabelled: Bool { !extraMetadata.contains(Self.labelColumn) }

    /// The schema in words.
    var words: String {
        let columns = extraMetadata.filter { $0 != Self.labelColumn }
        return
            "images of \(size)×\(size) pixels \(isLabelled ? "with masks of \(labelSize)×\(labelSize)" : "without labels")"
            + (columns.isEmpty ? "" : " and the columns \(columns.joined(separator: ", "))")
    }

    /// Bytes of an image, and of a mask.
    package var planeBytes: Int { size * size }

    enum CodingKeys: String, CodingKey {
        case size
        case labelSize = "label_size"
        case extraMetadata = "extra_metadata"
    }
}

/// A run of positive pixels of a mask in the label frame: column-major, so `start` is `column * labelSize + row`.
package struct ShardRun: Codable, Hashable, Sendable, BitwiseCopyable {
    /// The first pixel, counted from 0 down the columns.
    package var start: Int32
    /// The number of pixels, at least 1.
    package var length: Int32

    package init(start: Int32, length: Int32) {
        self.start = start
        self.length = length
    }
}

/// What is known of a radiograph beside its pixels.
///
/// Unknown texts are empty and unknown numbers NaN.
package struct SampleMetadata: Hashable, Sendable {
    /// Groups samples into folds; samples without one are on their own.
    package var patient: String
    /// As in DICOM: "M", "F", "O".
    package var sex: String
    /// The view position as in DICOM, such as "PA" and "AP".
    package var view: String
    /// In years.
    package var age: Double
    /// Millimetres between the centres of neighbouring rows and columns of the source image.
    package var rowSpacing: Double
    package var columnSpacing: Double
    /// Pixels of the source image.
    package var sourceHeight: Int32
    package var sourceWidth: Int32
    /// Values of the schema's further columns; missing ones are stored empty.
    package var extra: [String: String]

    package init(
        patient: String = "",
        sex: String = "",
        view: String = "",
        age: Double = .nan,
        rowSpacing: Double = .nan,
        columnSpacing: Double = .nan,
        sourceHeight: Int32 = 0,
        sourceWidth: Int32 = 0,
        extra: [String: String] = [:]
    ) {
        self.patient = patient
        self.sex = sex
        self.view = view
        self.age = age
        self.rowSpacing = rowSpacing
        self.columnSpacing = columnSpacing
        self.sourceHeight = sourceHeight
        self.sourceWidth = sourceWidth
        self.extra = extra
    }
}

/// One radiograph with its mask, as it goes into a shard.
package struct ShardSample: Sendable {
    /// The image's name in the labels and the submission; unique in the data set.
    package var id: String
    /// `size * size` grey values, row by row.
    package var image: [UInt8]
    /// `size * size` values 0 or 1, row by row: the down-scaled mask that training sees.
    package var mask: [UInt8]
    /// The mask at full resolution in the label frame: ascending, disjoint; empty for a negative.
    package var runs: [ShardRun]
    package var metadata: SampleMetadata

    package init(id: String, image: [UInt8], mask: [UInt8], runs: [ShardRun], metadata: SampleMetadata = .init()) {
        self.id = id
        self.image = image
        self.mask = mask
        self.runs = runs
        self.metadata = metadata
    }

    /// What is wrong with the sample by the schema, or nil.
    func fault(under schema: ShardSchema) -> String? {
        if id.isEmpty || id.utf8.contains(0) { return "its id is empty or holds a zero byte" }
        if id.utf8.count > ShardSchema.longestID { return "its id has \(id.utf8.count) bytes" }
        if image.count != schema.planeBytes { return "its image has \(image.count) bytes, not \(schema.planeBytes)" }
        if mask.count != schema.planeBytes { return "its mask has \(mask.count) bytes, not \(schema.planeBytes)" }
        if mask.contains(where: { $0 > 1 }) { return "its mask holds values other than 0 and 1" }
        return ShardRun.fault(runs, labelSize: schema.labelSize)
    }

    /// SHA-256 over everything the sample says: equal for equal samples, however they are stored.
    func digest(under schema: ShardSchema) -> SHA256Digest {
        var hash = SHA256()
        hash.update("pleura sample \(ShardSchema.version)\n")
        hash.update(sized: id)
        for number in [schema.size, schema.labelSize, runs.count] { hash.update(littleEndian: Int64(number)) }
        hash.update(image)
        hash.update(mask)
        runs.withUnsafeBytes { hash.update($0) }
        metadata.update(&hash, under: schema)
        return hash.finish()
    }
}

extension SampleMetadata {
    /// Adds all of it, with the schema's further columns, to a digest.
    func update(_ hash: inout SHA256, under schema: ShardSchema) {
        for text in [patient, sex, view] { hash.update(sized: text) }
        for number in [age, rowSpacing, columnSpacing] {
            // All NaNs say "unknown" and count as one.
            hash.update(littleEndian: (number.isNaN ? Double.nan : number).bitPattern)
        }
        hash.update(littleEndian: sourceHeight)
        hash.update(littleEndian: sourceWidth)
        for name in schema.extraMetadata {
            hash.update(sized: name)
            hash.update(sized: extra[name] ?? "")
        }
    }
}

extension ShardRun {
    /// What is wrong with a mask's runs, or nil.
    static func fault(_ runs: some Sequence<ShardRun>, labelSize: Int) -> String? {
        var end = 0
        for run in runs {
            guard run.length > 0, Int(run.start) >= end else { return "its runs are empty, overlap or descend" }
            end = Int(run.start) + Int(run.length)
        }
        return end > labelSize * labelSize ? "its runs end outside the frame of \(labelSize) x \(labelSize)" : nil
    }
}
