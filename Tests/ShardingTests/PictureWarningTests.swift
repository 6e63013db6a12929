import Foundation
import Radiography
import Sharding
import Storage
import TestSupport
import Testing

@Suite("Warnings about pictures", .timeLimit(.minutes(15)))
struct PictureWarningTests {
    /// Ten radiographs of which the second and the tenth have one grey: the second lies in the first shard of three.
    private func set() throws -> SmallSet {
        let set = try SmallSet(count: 10, nested: false)
        for index in [1, 9] {
            var source = DICOMSource(.bytes(.init(repeating: 200, count: 48 * 40)), rows: 40, columns: 48)
            source.transferSyntax = .explicitLittleEndian
            source.elements = ["SOPInstanceUID=\(SmallSet.id(index))", "PatientID=patient-\(index / 2)"]
            try source.write(to: set.images + "/\(index).dcm")
        }
        return set
    }

    private func greys(_ set: SmallSet) throws -> [String] {
        try set.table(Sharding.warningsFile).filter { $0.hasPrefix("one-grey,") }
    }

    @Test("A picture of one grey is in the shards, and in warnings.csv with its file")
    func listed() throws {
        let set = try set()
        let summary = try Sharding.run(set.options())
        #expect(summary.rejected.isEmpty && summary.manifest.samples == 10)
        #expect(summary.warnings.map(\.kind.name) == ["one-grey", "one-grey"])
        let rows = try greys(set)
        #expect(rows.count == 2)
        #expect(
            rows.first?.contains("\(set.images)/1.dcm,,\(SmallSet.id(1)),all of its pixels have the grey 200") == true
        )
    }

    @Test("A run that goes on from finished shards keeps what was said of their pictures")
    func kept() throws {
        let set = try set()
        _ = try Sharding.run(set.options())
        let rows = try greys(set)
        // As a run that was killed leaves it: a shard short, and no list of them.
        try FileManager.default.removeItem(atPath: set.output + "/" + DatasetManifest.fileName)
        try FileManager.default.removeItem(atPath: set.output + "/shard-00002.h5")
        let summary = try Sharding.run(set.options())
        #expect(summary.keptShards == 2 && summary.decodedImages == 2)
        #expect(try greys(set) == rows)
        // And the same command over the finished set.
        let again = try Sharding.run(set.options())
        #expect(again.keptShards == 3 && again.warnings.count == 2)
        #expect(try greys(set) == rows)
    }

    @Test("What is known of the pictures of a finished shard is on disk when it is")
    func beforeTheEnd() throws {
        let set = try set()
        var options = try set.options()
        var isStopped = false
        options.jobs = 1
        options.isInterrupted = { FileManager.default.fileExists(atPath: set.output + "/shard-00000.h5") }
        do { _ = try Sharding.run(options) } catch { isStopped = true }
        #expect(isStopped)
        #expect(try greys(set).count == 1)
    }

    @Test("A report among the radiographs is left out, and nothing is missing")
    func report() throws {
        let set = try SmallSet(count: 3, nested: false)
        var source = DICOMSource(.bytes([0, 1, 2, 3]), rows: 2, columns: 2)
        source.transferSyntax = .explicitLittleEndian
        source.elements = ["SOPClassUID=1.2.840.10008.5.1.4.1.1.88.11", "SOPInstanceUID=1.2.999"]
        try source.write(to: set.images + "/report.dcm")
        var options = try set.options()
        options.isStrict = true
        let summary = try Sharding.run(options)
        #expect(summary.rejected.isEmpty && !summary.hasUnreadableFiles && summary.manifest.samples == 3)
        #expect(try set.table(Sharding.warningsFile).first?.hasPrefix("other-object,\(set.images)/report.dcm") == true)
    }

    @Test("--strict stops at a picture that looks wrong")
    func strict() throws {
        let set = try set()
        var options = try set.options()
        options.isStrict = true
        let error = #expect(throws: ShardingError.self) { try Sharding.run(options) }
        guard case .rejected(let item) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(item.kind.name == "one-grey")
    }
}
