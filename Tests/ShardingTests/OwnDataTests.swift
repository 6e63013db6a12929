import Diagnostics
import Foundation
import Radiography
import Sharding
import Storage
import TestSupport
import Testing

@Suite("What own data lacks is said", .timeLimit(.minutes(15)))
struct OwnDataTests {
    private func write(_ set: SmallSet, _ index: Int, _ elements: [String]) throws {
        var source = DICOMSource(.bytes(SmallSet.noise(48, 40, seed: UInt64(index)).pixels), rows: 40, columns: 48)
        source.transferSyntax = .explicitLittleEndian
        source.elements = ["SOPInstanceUID=\(SmallSet.id(index))"] + elements
        try source.write(to: set.folder.write(Data(), to: "images/\(index).dcm"))
    }

    private func notes(_ options: ShardingOptions) throws -> (ShardingSummary, [String]) {
        var notes: [String] = []
        let summary = try Sharding.run(options) { if case .note(let text) = $0 { notes.append(text) } }
        return (summary, notes)
    }

    /// Two frontal films, a lateral one, a slice, and one that says nothing.
    private func mixed() throws -> SmallSet {
        let set = try SmallSet(count: 0)
        try write(set, 0, ["PatientID=a", "Modality=CR", "ViewPosition=PA"])
        try write(set, 1, ["PatientID=b", "Modality=DX", "ViewPosition=AP"])
        try write(set, 2, ["PatientID=a", "Modality=CR", "ViewPosition=LL"])
        try write(set, 3, ["PatientID=c", "Modality=CT"])
        try write(set, 4, [])
        let rows = (0..<5).map { "\(SmallSet.id($0)),\($0 % 2 == 0 ? "-1" : "5 5")" }
        try set.folder.write("ImageId,EncodedPixels\n" + rows.joined(separator: "\n"), to: "labels.csv")
        return set
    }

    @Test("A lateral film and a CT slice are warned of, and in the set")
    func oddPictures() throws {
        let set = try mixed()
        let (summary, notes) = try notes(set.options())
        #expect(summary.manifest.samples == 5 && summary.rejected.isEmpty && summary.loss == nil)
        #expect(summary.warnings.map(\.kind) == [.lateralView, .otherModality])
        #expect(notes.contains { $0.hasPrefix("2 files are no frontal radiographs and are in the set all the same") })
        let table = try set.table(Sharding.warningsFile)
        #expect(table.contains { $0.hasPrefix("lateral-view,\(set.images)/2.dcm,,\(SmallSet.id(2)),") })
        #expect(
            table.contains {
                $0.hasPrefix("other-modality,\(set.images)/3.dcm,,\(SmallSet.id(3)),its modality is CT")
            }
        )
    }

    @Test("Views that are not asked for are left out, and their labels are no loss")
    func views() throws {
        let set = try mixed()
        var options = try set.options()
        options.views = ["PA", "AP"]
        let (summary, notes) = try notes(options)
        #expect(summary.manifest.samples == 2 && summary.loss == nil && summary.warnings.isEmpty)
        #expect(summary.rejected.map(\.kind) == [.otherView, .otherView, .otherView])
        #expect(notes.contains { $0.hasPrefix("3 radiographs are of other views") })
        options.views = ["PA", "AP", ShardingOptions.unknownView]
        options.replaces = true
        #expect(try Sharding.run(options).manifest.samples == 4)
        options.views = ["AX"]
        let error = #expect(throws: ShardingError.self) { try Sharding.run(options) }
        #expect(error?.exitStatus == .badInput && error?.description.contains("as --views asks") == true)
    }

    @Test("Radiographs without a patient are counted, since each may part a person over folds")
    func patients() throws {
        let set = try mixed()
        let (summary, notes) = try notes(set.options())
        #expect(summary.imagesWithoutPatient == 1)
        #expect(
            notes.contains { $0.hasPrefix("1 of 5 radiographs have no patient: each counts as a patient of its own") }
        )
        var options = try set.options()
        options.patients = try set.folder.write("id;patient\n4.png;d\nstranger;e\n", to: "patients.csv")
        options.replaces = true
        let named = try self.notes(options)
        #expect(named.0.imagesWithoutPatient == 0)
        #expect(named.1.contains { $0.hasSuffix("names the patients of 1 of 5 radiographs.") })
    }

    @Test("Files of one id and other content are a loss; copies are none")
    func conflicts() throws {
        let set = try SmallSet(count: 9)
        try set.write(3, to: "copy.dcm")
        #expect(try Sharding.run(set.options()).loss == nil)
        try write(set, 3, ["PatientID=other"])
        var options = try set.options()
        options.replaces = true
        let loss = try #require(try Sharding.run(options).loss)
        #expect(loss.lostImages == 2 && loss.cause.contains("share an id"))
    }

    @Test("A film of 2500 × 2048: its mask is laid on the square as the film is, at 1024 and at the shards' size")
    func bigFilms() throws {
        let set = try SmallSet(count: 0)
        let (width, height) = (250, 205)
        let pixels = (0..<width * height).map { UInt8($0 % 251) }
        try set.folder.write(Data(RasterFile.png(pixels, width: width, height: height)), to: "images/a.png")
        // Columns 100 to 119, rows 50 to 99, along the rows and counted from 1.
        let runs = (50..<100).map { "\($0 * width + 100 + 1) 20" }.joined(separator: " ")
        try set.folder.write("a,\(runs)\n", to: "labels.csv")
        var options = try set.options()
        options.runNumbering = .absolute
        options.runOrder = .rows
        options.runFrame = .image
        options.size = 250
        _ = try Sharding.run(options)
        let dataset = try Dataset.open(set.output)
        var image = [UInt8](repeating: 0, count: 250 * 250)
        var mask = image
        try image.withUnsafeMutableBytes { image in
            try mask.withUnsafeMutableBytes { try dataset.read(0, image: image, mask: $0) }
        }
        // 22 rows of black above, 23 below.
        let expected = (0..<250 * 250).map { (pixel: Int) -> UInt8 in
            (100..<120).contains(pixel % 250) && (72..<122).contains(pixel / 250) ? 1 : 0
        }
        #expect(mask == expected)
        // By the area rule, 82 columns of 205 rows, but for a corner.
        let area = dataset.runs(of: 0).reduce(0) { $0 + Int($1.length) }
        #expect(area == 82 * 205 - 1)
        #expect(dataset.metadata(of: 0).sourceWidth == 250 && dataset.metadata(of: 0).sourceHeight == 205)
    }
}
