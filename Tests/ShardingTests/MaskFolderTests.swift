import Diagnostics
import Foundation
import Radiography
import Sharding
import Storage
import TestSupport
import Testing

/// Radiographs as PNG, and masks as PNG beside them or elsewhere.
private struct MaskSet {
    let folder: TemporaryFolder
    var output: String { folder.path + "/out" }

    init() throws { folder = try TemporaryFolder() }

    /// Every third mask is empty; the others have a block whose place depends on the number.
    static func block(_ index: Int, width: Int, height: Int, value: UInt8 = 255) -> [UInt8] {
        (0..<width * height).map { pixel in
            let (x, y) = (pixel % width, pixel / width)
            let isSet = index % 3 != 0 && (8..<16).contains(x) && (index..<index + 12).contains(y)
            return isSet ? value : 0
        }
    }

    @discardableResult
    func image(_ index: Int, _ name: String, width: Int = 40, height: Int = 32) throws -> String {
        let pixels = SmallSet.noise(width, height, seed: UInt64(index)).pixels
        return try folder.write(Data(RasterFile.png(pixels, width: width, height: height)), to: name)
    }

    @discardableResult
    func mask(_ index: Int, _ name: String, width: Int = 40, height: Int = 32, value: UInt8 = 255) throws -> String {
        let pixels = Self.block(index, width: width, height: height, value: value)
        return try folder.write(Data(RasterFile.png(pixels, width: width, height: height)), to: name)
    }

    func options(_ images: String, _ masks: String?) throws -> ShardingOptions {
        var options = ShardingOptions(
            input: folder.file(images),
            labels: nil,
            output: output,
            size: 40,
            jobs: 2
        )
        options.masks = masks.map { folder.file($0) }
        options.launch = try BuiltProgram.launch()
        return options
    }

    /// Checks that the set holds the masks of `count` images of 40 × 32.
    func expectMasks(_ count: Int, ids: (Int) -> String) throws {
        let dataset = try Dataset.open(output)
        #expect(dataset.count == count)
        var image = [UInt8](repeating: 0, count: 40 * 40)
        var mask = image
        for index in 0..<count {
            let sample = try #require((0..<dataset.count).first { dataset.id(of: $0) == ids(index) }, "\(ids(index))")
            try image.withUnsafeMutableBytes { image in
                try mask.withUnsafeMutableBytes { try dataset.read(sample, image: image, mask: $0) }
            }
            let drawn = GrayImage(width: 40, height: 32, pixels: Self.block(index, width: 40, height: 32, value: 1))
            #expect(mask == drawn.paddedToSquare().pixels, "\(ids(index))")
            #expect(dataset.isPositive(sample) == (index % 3 != 0))
        }
    }
}

@Suite("Masks as images", .timeLimit(.minutes(15)))
struct MaskFolderTests {
    @Test("Masks of their radiographs' names, in a folder of their own: pixel for pixel where they were drawn")
    func folder() throws {
        let set = try MaskSet()
        for index in 0..<9 {
            try set.image(index, "images/a/x\(index).png")
            try set.mask(index, index % 2 == 0 ? "masks/x\(index).png" : "masks/a/x\(index)_mask.png")
        }
        let summary = try Sharding.run(set.options("images", "masks"))
        #expect(summary.rejected.isEmpty && summary.warnings.isEmpty && summary.loss == nil)
        #expect(summary.manifest.positives == 6 && summary.manifest.foldCount == 5)
        try set.expectMasks(9) { "x\($0)" }
        // The same command again finds everything done.
        #expect(try Sharding.run(set.options("images", "masks")).decodedImages == 0)
        // A mask changed: the set is another one.
        try set.mask(4, "masks/a/x1_mask.png")
        #expect(throws: ShardingError.self) { try Sharding.run(set.options("images", "masks")) }
    }

    @Test("DICOM radiographs find masks by file name and by SOP instance UID")
    func dicom() throws {
        let set = try SmallSet(count: 6)
        for index in 0..<6 {
            let pixels = MaskSet.block(index, width: 48, height: 40)
            try set.folder.write(
                Data(RasterFile.png(pixels, width: 48, height: 40)),
                to: "masks/\(SmallSet.id(index)).png"
            )
        }
        var options = try set.options()
        options.labels = nil
        options.masks = set.folder.file("masks")
        let summary = try Sharding.run(options)
        #expect(summary.manifest.samples == 6 && summary.manifest.positives == 4 && summary.rejected.isEmpty)
    }

    @Test("Layouts are recognised: nnU-Net's, images and masks, and masks beside their radiographs")
    func layouts() throws {
        for layout in ["nnunet", "pair", "beside"] {
            let set = try MaskSet()
            for index in 0..<9 {
                switch layout {
                case "nnunet":
                    try set.image(index, "data/imagesTr/case_\(index)_0000.png")
                    try set.mask(index, "data/labelsTr/case_\(index).png", value: 1)
                case "pair":
                    try set.image(index, "data/images/case_\(index).png")
                    try set.mask(index, "data/masks/case_\(index).png", value: 1)
                default:
                    try set.image(index, "data/case_\(index).png")
                    try set.mask(index, "data/case_\(index)_mask.png", value: 1)
                }
            }
            if layout == "nnunet" {
                try set.folder.write(
                    #"{"channel_names": {"0": "xray"}, "labels": {"background": 0, "pneumothorax": 1}}"#,
                    to: "data/dataset.json"
                )
            }
            let found = try #require(try SourceLayout.find(set.folder.file("data"), values: nil))
            #expect(found.values == (layout == "nnunet" ? .classes([1]) : nil))
            var options = try set.options("data", nil)
            options.input = found.radiographs
            options.masks = found.masks
            options.maskValues = found.values ?? .one
            let summary = try Sharding.run(options)
            #expect(summary.rejected.isEmpty, "\(layout)")
            try set.expectMasks(9) { "case_\($0)" }
        }
        let none = try MaskSet()
        try none.image(0, "data/a.png")
        #expect(try SourceLayout.find(none.folder.file("data"), values: nil) == nil)
    }

    @Test("nnU-Net's labels: the pneumothorax among several; without one, the user is asked")
    func labels() throws {
        let set = try MaskSet()
        try set.image(0, "data/imagesTr/a_0000.png")
        try set.mask(1, "data/labelsTr/a.png", value: 1)
        func find(_ text: String) throws -> MaskValues? {
            try set.folder.write(text, to: "data/dataset.json")
            return try SourceLayout.find(set.folder.file("data"), values: nil)?.values
        }
        #expect(try find(#"{"labels": {"background": 0, "lung": 1, "Pneumothorax": 2, "ignore": 3}}"#) == .classes([2]))
        #expect(try find(#"{"labels": {"0": "background", "1": "pneumothorax"}}"#) == .classes([1]))
        #expect(throws: ShardingError.self) { try find(#"{"labels": {"background": 0, "lung": 1, "heart": 2}}"#) }
        #expect(throws: ShardingError.self) { try find(#"{"channel_names": {"0": "a", "1": "b"}, "labels": {}}"#) }
        #expect(throws: ShardingError.self) { try find("no JSON") }
    }

    @Test("Masks of several values stop the work until it is said which are the finding")
    func values() throws {
        let set = try MaskSet()
        for index in 0..<9 {
            try set.image(index, "images/x\(index).png")
            try set.mask(index, "masks/x\(index).png", value: index == 5 ? 2 : 1)
        }
        let error = #expect(throws: ShardingError.self) { try Sharding.run(set.options("images", "masks")) }
        #expect(error?.exitStatus == .badInput)
        #expect(
            error?.description.contains("1 in 5 masks") == true && error?.description.contains("2 in 1 masks") == true
        )
        #expect(error?.description.contains("--mask-values") == true)
        var options = try set.options("images", "masks")
        options.maskValues = .nonZero
        #expect(try Sharding.run(options).manifest.positives == 6)
        options.maskValues = .classes([2])
        options.replaces = true
        #expect(try Sharding.run(options).manifest.positives == 1)
        options.maskValues = .classes([7])
        #expect(throws: ShardingError.self) { try Sharding.run(options) }
    }

    @Test(
        "What does not fit is named: another shape, no mask, no radiograph, a JPEG, damage, two masks, an inverted one"
    )
    func misfits() throws {
        let set = try MaskSet()
        for index in 0..<9 { try set.image(index, "images/x\(index).png") }
        for index in 0..<4 { try set.mask(index, "masks/x\(index).png") }
        try set.mask(1, "masks/x4.png", width: 32, height: 40)
        try set.mask(1, "masks/x5.png", width: 80, height: 64)
        try set.folder.write(
            Data(RasterFile.jpeg([UInt8](repeating: 0, count: 1280), width: 40, height: 32)),
            to: "masks/x6.png"
        )
        try set.folder.write("no picture", to: "masks/x7.png")
        try set.mask(1, "masks/a/x8.png")
        try set.mask(1, "masks/b/x8.png")
        try set.mask(1, "masks/stranger.png")
        try set.folder.write("nifti", to: "masks/x9.nii.gz")
        let whole = Data(RasterFile.png([UInt8](repeating: 255, count: 1280), width: 40, height: 32))
        try set.folder.write(whole, to: "masks/x3.png")
        let summary = try Sharding.run(set.options("images", "masks"))
        var kinds: [String: String] = [:]
        for item in summary.rejected + summary.warnings {
            kinds[item.path.split(separator: "/").last.map(String.init) ?? ""] = item.kind.name
        }
        #expect(
            kinds == [
                "x4.png": "mask-shape", "x5.png": "mask-scaled", "x6.png": "unsupported", "x7.png": "not-an-image",
                "x8.png": "unclear-mask", "stranger.png": "label-without-image", "x9.nii.gz": "mask-format",
                "x3.png": "large-mask",
            ]
        )
        #expect(summary.manifest.samples == 5 && summary.hasUnreadableFiles)
        let loss = try #require(summary.loss)
        #expect(loss.lostImages == 2 && loss.images == 9 && !loss.isAllowed)
    }

    @Test("Radiographs without a mask are left out and told, or negatives where that is said")
    func missing() throws {
        let set = try MaskSet()
        for index in 0..<9 {
            try set.image(index, "images/x\(index).png")
            if index % 3 != 0 { try set.mask(index, "masks/x\(index).png") }
        }
        let loss = try #require(try Sharding.run(set.options("images", "masks")).loss)
        #expect(loss.lostImages == 3 && loss.line.contains("--missing-negative"))
        var options = try set.options("images", "masks")
        options.takesMissingAsNegative = true
        options.replaces = true
        let summary = try Sharding.run(options)
        #expect(summary.loss == nil && summary.manifest.samples == 9 && summary.manifest.positives == 6)
    }

    @Test("Radiographs of one name in several folders take the masks of their own folders")
    func nested() throws {
        let set = try SmallSet(count: 0)
        for index in 0..<4 {
            try set.write(index, to: "p\(index)/image.dcm")
            let pixels = MaskSet.block(index, width: 48, height: 40)
            try set.folder.write(Data(RasterFile.png(pixels, width: 48, height: 40)), to: "masks/p\(index)/image.png")
        }
        var options = try set.options()
        options.labels = nil
        options.masks = set.folder.file("masks")
        #expect(try Sharding.run(options).manifest.positives == 2)
        // By the name alone, it is not clear whose a mask is.
        try FileManager.default.removeItem(atPath: set.folder.file("masks"))
        try set.folder.write(
            Data(RasterFile.png([UInt8](repeating: 0, count: 1920), width: 48, height: 40)),
            to: "masks/image.png"
        )
        let error = #expect(throws: ShardingError.self) { try Sharding.run(options) }
        #expect(error?.exitStatus == .badInput)
    }
}
