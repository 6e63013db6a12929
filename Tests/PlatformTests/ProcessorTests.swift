import Foundation
import Platform
import Testing

@Suite struct ProcessorTests {
    /// A folder as control groups have it: paths below it, and what stands in them.
    private func groups(_ files: [String: String], _ text: String) throws -> (ControlGroups, URL) {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("groups-\(UUID().uuidString)")
        for (path, contents) in files {
            let file = folder.appendingPathComponent(path)
            try FileManager.default.createDirectory(
                at: file.deletingLastPathComponent(),
                withIntermediateDirectories: true
            )
            try contents.write(to: file, atomically: false, encoding: .utf8)
        }
        return (ControlGroups(text: text, mount: folder.path), folder)
    }

    @Test(arguments: [
        // The unified hierarchy; a limit around the group holds too.
        (["a/b/cpu.max": "max 100000\n", "a/cpu.max": "150000 100000\n"], "0::/a/b\n", 1.5),
        (["a/b/cpu.max": "50000 100000\n", "a/cpu.max": "150000 100000\n"], "0::/a/b\n", 0.5),
        (["a/cpu.max": "max 100000\n"], "0::/a\n", nil),
        // In a container the path is the host's, and the mount's root is the group.
        (["cpu.max": "200000 100000\n"], "0::/docker/1234\n", 2.0),
        (["cpu.max": "200000 100000\n"], "0::/../../job\n", 2.0),
        // The older hierarchies.
        (
            ["cpu,cpuacct/j/cpu.cfs_quota_us": "300000\n", "cpu,cpuacct/j/cpu.cfs_period_us": "100000\n"],
            "4:cpu,cpuacct:/j\n0::/\n", 3.0
        ),
        (["cpu/j/cpu.cfs_quota_us": "-1\n", "cpu/j/cpu.cfs_period_us": "100000\n"], "4:cpu:/j\n", nil),
        // What cannot be read limits nothing.
        (["a/cpu.max": "nonsense\n"], "0::/a\n", nil),
        (["a/cpu.max": "100000 0\n"], "0::/a\n", nil),
        ([:], "nonsense", nil),
    ])
    func quotaOfTheGroups(_ files: [String: String], _ text: String, _ expected: Double?) throws {
        let (groups, folder) = try groups(files, text)
        defer { try? FileManager.default.removeItem(at: folder) }
        #expect(groups.processors == expected)
    }

    @Test func processorsAreTheLeastOfAffinityAndQuotaRoundedUp() {
        #expect(UsableProcessors.count(affinity: 8, quota: nil) == 8)
        #expect(UsableProcessors.count(affinity: 8, quota: 2.5) == 3)
        #expect(UsableProcessors.count(affinity: 8, quota: 0.1) == 1)
        #expect(UsableProcessors.count(affinity: 1, quota: 4) == 1)
        #expect(UsableProcessors.count(affinity: 0, quota: 0.5) == 1)
        #expect(UsableProcessors.count >= 1)
    }
}
