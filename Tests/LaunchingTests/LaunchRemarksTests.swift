import Configuration
import Foundation
import Launching
import Platform
import TestSupport
import Testing

/// What is said before a run starts, and where it goes.
@Suite struct LaunchRemarksTests {
    private func remarks(_ overrides: [String], cores: Int, dot: Bool = true, vectors: Bool = true) throws -> [String] {
        LaunchRemarks.local(
            try RunConfiguration().overridden(by: overrides),
            .init(cores: cores, limits: "a quota", hasDotProduct: dot, hasVectors: vectors)
        )
    }

    @Test func moreThreadsThanCoresAreWarnedOf() throws {
        let many = try remarks(["workers.count=2", "workers.threads=3"], cores: 4)
        #expect(
            many.count == 1
                && many[0].hasPrefix("2 workers with 3 threads each want 6 cores, and this process may use 4 (a quota)")
        )
        #expect(try remarks(["workers.count=2", "workers.threads=2"], cores: 4).isEmpty)
        #expect(try remarks(["workers.count=2"], cores: 4).isEmpty)
        let workers = try remarks(["workers.count=3"], cores: 2)
        #expect(workers.count == 1 && workers[0].hasPrefix("3 workers with 1 thread each want 3 cores"))
    }

    @Test func emulationIsWarnedOf() throws {
        let emulated = try remarks(["precision=bf16"], cores: 4, dot: false)
        #expect(
            emulated.count == 1 && emulated[0].contains("no AVX512_BF16") && emulated[0].contains("many times slower")
        )
        #expect(try remarks(["precision=bf16"], cores: 4).isEmpty)
        #expect(try remarks([], cores: 4, dot: false).isEmpty)
        #expect(try remarks([], cores: 4, vectors: false).first?.contains("no AVX2") == true)
    }

    @Test func enlargedImagesAreWarnedOf() {
        #expect(LaunchRemarks.sizes(shards: 256, network: 256) == nil)
        #expect(LaunchRemarks.sizes(shards: 512, network: 256) == nil)
        let enlarged = LaunchRemarks.sizes(shards: 256, network: 512)
        #expect(enlarged?.contains("256 × 256") == true && enlarged?.contains("about 4 times as long") == true)
        #expect(enlarged?.contains("--set data.size=0") == true)
    }

    @Test(arguments: [
        ("", "configs/my run.yaml", "shards", "my-run-"), ("A: ä/b", "c.yml", "s", "A-ä-b-"),
        ("", "/dev/fd/63", "/data/siim/", "siim-"), ("", "..", "", "run-"),
        ("", "/x/shards-512", "/x/shards-512", "shards-512-"),
    ])
    func foldersNameThemselves(name: String, file: String, shards: String, expected: String) throws {
        let folder = try TemporaryFolder()
        var configuration = RunConfiguration()
        configuration.run.name = name
        configuration.data.shards = shards
        let place = folder.file("runs")
        let first = try NewRunFolder(configuration, file: file, in: place)
        let second = try NewRunFolder(configuration, file: file, in: place)
        #expect(first.path == "\(place)/\(expected)1" && second.path == "\(place)/\(expected)2")
        // One that is in use stays, and its number is never given again while it does.
        try folder.write("x", to: "runs/\(expected)1/config.yaml")
        first.removeIfEmpty()
        second.removeIfEmpty()
        #expect(folder.names(in: "runs") == ["\(expected)1"])
        #expect(try NewRunFolder(configuration, file: file, in: place).path == "\(place)/\(expected)2")
    }

    @Test func aFolderThatWasNotNeededLeavesNothing() throws {
        let folder = try TemporaryFolder()
        let own = try NewRunFolder(RunConfiguration(), file: "c.yaml", in: folder.file("runs"))
        own.removeIfEmpty()
        #expect(folder.names().isEmpty)
    }
}
