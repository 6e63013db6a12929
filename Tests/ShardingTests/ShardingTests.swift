import Diagnostics
import Foundation
import Numerics
import Platform
import Radiography
import Sharding
import Storage
import Synchronization
import TestSupport
import Testing

/// A small set of radiographs and labels on disk.
struct SmallSet {
    let folder: TemporaryFolder
    var images: String { folder.path + "/images" }
    var labels: String { folder.path + "/labels.csv" }
    var output: String { folder.path + "/out" }

    /// Writes `count` DICOM files in nested folders; every third has a mask.
    ///
    /// Patient k has the images 2k and 2k + 1.
    init(count: Int, nested: Bool = true) throws {
        folder = try TemporaryFolder()
        try FileManager.default.createDirectory(atPath: folder.path + "/images", withIntermediateDirectories: true)
        var rows = ["ImageId, EncodedPixels"]
        for index in 0..<count {
            try write(index, to: nested ? "study-\(count - index)/series/\(Self.id(index)).dcm" : "\(index).dcm")
            rows.append(index % 3 == 0 ? "\(Self.id(index)), \(index * 2048 + 7) 9000" : "\(Self.id(index)), -1")
        }
        try folder.write(rows.joined(separator: "\n"), to: "labels.csv")
    }

    static func noise(_ width: Int, _ height: Int, seed: UInt64 = 1) -> GrayImage {
        let random = RandomSequence(seed: seed, purpose: .simulation)
        return GrayImage(
            width: width,
            height: height,
            pixels: (0..<width * height).map { UInt8(random.integer($0, below: 256)) }
        )
    }

    static func id(_ index: Int) -> String { "1.2.\(100 + index)" }

    @discardableResult
    func write(_ index: Int, to name: String) throws -> String {
        let image = SmallSet.noise(48, 40, seed: UInt64(index))
        var source = DICOMSource(.bytes(image.pixels), rows: 40, columns: 48)
        source.transferSyntax = .explicitLittleEndian
        source.elements = ["SOPInstanceUID=\(Self.id(index))", "PatientID=patient-\(index / 2)", "PatientSex=M"]
        let path = try folder.write(Data(), to: "images/" + name)
        try source.write(to: path)
        return path
    }

    func options() throws -> ShardingOptions {
        var options = ShardingOptions(input: images, labels: labels, output: output, size: 32, jobs: 2)
        options.shardSize = 4
        options.launch = try BuiltProgram.launch()
        return options
    }

    func table(_ name: String = Sharding.rejectedFile) throws -> [String] {
        let text = try String(contentsOfFile: output + "/" + name, encoding: .utf8)
        return text.split(separator: "\n").dropFirst().map(String.init)
    }
}

@Suite("Sharding", .timeLimit(.minutes(15)))
struct ShardingTests {
    @Test("Images, masks, metadata and folds arrive in the shards")
    func arrives() throws {
        let set = try SmallSet(count: 10)
        let summary = try Sharding.run(set.options())
        #expect(summary.rejected.isEmpty && summary.warnings.isEmpty && summary.decodedImages == 10)
        #expect(summary.manifest.samples == 10 && summary.manifest.positives == 4)
        #expect(summary.manifest.shards.map(\.samples) == [4, 4, 2])
        #expect(try Dataset.verify(set.output).isEmpty)

        let dataset = try Dataset.open(set.output)
        let labels = try LabelFile.read(set.labels)
        var image = [UInt8](repeating: 0, count: 32 * 32)
        var mask = image
        for sample in 0..<10 {
            let id = SmallSet.id(sample)
            #expect(dataset.id(of: sample) == id)
            try image.withUnsafeMutableBytes { image in
                try mask.withUnsafeMutableBytes { try dataset.read(sample, image: image, mask: $0) }
            }
            #expect(image == SmallSet.noise(48, 40, seed: UInt64(sample)).squared(to: 32).pixels)
            let label = try #require(labels[id]).mask
            #expect(mask == label.downscaled(to: 32))
            #expect(dataset.runs(of: sample).map(\.length).reduce(0, +) == Int32(label.area))
            let metadata = dataset.metadata(of: sample)
            #expect(metadata.patient == "patient-\(sample / 2)" && metadata.sex == "M")
            #expect(metadata.sourceHeight == 40 && metadata.sourceWidth == 48 && metadata.age.isNaN)
            // The two images of a patient share a fold.
            #expect(dataset.fold(of: sample) == dataset.fold(of: sample ^ 1))
        }
        #expect(summary.manifest.foldCount == 5)
    }

    @Test("Equal input gives equal digests, whatever the folders, the processes and the compression")
    func digests() throws {
        let nested = try SmallSet(count: 9)
        let reference = try Sharding.run(nested.options()).manifest
        let flat = try SmallSet(count: 9, nested: false)
        var options = try flat.options()
        options.jobs = 1
        let other = try Sharding.run(options).manifest
        #expect(other.datasetDigest == reference.datasetDigest)
        #expect(other.shards.map(\.contentDigest) == reference.shards.map(\.contentDigest))
        options.output += "-deflated"
        options.deflate = 6
        options.jobs = 3
        #expect(try Sharding.run(options).manifest.datasetDigest == reference.datasetDigest)
        options.output += "-other-folds"
        options.folds = 2
        #expect(try Sharding.run(options).manifest.datasetDigest != reference.datasetDigest)
    }

    @Test("What is bad is listed with file and row, and the rest is sharded")
    func rejects() throws {
        let set = try SmallSet(count: 6)
        try set.folder.write("<html>429 Too Many Requests</html>", to: "images/a/saved-error.dcm")
        try set.folder.write("", to: "images/a/empty.dcm")
        try set.folder.write("readme", to: "images/a/notes.txt")
        let whole = try Data(contentsOf: URL(fileURLWithPath: set.write(20, to: "a/cut.dcm")))
        try set.folder.write(whole.prefix(whole.count - 100), to: "images/a/\(SmallSet.id(20)).dcm")
        try FileManager.default.removeItem(atPath: set.images + "/a/cut.dcm")
        try set.write(3, to: "a/again.dcm")
        try set.write(30, to: "a/unlabelled.dcm")
        var text = try String(contentsOfFile: set.labels, encoding: .utf8)
        text += "\n\(SmallSet.id(20)), -1\n1.2.999, 5 5\n\(SmallSet.id(5)), 1 2 3\n\(SmallSet.id(0)), 100 9000\n"
        try set.folder.write(text, to: "labels.csv")

        let summary = try Sharding.run(set.options())
        #expect(summary.manifest.samples == 5)
        #expect(summary.hasUnreadableFiles)
        #expect(summary.ignoredFiles == 1)
        let rows = try set.table().map { $0.split(separator: ",", omittingEmptySubsequences: false).map(String.init) }
        let kinds = Dictionary(grouping: rows, by: { $0[0] }).mapValues(\.count)
        #expect(
            kinds == [
                "not-an-image": 2, "damaged": 1, "duplicate-id": 1, "image-without-label": 2, "label-without-image": 1,
                "bad-runs": 1,
            ]
        )
        for row in rows {
            switch row[0] {
            case "bad-runs": #expect(row[1] == set.labels && row[2] == "10" && row[3] == SmallSet.id(5))
            case "label-without-image": #expect(row[1] == set.labels && row[2] == "9" && row[3] == "1.2.999")
            case "damaged": #expect(row[1].hasSuffix("/a/\(SmallSet.id(20)).dcm") && row[3] == SmallSet.id(20))
            case "duplicate-id": #expect(row[3] == SmallSet.id(3) && row[4].contains("the same bytes"))
            default: break
            }
        }
        let warnings = try set.table(Sharding.warningsFile)
        #expect(warnings.count == 2)
        #expect(warnings.contains { $0.hasPrefix("overlapping-rows,\(set.labels),11,") })
        #expect(warnings.contains { $0.hasPrefix("ignored-file,\(set.images)/a/notes.txt,") })
    }

    /// A file whose header is sound and whose pixels are not.
    private func writeDamaged(_ set: SmallSet, _ index: Int, to name: String) throws {
        let path = try set.write(index, to: name)
        var source = DICOMSource(.bytes(SmallSet.noise(48, 40, seed: 99).pixels), rows: 40, columns: 48)
        source.elements = ["SOPInstanceUID=\(SmallSet.id(index))", "PatientID=patient-\(index / 2)"]
        try source.write(to: path)
        var data = try Data(contentsOf: URL(fileURLWithPath: path))
        data[data.count / 2] = 0xFF
        data[data.count / 2 + 1] = 0xD9
        try data.write(to: URL(fileURLWithPath: path))
    }

    @Test("A damaged first copy of an image does not cost the sound second one")
    func spares() throws {
        let set = try SmallSet(count: 6)
        try writeDamaged(set, 1, to: "a/first.dcm")
        try set.write(1, to: "b/third.dcm")
        let summary = try Sharding.run(set.options())
        #expect(summary.manifest.samples == 6)
        let dataset = try Dataset.open(set.output)
        let sample = try #require((0..<6).first { dataset.id(of: $0) == SmallSet.id(1) })
        var image = [UInt8](repeating: 0, count: 32 * 32)
        var mask = image
        try image.withUnsafeMutableBytes { image in
            try mask.withUnsafeMutableBytes { try dataset.read(sample, image: image, mask: $0) }
        }
        #expect(image == SmallSet.noise(48, 40, seed: 1).squared(to: 32).pixels)
        let table = try set.table()
        #expect(table.count == 2)
        #expect(table[0].hasPrefix("damaged,\(set.images)/a/first.dcm,"))
        #expect(table[1].hasPrefix("duplicate-id,\(set.images)/study-5/"))
        #expect(table[1].contains("/b/third.dcm is the same image id"))
        // A run that finds everything done says the same.
        let again = try Sharding.run(set.options())
        #expect(again.decodedImages == 0 && again.keptShards == 2)
        #expect(try set.table() == table)
    }

    @Test("Every copy of an image damaged: each is listed")
    func sparesAllDamaged() throws {
        let set = try SmallSet(count: 4)
        try writeDamaged(set, 1, to: "study-3/series/\(SmallSet.id(1)).dcm")
        try writeDamaged(set, 1, to: "a/first.dcm")
        let summary = try Sharding.run(set.options())
        #expect(summary.manifest.samples == 3 && summary.rejected.count == 2)
        #expect(summary.rejected.allSatisfy { $0.kind == .file(.damaged) && $0.id == SmallSet.id(1) })
    }

    @Test("A command that was wrong leaves the tables of a finished set alone")
    func tablesOfAFinishedSet() throws {
        let set = try SmallSet(count: 5)
        try set.folder.write("no image", to: "images/zzz.dcm")
        _ = try Sharding.run(set.options())
        let table = try set.table()
        #expect(table.count == 1)
        var options = try set.options()
        options.labels = try set.folder.write("other,-1\n", to: "other.csv")
        let error = #expect(throws: ShardingError.self) { try Sharding.run(options) }
        #expect(error?.description.contains("finished data set") == true)
        #expect(try set.table() == table)
        options = try set.options()
        options.size = 16
        #expect(throws: ShardingError.self) { try Sharding.run(options) }
        #expect(try set.table() == table)
    }

    @Test("An interruption leaves finished shards, tables and no temporary files; the same command goes on")
    func interruption() throws {
        let set = try SmallSet(count: 12)
        try set.folder.write("no image", to: "images/zzz.dcm")
        let finished = Mutex(false)
        var options = try set.options()
        options.isInterrupted = { finished.withLock { $0 } }
        let error = #expect(throws: ShardingError.self) {
            try Sharding.run(options) { if case .finished = $0 { finished.withLock { $0 = true } } }
        }
        #expect(error?.description.contains("the same command goes on") == true)
        let names = try FileSystem.names(in: set.output)
        #expect(names == [".written-by-pleura", "rejected.csv", "shard-00000.h5", "warnings.csv"])
        #expect(try set.table().count == 1)
        let summary = try Sharding.run(set.options())
        #expect(summary.keptShards == 1 && summary.manifest.samples == 12)
    }

    @Test("A rejected file keeps its image's label from being called one without image")
    func labelsOfRejectedFiles() throws {
        let set = try SmallSet(count: 4)
        // Named otherwise than its image; colour, so refused with its header known.
        var source = DICOMSource(.bytes(.init(repeating: 1, count: 48)), rows: 4, columns: 4)
        source.samplesPerPixel = 3
        source.photometric = "RGB"
        source.transferSyntax = .explicitLittleEndian
        source.elements = ["SOPInstanceUID=1.2.555"]
        try source.write(to: set.images + "/colour.dcm")
        let labels = try String(contentsOfFile: set.labels, encoding: .utf8)
        try set.folder.write(labels + "\n1.2.555, -1\n", to: "labels.csv")
        let summary = try Sharding.run(set.options())
        #expect(summary.rejected.map(\.kind) == [.file(.unsupported)])
        #expect(summary.rejected.first?.id == "1.2.555")
        // Of a file that tells nothing, only so much is known.
        try set.folder.write("<html>", to: "images/page.dcm")
        try set.folder.write(labels + "\n1.2.555, -1\n1.2.666, -1\n", to: "labels.csv")
        let other = try Sharding.run(set.options())
        let item = other.rejected.first { $0.kind == .labelWithoutImage }
        #expect(item?.id == "1.2.666" && item?.reason.contains("1 files that could not be read") == true)
    }

    @Test("DICOM files without an ending are found, other files are listed, odd names are told")
    func names() throws {
        let set = try SmallSet(count: 4)
        try set.write(7, to: "IM000001")
        try set.write(8, to: "DICOMDIR")
        try set.folder.write("notes", to: "images/README")
        var odd = Array((set.images + "/odd-").utf8CString.dropLast())
        odd += [CChar(bitPattern: 0xFF), 0]
        let descriptor = open(odd, O_CREAT | O_WRONLY, 0o644)
        #expect(descriptor >= 0)
        close(descriptor)
        var options = try set.options()
        options.labels = nil
        let summary = try Sharding.run(options)
        #expect(summary.manifest.samples == 5 && summary.ignoredFiles == 2)
        #expect(summary.rejected.count == 1 && summary.rejected.first?.path.hasSuffix("odd-\\xFF") == true)
        #expect(try set.table(Sharding.warningsFile).allSatisfy { $0.hasPrefix("ignored-file,") })
    }

    @Test("One patient: no folds, and it is said; few patients: as many folds")
    func fewPatients() throws {
        let one = try SmallSet(count: 2)
        var notes: [String] = []
        let single = try Sharding.run(one.options()) { if case .note(let text) = $0 { notes.append(text) } }
        #expect(single.manifest.foldCount == 0 && notes.contains { $0.contains("of one patient") })
        notes = []
        let few = try SmallSet(count: 6)
        let summary = try Sharding.run(few.options()) { if case .note(let text) = $0 { notes.append(text) } }
        #expect(summary.manifest.foldCount == 3 && notes.contains { $0.contains("3 folds") })
    }

    @Test("--strict stops at overlapping rows too")
    func strictOverlap() throws {
        let set = try SmallSet(count: 4)
        let labels = try String(contentsOfFile: set.labels, encoding: .utf8)
        try set.folder.write(labels + "\n\(SmallSet.id(0)), 100 9000\n", to: "labels.csv")
        #expect(try Sharding.run(set.options()).warnings.count == 1)
        var options = try set.options()
        options.output += "-strict"
        options.isStrict = true
        let error = #expect(throws: ShardingError.self) { try Sharding.run(options) }
        #expect(error?.description.contains("overlapping-rows") == true)
    }

    @Test("--strict stops at the first rejected item")
    func strict() throws {
        let set = try SmallSet(count: 4)
        try set.folder.write("no image", to: "images/zzz.dcm")
        var options = try set.options()
        options.isStrict = true
        let error = #expect(throws: ShardingError.self) { try Sharding.run(options) }
        #expect(error?.exitStatus == .badInput && error?.description.contains("zzz.dcm") == true)
        #expect(!FileManager.default.fileExists(atPath: set.output + "/dataset.json"))
    }

    @Test("The folder is free after a run, even while a child that is being started holds its descriptor")
    func lockEndsWithTheRun() throws {
        let set = try SmallSet(count: 2)
        let copies = Mutex<[Int32]>([])
        _ = try Sharding.run(set.options()) { _ in
            // What a fork copies: the descriptors of this process that stand for the folder.
            for name in (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")) ?? [] {
                let target = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/" + name)
                if target == set.output, let descriptor = Int32(name) { copies.withLock { $0.append(dup(descriptor)) } }
            }
        }
        defer { copies.withLock { for copy in $0 { close(copy) } } }
        #expect(copies.withLock { !$0.isEmpty })
        var options = try set.options()
        options.jobs = 1
        #expect(try Sharding.run(options).manifest.samples == 2)
    }

    @Test("An interrupted run is taken up: finished shards stay, missing and damaged ones are made again")
    func resumes() throws {
        let set = try SmallSet(count: 12)
        // Its header is sound, its pixels are not: found out only when it is decoded.
        let path = try set.write(2, to: "study-10/series/\(SmallSet.id(2)).dcm")
        var source = DICOMSource(.bytes(SmallSet.noise(48, 40).pixels), rows: 40, columns: 48)
        source.elements = ["SOPInstanceUID=\(SmallSet.id(2))", "PatientID=patient-1"]
        try source.write(to: path)
        var data = try Data(contentsOf: URL(fileURLWithPath: path))
        data[data.count / 2] = 0xFF
        data[data.count / 2 + 1] = 0xD9
        try data.write(to: URL(fileURLWithPath: path))

        let first = try Sharding.run(set.options())
        #expect(first.manifest.samples == 11 && first.rejected.count == 1)
        let table = try set.table()

        // Killed before the manifest, with one shard missing, one damaged and a temporary file left.
        try FileManager.default.removeItem(atPath: set.output + "/dataset.json")
        try FileManager.default.removeItem(atPath: set.output + "/shard-00001.h5")
        let damaged = set.output + "/shard-00002.h5"
        let bytes = try Data(contentsOf: URL(fileURLWithPath: damaged))
        try bytes.prefix(bytes.count / 2).write(to: URL(fileURLWithPath: damaged))
        try Data().write(to: URL(fileURLWithPath: set.output + "/.shard.1-1.tmp"))
        var kept: [String] = []
        let second = try Sharding.run(set.options()) { if case .kept(let shard) = $0 { kept.append(shard) } }
        #expect(kept == ["shard-00000.h5"] && second.keptShards == 1 && second.decodedImages == 8)
        #expect(second.manifest.datasetDigest == first.manifest.datasetDigest)
        // The rejected file of the kept shard is listed again.
        #expect(try set.table() == table)
        #expect(!FileManager.default.fileExists(atPath: set.output + "/.shard.1-1.tmp"))

        // A third run finds everything done.
        let third = try Sharding.run(set.options())
        #expect(third.decodedImages == 0 && third.keptShards == 3 && third.manifest == second.manifest)
    }

    @Test("A finished data set of other options is not overwritten unasked")
    func replaces() throws {
        let set = try SmallSet(count: 5)
        let first = try Sharding.run(set.options()).manifest
        var options = try set.options()
        options.size = 16
        options.shardSize = 10
        let error = #expect(throws: ShardingError.self) { try Sharding.run(options) }
        #expect(error?.exitStatus == .usage && error?.description.contains("32×32") == true)
        #expect(try DatasetManifest.read(in: set.output) == first)
        options.replaces = true
        let second = try Sharding.run(options).manifest
        #expect(second.schema.size == 16 && second.shards.count == 1)
        #expect(try Dataset.verify(set.output).isEmpty)
        #expect(!FileManager.default.fileExists(atPath: set.output + "/shard-00001.h5"))
        // A label changed: the set is another one.
        var text = try String(contentsOfFile: set.labels, encoding: .utf8)
        text = text.replacingOccurrences(of: "\(SmallSet.id(1)), -1", with: "\(SmallSet.id(1)), 4 4")
        try set.folder.write(text, to: "labels.csv")
        options.replaces = false
        #expect(throws: ShardingError.self) { try Sharding.run(options) }
    }

    @Test("Without labels: no masks, no folds, and the set says so")
    func unlabelled() throws {
        let set = try SmallSet(count: 3)
        // A link back to the folder above must not lead round in circles.
        try FileManager.default.createSymbolicLink(atPath: set.images + "/loop", withDestinationPath: set.images)
        var options = try set.options()
        options.labels = nil
        let manifest = try Sharding.run(options).manifest
        #expect(manifest.samples == 3 && manifest.positives == 0 && manifest.foldCount == 0)
        #expect(manifest.schema.extraMetadata == ["label"])
        #expect(try Dataset.open(set.output).metadata(of: 0).extra == ["label": "none"])
    }

    @Test("PNG files go by their names; a file says which patients they are of")
    func rasters() throws {
        let set = try SmallSet(count: 0)
        var rows: [String] = []
        var patients = ["id,patient"]
        for index in 0..<6 {
            let image = SmallSet.noise(16, 16, seed: UInt64(index))
            try set.folder.write(Data(RasterFile.png(image.pixels, width: 16, height: 16)), to: "images/x\(index).PNG")
            rows.append("x\(index),-1")
            patients.append("x\(index),p\(index % 2)")
        }
        try set.folder.write(rows.joined(separator: "\n"), to: "labels.csv")
        var options = try set.options()
        options.patients = try set.folder.write(patients.joined(separator: "\n"), to: "patients.csv")
        let summary = try Sharding.run(options)
        // Two patients: two folds by default, and each keeps to one.
        #expect(summary.manifest.foldCount == 2)
        let dataset = try Dataset.open(set.output)
        #expect((0..<6).map { dataset.fold(of: $0) == dataset.fold(of: $0 % 2) } == .init(repeating: true, count: 6))
        #expect(dataset.metadata(of: 3).patient == "p1" && dataset.metadata(of: 3).sourceWidth == 16)

        options.folds = 3
        options.output += "-3"
        let error = #expect(throws: ShardingError.self) { try Sharding.run(options) }
        #expect(error?.exitStatus == .usage)
        try set.folder.write("id,patient\nx1,a\nx1,b\n", to: "patients.csv")
        let conflict = #expect(throws: PatientFileError.self) { try Sharding.run(options) }
        #expect(conflict?.row == 3)
    }

    @Test("Nothing to shard: each case with its own message")
    func nothing() throws {
        let set = try SmallSet(count: 0)
        try set.folder.write("other,-1\n", to: "labels.csv")
        let empty = #expect(throws: ShardingError.self) { try Sharding.run(set.options()) }
        #expect(empty?.description.contains("Found no radiographs") == true)
        try set.write(1, to: "a.dcm")
        let unmatched = #expect(throws: ShardingError.self) { try Sharding.run(set.options()) }
        #expect(unmatched?.exitStatus == .badInput)
        #expect(unmatched?.description.contains("images are called \(SmallSet.id(1)), labels other") == true)
        var options = try set.options()
        options.input += "/absent"
        #expect(throws: FileError.self) { try Sharding.run(options) }
    }

    @Test("A crash of the decoder rejects the file, not the run")
    func crashes() throws {
        // The impostor answers the header of every file, and dies on every image.
        let set = try SmallSet(count: 2)
        var options = try set.options()
        options.launch = BuiltProgram.impostor("head -c 8 <&0 >/dev/null; kill -SEGV $$")
        let error = #expect(throws: ShardingError.self) { try Sharding.run(options) }
        #expect(error?.exitStatus == .badInput)
        #expect(try set.table().allSatisfy { $0.hasPrefix("decoder-crashed,") })
    }

    @Test("A folder is read in the order of its files, with what cannot be read in its place")
    func folder() throws {
        let set = try SmallSet(count: 3, nested: false)
        try set.folder.write("no image", to: "images/1x.dcm")
        var ids: [String] = []
        let folder = try RadiographFolder([set.images])
        #expect(folder.files == ["0.dcm", "1.dcm", "1x.dcm", "2.dcm"].map { "\(set.images)/\($0)" })
        try folder.read(size: 16, jobs: 2, launch: BuiltProgram.launch()) { index, id, outcome in
            ids.append(id)
            switch outcome {
            case .success(let radiograph):
                #expect(
                    radiograph.image
                        == SmallSet.noise(48, 40, seed: index == 3 ? 2 : UInt64(index)).squared(to: 16)
                )
            case .failure(let error): #expect(error.kind == .notAnImage && index == 2)
            }
        }
        #expect(ids == [SmallSet.id(0), SmallSet.id(1), "1x", SmallSet.id(2)])
    }

    @Test("Files are taken by name too, once, and patterns are those of a shell")
    func namedFiles() throws {
        let set = try SmallSet(count: 3, nested: false)
        try set.folder.write("anything", to: "notes/IM[1]")
        let (images, odd) = (set.images, set.folder.file("notes/IM[1]"))
        #expect(try RadiographFolder.expanded("\(images)/[12]*.dcm") == ["1", "2"].map { "\(images)/\($0).dcm" })
        // What is there is itself.
        #expect(try RadiographFolder.expanded(odd) == [odd])
        let folder = try RadiographFolder(["\(images)/2.dcm", images, odd])
        #expect(folder.files == ["\(images)/2.dcm", "\(images)/0.dcm", "\(images)/1.dcm", odd])
        for path in ["\(images)/absent", "\(images)/*.tif"] {
            let error = #expect(throws: AbsentInput.self) {
                try RadiographFolder(RadiographFolder.expanded(path))
            }
            #expect(error?.exitStatus == .missingInput)
        }
    }
}
