import Diagnostics
import Foundation
import HDF5IO
import Testing

/// A fresh folder, removed with its owner.
final class TemporaryFolder: Sendable {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.appendingPathComponent("pleura-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func file(_ name: String) -> String { "\(path)/\(name)" }
}

@Suite("HDF5 files") struct HDF5FileTests {
    let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    /// Writes, closes, opens again.
    private func reopened(_ name: String = "a.h5", _ body: (HDF5File) throws -> Void) throws -> HDF5File {
        let file = try HDF5File.create(folder.file(name))
        try body(file)
        try file.close()
        return try HDF5File.open(folder.file(name))
    }

    private func roundTrip<Element: HDF5Element & Equatable>(_ values: [Element]) throws {
        let file = try reopened("\(Element.self).h5") {
            try $0.write(values, to: "/a/b", shape: [2, values.count / 2])
        }
        let array: HDF5Array<Element> = try file.read("/a/b")
        #expect(array.values == values)
        #expect(array.shape == [2, values.count / 2])
    }

    @Test func numbersComeBackExactly() throws {
        try roundTrip([UInt8.min, 1, 200, .max])
        try roundTrip([Int8.min, -1, 1, .max])
        try roundTrip([Int16.min, -1, 1, .max])
        try roundTrip([UInt16.min, 1, 2, .max])
        try roundTrip([Int32.min, -1, 1, .max])
        try roundTrip([UInt32.min, 1, 2, .max])
        try roundTrip([Int64.min, -1, 1, .max])
        try roundTrip([UInt64.min, 1, 2, .max])
        try roundTrip([Float.leastNonzeroMagnitude, -0.0, .infinity, .greatestFiniteMagnitude])
        try roundTrip([Double.leastNonzeroMagnitude, -0.0, .infinity, .pi])
    }

    @Test func emptyAndScalarShapes() throws {
        let file = try reopened {
            try $0.write([Float](), to: "empty", shape: [0, 3])
            try $0.write([Float(7)], to: "scalar", shape: [])
        }
        let empty: HDF5Array<Float> = try file.read("empty")
        #expect(empty.values.isEmpty && empty.shape == [0, 3])
        let scalar: HDF5Array<Float> = try file.read("scalar")
        #expect(scalar.values == [7] && scalar.shape == [])
    }

    @Test(arguments: [HDF5StringStorage.fixed, .variable])
    func strings(_ storage: HDF5StringStorage) throws {
        let strings = ["", "1.2.276.0.7230010.3.1.4", "größer 肺", "a"]
        let file = try reopened {
            try $0.write(strings: strings, to: "ids", storage: storage)
            try $0.write(strings: [], to: "none", storage: storage)
            try $0.write(string: "run:\n  seed: 1\n", to: "text", storage: storage)
        }
        #expect(try file.readStrings("ids") == strings)
        #expect(try file.readStrings("none") == [])
        #expect(try file.readStrings("text") == ["run:\n  seed: 1\n"])
    }

    @Test func attributes() throws {
        let file = try reopened {
            try $0.createGroup("/trainer")
            try $0.setAttribute("step", of: "/trainer", to: .integer(-1))
            try $0.setAttribute("loss", of: "/trainer", to: .float(0.25))
            try $0.setAttribute("name", to: .text("größer"))
            try $0.setAttribute("nothing", to: .text(""))
        }
        #expect(try file.integerAttribute("step", of: "/trainer") == -1)
        #expect(try file.floatAttribute("loss", of: "/trainer") == 0.25)
        #expect(try file.textAttribute("name") == "größer")
        #expect(try file.textAttribute("nothing") == "")
        #expect(try file.attribute("absent") == nil)
        #expect(throws: HDF5Error.self) { try file.integerAttribute("name") }
        #expect(throws: HDF5Error.self) { try file.textAttribute("absent") }
    }

    @Test func namesAndKinds() throws {
        let file = try reopened {
            try $0.write([Float(1)], to: "/model/encoder.conv1.weight")
            try $0.write([Float(1)], to: "/model/encoder.bn1.weight")
            try $0.createGroup("/buffers")
        }
        #expect(try file.names() == ["buffers", "model"])
        #expect(try file.names(in: "/model") == ["encoder.bn1.weight", "encoder.conv1.weight"])
        #expect(try file.kind(of: "/model") == .group)
        #expect(try file.kind(of: "/model/encoder.bn1.weight") == .dataset)
        #expect(try file.kind(of: "/model/absent/deeper") == nil)
        #expect(try file.kind(of: "/") == .group)
    }

    @Test func deflatedChunksAndTheirAddresses() throws {
        let values = (0..<4 * 64).map { UInt8($0 / 64) }
        let path = folder.file("chunks.h5")
        let writing = try HDF5File.create(path)
        try writing.write(
            values,
            to: "plain",
            shape: [4, 8, 8],
            layout: HDF5Layout(chunk: [1, 8, 8], fletcher32: false)
        )
        try writing.write(
            values,
            to: "packed",
            shape: [4, 8, 8],
            layout: HDF5Layout(chunk: [1, 8, 8], deflate: 6, fletcher32: true)
        )
        let growing = try writing.createDataset(
            "growing",
            of: UInt8.self,
            shape: [0, 8, 8],
            maximumShape: [nil, 8, 8],
            layout: HDF5Layout(chunk: [1, 8, 8])
        )
        for row in 0..<4 {
            try growing.resize(to: [row + 1, 8, 8])
            try Array(values[row * 64..<row * 64 + 64]).withUnsafeBytes { try growing.writeChunk($0, at: [row, 0, 0]) }
        }
        try writing.close()

        let file = try HDF5File.open(path)
        let bytes = try #require(FileManager.default.contents(atPath: path))
        for name in ["plain", "packed", "growing"] {
            let dataset = try file.dataset(name)
            #expect(try dataset.read(as: UInt8.self).values == values)
            #expect(try dataset.chunkShape() == [1, 8, 8])
            #expect(try dataset.storedType() == .integer(bits: 8, signed: false))
        }
        for name in ["plain", "growing"] {
            let chunk = try #require(try file.dataset(name).chunk(at: [2, 0, 0]))
            #expect(chunk.bytes == 64 && chunk.filterMask == 0)
            #expect(Array(bytes[chunk.address..<chunk.address + 64]) == Array(values[128..<192]))
        }
        #expect(try #require(try file.dataset("packed").chunk(at: [2, 0, 0])).bytes < 64)
    }

    @Test func contiguousAddressCountsFromTheStartOfTheFile() throws {
        let path = folder.file("block.h5")
        let writing = try HDF5File.create(path, userBlock: 512)
        let early = try writing.createDataset(
            "early",
            of: Float.self,
            shape: [3],
            layout: HDF5Layout(allocatesEarly: true)
        )
        let address = try #require(try early.contiguousAddress())
        try early.write([1, 2, 3] as [Float])
        try writing.close()
        let bytes = try #require(FileManager.default.contents(atPath: path))
        let found = bytes[address..<address + 12].withUnsafeBytes { raw in
            (0..<3).map { raw.loadUnaligned(fromByteOffset: $0 * 4, as: Float.self) }
        }
        #expect(found == [1, 2, 3])
        #expect(Array(bytes[512..<516]) == [0x89] + Array("HDF".utf8))
    }

    @Test func imagesInMemoryAreTheFilesOnDisk() throws {
        func fill(_ file: HDF5File) throws {
            try file.write([Float(1), 2], to: "/model/weight")
            try file.setAttribute("step", to: .integer(3))
        }
        // No times, no addresses of this process: equal contents are equal bytes.
        for name in ["one.h5", "two.h5"] {
            let file = try HDF5File.create(folder.file(name))
            try fill(file)
            try file.close()
        }
        let one = try #require(FileManager.default.contents(atPath: folder.file("one.h5")))
        #expect(one == FileManager.default.contents(atPath: folder.file("two.h5")))

        let read = try HDF5File.open(image: Array(one))
        #expect(try read.read("/model/weight", as: Float.self).values == [1, 2])
        #expect(try read.integerAttribute("step") == 3)
    }

    // MARK: Refusals

    /// What another program is writing is not damaged; what one has left that died may be.
    @Test func aFileThatIsBeingWrittenIsInUse() throws {
        let writer = try HDF5File.create(folder.file("w.h5"))
        try writer.write([1, 2] as [Int16], to: "/a", shape: [2])
        try writer.flush()
        // A copy, since the library knows what this process has open itself.
        try FileManager.default.copyItem(atPath: folder.file("w.h5"), toPath: folder.file("copy.h5"))
        let left = #expect(throws: HDF5Error.self) { _ = try HDF5File.open(folder.file("copy.h5")) }
        #expect(
            left?.code == .damagedFile && left?.detail.contains("h5clear -s") == true,
            "\(String(describing: left))"
        )
        let other = open(folder.file("copy.h5"), O_RDWR)
        #expect(flock(other, LOCK_EX) == 0)
        let held = #expect(throws: HDF5Error.self) { _ = try HDF5File.open(folder.file("copy.h5")) }
        #expect(held?.code == .inUse && held?.exitStatus == .temporary, "\(String(describing: held))")
        close(other)
        try writer.close()
    }

    @Test func refusalsAreTyped() throws {
        let file = try reopened { try $0.write([Float(1), 2], to: "/weight") }
        func code(_ body: () throws -> Void) -> HDF5Error.Code? {
            do {
                try body()
                return nil
            } catch { return (error as? HDF5Error)?.code }
        }
        #expect(code { _ = try HDF5File.open(folder.file("absent.h5")) } == .missingFile)
        #expect(code { _ = try HDF5File.open(folder.path) } == .damagedFile)
        #expect(code { _ = try file.dataset("/absent/weight") } == .missingObject)
        #expect(code { _ = try file.dataset("/") } == .mismatch)
        #expect(code { _ = try file.read("/weight", as: Double.self) } == .mismatch)
        #expect(code { _ = try file.readStrings("/weight") } == .mismatch)
        #expect(code { _ = try file.read("/weight", as: Float.self, limit: 7) } == .tooLarge)
        #expect(code { _ = try HDF5File.create(folder.file("a.h5")) } != nil)
        try file.close()
        try file.close()
        #expect(code { _ = try file.names() } == .misuse)
    }

    @Test func textThatIsNotHDF5IsRefusedWithTheReason() throws {
        let path = folder.file("page.h5")
        try Data("<html>429 Too Many Requests</html>".utf8).write(to: URL(fileURLWithPath: path))
        let error = #expect(throws: HDF5Error.self) { try HDF5File.open(path) }
        #expect(error?.code == .damagedFile)
        #expect(error?.description.contains(path) == true)
        #expect(error?.description.contains("signature") == true)
    }

    @Test func cutFilesAreRefused() throws {
        let path = folder.file("cut.h5")
        let file = try HDF5File.create(path)
        try file.write([Float](repeating: 1, count: 10_000), to: "weight")
        try file.close()
        let bytes = try #require(FileManager.default.contents(atPath: path))
        try bytes.prefix(bytes.count / 2).write(to: URL(fileURLWithPath: path))
        #expect(throws: HDF5Error.self) { try HDF5File.open(path) }
    }

    @Test func aClaimOfATerabyteTakesNoMemory() throws {
        // Chunks that were never written take no space, so a small file may claim any size.
        let file = try reopened {
            _ = try $0.createDataset(
                "huge",
                of: UInt8.self,
                shape: [1 << 40],
                layout: HDF5Layout(chunk: [1 << 20])
            )
            _ = try $0.createDataset(
                "overflow",
                of: Double.self,
                shape: [1 << 31, 1 << 31],
                layout: HDF5Layout(chunk: [1, 1 << 20])
            )
        }
        for name in ["huge", "overflow"] {
            let error = #expect(throws: HDF5Error.self) {
                if name == "huge" {
                    _ = try file.read(name, as: UInt8.self)
                } else {
                    _ = try file.read(name, as: Double.self)
                }
            }
            #expect(error?.code == .tooLarge)
        }
    }

    /// HDF5 takes whole chunks into memory, however small they are in the file.
    @Test func chunksThatNobodyWritesAreNotTakenIntoMemory() throws {
        let file = try HDF5File.create(folder.file("chunks.h5"))
        let layout = HDF5Layout(chunk: [300 << 20], deflate: 9)
        _ = try file.createDataset("large", of: UInt8.self, shape: [300 << 20], layout: layout)
        let error = #expect(throws: HDF5Error.self) { _ = try file.read("large", as: UInt8.self) }
        #expect(error?.code == .tooLarge && error?.description.contains("chunks") == true)
    }

    /// Two deflates make a few kilobytes of any number of bytes. Written by h5py, since nothing here would.
    @Test func filtersAreThoseOfAShard() throws {
        let path = folder.file("twice.h5")
        let script = """
            import sys, h5py, numpy
            with h5py.File(sys.argv[1], 'w') as f:
                p = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
                p.set_chunk((1000,)); p.set_deflate(9); p.set_filter(1, 0, (9,))
                d = h5py.h5d.create(f.id, b'twice', h5py.h5t.NATIVE_UINT8, h5py.h5s.create_simple((1000,)), p)
                d.write(h5py.h5s.ALL, h5py.h5s.ALL, numpy.zeros(1000, numpy.uint8))
                f.create_dataset('once', data=numpy.zeros(1000, numpy.uint8), chunks=(1000,), compression=9,
                                 shuffle=True, fletcher32=True)
            """
        guard try python(script, path) else { return }
        let file = try HDF5File.open(path)
        let error = #expect(throws: HDF5Error.self) { _ = try file.read("twice", as: UInt8.self) }
        #expect(error?.code == .mismatch && error?.description.contains("filters") == true)
        #expect(try file.read("once", as: UInt8.self).values.count == 1000)
    }

    /// Files of others can name any file of this machine, or themselves.
    @Test func nothingIsReadFromElsewhere() throws {
        let path = folder.file("elsewhere.h5")
        let script = """
            import sys, os, h5py, numpy
            other = sys.argv[1] + '.other'
            open(other, 'wb').write(bytes(range(100)))
            with h5py.File(sys.argv[1], 'w') as f:
                f['own'] = numpy.arange(3, dtype='u1')
                f['soft'] = h5py.SoftLink('/own')
                f['outer'] = h5py.ExternalLink(other, '/own')
                f.create_dataset('stored', (100,), 'u1', external=[(other, 0, 100)])
                layout = h5py.VirtualLayout((3,), 'u1')
                layout[:] = h5py.VirtualSource('.', 'loop', (3,), 'u1')
                f.create_virtual_dataset('loop', layout)
                g = f.create_group('group')
                f['way'] = h5py.SoftLink('/group')
                f['group/own'] = numpy.arange(3, dtype='u1')
                s = f.create_dataset('shared', (48,), h5py.string_dtype())
                s[:] = ['x' * 4_000_000] * 48
                f.create_dataset('strings', data=['one', 'two'])
            """
        guard try python(script, path) else { return }
        let file = try HDF5File.open(path)
        for name in ["soft", "outer", "stored", "loop", "way/own"] {
            let error = #expect(throws: HDF5Error.self, "\(name)") { _ = try file.read(name, as: UInt8.self) }
            #expect(error?.code == .mismatch, "\(name)")
        }
        #expect(throws: HDF5Error.self) { try file.readStrings("shared") }
        #expect(try file.readStrings("strings") == ["one", "two"])
        #expect(try file.read("group/own", as: UInt8.self).values == [0, 1, 2])
    }

    /// False where there is no python3 with h5py.
    private func python(_ script: String, _ argument: String) throws -> Bool {
        func run(_ script: String) throws -> Bool {
            let process = Process()
            process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
            process.arguments = ["python3", "-c", script, argument]
            process.standardError = FileHandle.nullDevice
            try process.run()
            process.waitUntilExit()
            return process.terminationStatus == 0
        }
        guard try run("import h5py, numpy") else {
            print("SKIPPED: two deflates, because python3 with h5py is not installed here")
            return false
        }
        #expect(try run(script))
        return true
    }

    @Test func namesThatCannotBeStoredAreRefused() throws {
        let file = try HDF5File.create(folder.file("names.h5"))
        for name in ["", "/", "a/../b", ".", "a\0b"] {
            #expect(throws: HDF5Error.self) { try file.write([Float(1)], to: name) }
        }
        #expect(throws: HDF5Error.self) { try file.write(strings: ["a\0b"], to: "ids") }
    }

    @Test func manyThreadsShareTheLibrary() async throws {
        let file = try reopened { file in
            for number in 0..<16 { try file.write([Int32](repeating: Int32(number), count: 1000), to: "/\(number)") }
        }
        try await withThrowingTaskGroup(of: Bool.self) { group in
            for number in 0..<64 {
                group.addTask {
                    let values: HDF5Array<Int32> = try file.read("/\(number % 16)")
                    return values.values.allSatisfy { $0 == number % 16 }
                }
                // Handles that die inside others' calls must not deadlock.
                group.addTask { try file.dataset("/\(number % 16)").shape() == [1000] }
            }
            for try await isRight in group { #expect(isRight) }
        }
    }
}
