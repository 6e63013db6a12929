import Diagnostics
import Foundation
import Phantoms
import Radiography
import TestSupport
import Testing

@Suite("Phantom data sets", .timeLimit(.minutes(15)))
struct PhantomDataSetTests {
    private let options = PhantomOptions(seed: 42, size: 64, positiveShare: 0.5)

    /// Relative paths and contents of all files below a folder.
    private func contents(of folder: String) throws -> [String: Data] {
        var files: [String: Data] = [:]
        for name in try FileManager.default.subpathsOfDirectory(atPath: folder) {
            var isFolder: ObjCBool = false
            _ = FileManager.default.fileExists(atPath: folder + "/" + name, isDirectory: &isFolder)
            if !isFolder.boolValue { files[name] = try Data(contentsOf: URL(fileURLWithPath: folder + "/" + name)) }
        }
        return files
    }

    @Test("Equal options write equal bytes, with any number of threads, and a smaller set is part of a larger")
    func bytes() throws {
        let folder = try TemporaryFolder()
        let one = try PhantomDataSet(options: options, count: 9).write(to: folder.path + "/one", jobs: 1)
        let two = try PhantomDataSet(options: options, count: 9).write(to: folder.path + "/two", jobs: 3)
        _ = try PhantomDataSet(options: options, count: 4).write(to: folder.path + "/less", jobs: 2)
        #expect(one == two)
        #expect(one.images == 9 && one.positives > 0 && one.positives < 9)
        let all = try contents(of: folder.path + "/one")
        #expect(all.count == 10)
        #expect(try contents(of: folder.path + "/two") == all)
        for (name, data) in try contents(of: folder.path + "/less") where name.hasSuffix(".dcm") {
            #expect(all[name] == data)
        }
    }

    @Test("Files and labels have the challenge's form")
    func form() throws {
        let folder = try TemporaryFolder()
        let summary = try PhantomDataSet(options: options, count: 12).write(to: folder.path, jobs: 2)
        let text = try String(contentsOfFile: folder.path + "/train-rle.csv", encoding: .utf8)
        let lines = text.split(separator: "\n")
        #expect(lines.first == "ImageId, EncodedPixels")
        #expect(lines.count == summary.rows + 1)
        #expect(lines.dropFirst().allSatisfy { $0.contains(", ") })
        let labels = try LabelFile.read(folder.path + "/train-rle.csv")
        #expect(labels.errors.isEmpty && labels.entries.count == 12)
        #expect(labels.entries.count { !$0.mask.isEmpty } == summary.positives)
        #expect(text.contains(", -1\n"))

        let painter = PhantomPainter(options: options)
        let names = try FileManager.default.subpathsOfDirectory(atPath: folder.path).filter { $0.hasSuffix(".dcm") }
        #expect(names.count == 12)
        var patients: Set<String> = []
        for (index, entry) in labels.entries.enumerated() {
            let name = try #require(names.first { $0.hasSuffix("/\(entry.id).dcm") })
            let parts = name.split(separator: "/")
            #expect(parts.count == 4 && parts[0] == "dicom-images-train")
            #expect(parts[1].hasPrefix("1.2.276.0.7230010.3.1.2.9999999."))
            #expect(parts[2].hasPrefix("1.2.276.0.7230010.3.1.3.9999999."))
            #expect(entry.id.hasPrefix("1.2.276.0.7230010.3.1.4.9999999."))
            let radiograph = try RadiographReader.read(folder.path + "/" + name)
            let phantom = painter.paint(index)
            #expect(phantom.mask == entry.mask)
            #expect(radiograph.metadata.sopInstanceUID == entry.id)
            #expect(radiograph.metadata.viewPosition == (phantom.isPortable ? "AP" : "PA"))
            #expect(radiograph.metadata.sex == (phantom.isFemale ? "F" : "M"))
            #expect(radiograph.metadata.age == phantom.age)
            #expect((2...4).contains(radiograph.metadata.rowSpacing ?? 0))
            patients.insert(try #require(radiograph.metadata.patientID))
            // Lossy compression changes values a little and moves none of them all one way.
            #expect(radiograph.image.width == 64)
            let differences = zip(radiograph.image.pixels, phantom.pixels).map { Int($0) - Int($1) }
            #expect(abs(differences.reduce(0, +)) < 64 * 64 / 2)
            #expect(differences.map(abs).reduce(0, +) < 64 * 64 * 6)
        }
        #expect(patients.count < 12)
    }

    @Test("A stand-in for a label file: its ids, its masks")
    func standIn() throws {
        let folder = try TemporaryFolder()
        let uid = "1.2.276.0.7230010.3.1.4.8323329.1.2.3"
        let csv = try folder.write(
            "ImageId,EncodedPixels\n\(uid),300000 200 824 200 824 200\nID_0123,-1\n\(uid),700000 90 934 90\nID_4, -1\n",
            to: "labels.csv"
        )
        let labels = try LabelFile.read(csv)
        let summary = try PhantomDataSet(options: options, labels: labels).write(to: folder.path + "/out", jobs: 2)
        #expect(summary.images == 3 && summary.positives == 1 && summary.rows == 3)
        let written = try LabelFile.read(folder.path + "/out/train-rle.csv")
        #expect(written.entries.map(\.id) == [uid, "ID_0123", "ID_4"])
        #expect(written.entries.map(\.mask) == labels.entries.map(\.mask))
        let study = "1.2.276.0.7230010.3.1.2.8323329.1.2.3/1.2.276.0.7230010.3.1.3.8323329.1.2.3"
        let radiograph = try RadiographReader.read("\(folder.path)/out/dicom-images-train/\(study)/\(uid).dcm")
        #expect(radiograph.metadata.sopInstanceUID == uid)
        let first = try PhantomDataSet(options: options, labels: labels, limit: 1)
        #expect(first.count == 1)
    }

    @Test("What cannot be written is refused, by name")
    func refusals() throws {
        let folder = try TemporaryFolder()
        try folder.write("mine", to: "train-rle.csv")
        let set = PhantomDataSet(options: options, count: 1)
        #expect(throws: PhantomError.occupied(path: folder.path + "/train-rle.csv")) {
            try set.write(to: folder.path, jobs: 1)
        }
        #expect(PhantomError.occupied(path: "x").exitStatus == .usage)
        // A file stands where the folder should be.
        let file = try folder.write("a file", to: "file")
        let error = #expect(throws: PhantomError.self) { try set.write(to: file, jobs: 1) }
        #expect(error?.exitStatus == .temporary)
        #expect(error?.description.contains(file) == true)

        for id in ["../up", "a/b", ".hidden", "semi;colon"] {
            let labels = try LabelFile.read(try folder.write("ImageId,EncodedPixels\n\(id),-1\n", to: "bad.csv"))
            let error = #expect(throws: PhantomError.self) { try PhantomDataSet(options: options, labels: labels) }
            #expect(error?.description.contains(id) == true)
            #expect(error?.exitStatus == .badInput)
        }
        let odd = try LabelFile.read(
            try folder.write("ImageId,EncodedPixels\na,1 2 3\nb,-1\n", to: "odd.csv")
        )
        #expect(throws: PhantomError.self) { try PhantomDataSet(options: options, labels: odd) }
    }
}
