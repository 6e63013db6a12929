internal import CZlib
internal import HDF5IO
import Platform

/// Reads the pixels of one shard, from any thread, without HDF5.
struct ShardReader: Sendable {
    let index: ShardIndex
    private let file: OpenFile

    /// Reads the index through HDF5 and keeps the file open.
    init(_ path: String) throws {
        index = try ShardIndex(reading: path)
        file = try OpenFile(path, .read)
    }

    var path: String { index.path }
    var count: Int { index.count }

    func readImage(_ sample: Int, into buffer: UnsafeMutableRawBufferPointer) throws {
        try read(index.images, sample, into: buffer)
    }

    func readMask(_ sample: Int, into buffer: UnsafeMutableRawBufferPointer) throws {
        try read(index.masks, sample, into: buffer)
    }

    private func read(
        _ planes: ShardIndex.Planes,
        _ sample: Int,
        into buffer: UnsafeMutableRawBufferPointer
    ) throws {
        let location = planes.locations[sample]
        precondition(buffer.count == index.schema.planeBytes, "the buffer must hold one plane")
        if !index.isDeflated {
            try readStored(planes, sample, into: buffer)
            return
        }
        let stored = UnsafeMutableRawBufferPointer.allocate(byteCount: location.bytes, alignment: 64)
        defer { stored.deallocate() }
        try readStored(planes, sample, into: stored)
        var count = uLongf(buffer.count)
        let status = uncompress(
            buffer.baseAddress?.assumingMemoryBound(to: UInt8.self),
            &count,
            stored.baseAddress?.assumingMemoryBound(to: UInt8.self),
            uLong(stored.count)
        )
        guard status == Z_OK, Int(count) == buffer.count,
            XXH3.hash64(UnsafeRawBufferPointer(buffer)) == planes.contentHashes[sample]
        else {
            throw index.defect(
                .malformed,
                sample: sample,
                "its chunk of \(planes.name) does not inflate to what was deflated"
            )
        }
    }

    /// Reads a chunk as it is stored and checks its hash.
    private func readStored(
        _ planes: ShardIndex.Planes,
        _ sample: Int,
        into buffer: UnsafeMutableRawBufferPointer
    ) throws {
        guard try file.read(at: planes.locations[sample].address, into: buffer) == buffer.count else {
            throw index.defect(.truncated, sample: sample, "the file ends inside its chunk of \(planes.name)")
        }
        guard XXH3.hash64(UnsafeRawBufferPointer(buffer)) == planes.storedHashes[sample] else {
            throw index.defect(
                .wrongHash,
                sample: sample,
                "the bytes of its chunk of \(planes.name) are not those that were written; make the shard again"
            )
        }
    }

    // MARK: Verification

    /// The whole sample, decoded.
    func sample(_ sample: Int) throws -> ShardSample {
        let bytes = index.schema.planeBytes
        var (image, mask) = ([UInt8](repeating: 0, count: bytes), [UInt8](repeating: 0, count: bytes))
        try image.withUnsafeMutableBytes { try readImage(sample, into: $0) }
        try mask.withUnsafeMutableBytes { try readMask(sample, into: $0) }
        return ShardSample(
            id: index.ids[sample],
            image: image,
            mask: mask,
            runs: Array(index.runs(of: sample)),
            metadata: index.metadata[sample]
        )
    }

    /// Reads every sample and compares it with its digest; returns what is wrong and, if nothing is, the record.
    ///
    /// The SHA-256 of the file is taken too, and is right by definition when there is nothing to compare it with.
    func verify() throws -> (record: ShardRecord?, defects: [StorageDefect]) {
        var defects: [StorageDefect] = []
        var (sum, squares): (UInt64, UInt64) = (0, 0)
        for number in 0..<count {
            do {
                let sample = try sample(number)
                guard sample.fault(under: index.schema) == nil,
                    sample.digest(under: index.schema) == index.digests[number]
                else {
                    defects.append(
                        index.defect(
                            .wrongHash,
                            sample: number,
                            "its id, runs, metadata or pixels do not fit its digest"
                        )
                    )
                    continue
                }
                for pixel in sample.image {
                    sum &+= UInt64(pixel)
                    squares &+= UInt64(pixel) &* UInt64(pixel)
                }
            } catch let defect as StorageDefect {
                defects.append(defect)
            }
        }
        guard defects.isEmpty else { return (nil, defects) }
        guard let sha256 = try file.sha256() else {
            return (nil, [StorageDefect(.truncated, file: path, "it became shorter while it was read")])
        }
        let positives = (0..<count).count { !index.runs(of: $0).isEmpty }
        let record = ShardRecord(
            file: FileSystem.name(of: path),
            samples: count,
            positives: positives,
            bytes: try file.size(),
            sha256: sha256,
            contentDigest: index.contentDigest,
            sourceDigest: index.sourceDigest,
            pixelSum: sum,
            pixelSquareSum: squares,
            indexDigest: index.digest
        )
        return (record, [])
    }
}
