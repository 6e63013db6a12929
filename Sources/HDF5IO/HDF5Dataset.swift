internal import CHDF5

/// Where a chunk's stored bytes lie in the file.
package struct HDF5ChunkLocation: Equatable, Sendable {
    /// Bytes from the start of the file.
    package let address: Int
    /// Stored bytes, after the filters.
    package let bytes: Int
    /// A bit for each filter of the dataset that was skipped for this chunk.
    package let filterMask: UInt32
}

/// A dataset of an open file; keeps the file open.
///
/// Thread-safe as `HDF5File` is.
package final class HDF5Dataset: Sendable {
    package let file: HDF5File
    /// The name it was opened under.
    package let name: String
    let identifier: HDF5Identifier

    init(file: HDF5File, name: String, identifier: HDF5Identifier) {
        self.file = file
        self.name = name
        self.identifier = identifier
    }

    var context: HDF5Context { HDF5Context(file: file.path, object: name) }

    // MARK: Description

    /// The dataset's dimensions; empty for a scalar.
    package func shape() throws(HDF5Error) -> [Int] {
        try HDF5Library.locked { () throws(HDF5Error) -> [Int] in
            try file.requireOpen()
            let space = try context.own(H5Dget_space(identifier.raw), "read the shape of", close: H5Sclose)
            return try dimensions(of: space)
        }
    }

    /// How an element is stored.
    package func storedType() throws(HDF5Error) -> HDF5StoredType {
        try HDF5Library.locked { () throws(HDF5Error) -> HDF5StoredType in
            try file.requireOpen()
            let type = try context.own(H5Dget_type(identifier.raw), "read the type of", close: H5Tclose)
            return .of(type.raw)
        }
    }

    /// The shape of its chunks, or nil if it has none.
    package func chunkShape() throws(HDF5Error) -> [Int]? {
        let rank = try shape().count
        return try HDF5Library.locked { () throws(HDF5Error) -> [Int]? in
            try file.requireOpen()
            let operation = "read the layout of"
            let creation = try context.own(H5Dget_create_plist(identifier.raw), operation, close: H5Pclose)
            guard H5Pget_layout(creation.raw) == H5D_CHUNKED else { return nil }
            var sizes = [hsize_t](repeating: 0, count: rank)
            let found = try context.check(H5Pget_chunk(creation.raw, Int32(rank), &sizes), operation)
            guard found == rank, sizes.allSatisfy({ $0 <= hsize_t(Int32.max) }) else {
                throw context.error(.damagedFile, operation, "its chunks have an impossible shape")
            }
            return sizes.map { Int($0) }
        }
    }

    /// The dimensions of a dataspace.
    ///
    /// Call it inside the lock.
    func dimensions(of space: HDF5Identifier) throws(HDF5Error) -> [Int] {
        let operation = "read the shape of"
        let rank = Int(try context.check(H5Sget_simple_extent_ndims(space.raw), operation, code: .damagedFile))
        if rank == 0 {
            guard H5Sget_simple_extent_type(space.raw) == H5S_SCALAR else {
                throw context.error(.mismatch, operation, "it holds no elements at all")
            }
            return []
        }
        var sizes = [hsize_t](repeating: 0, count: rank)
        let status = H5Sget_simple_extent_dims(space.raw, &sizes, nil)
        try context.check(status, operation, code: .damagedFile)
        var shape: [Int] = []
        for size in sizes {
            guard let dimension = Int(exactly: size) else {
                throw context.error(.tooLarge, operation, "a dimension of \(size) is impossible")
            }
            shape.append(dimension)
        }
        return shape
    }

    // MARK: Addresses

    /// Where a contiguous dataset's bytes start in the file; nil if none are allocated.
    package func contiguousAddress() throws(HDF5Error) -> Int? {
        try HDF5Library.locked { () throws(HDF5Error) -> Int? in
            try file.requireOpen()
            let address = H5Dget_offset(identifier.raw)
            return address == chdf5_undefined_address() ? nil : Int(exactly: address)
        }
    }

    /// Where the chunk that holds the element at `coordinates` lies; nil if it has not been written.
    ///
    /// Asking by coordinates takes a look-up in the chunk index; asking by number would walk it each time. The address
    /// counts from the start of a file without user block.
    package func chunk(at coordinates: [Int]) throws(HDF5Error) -> HDF5ChunkLocation? {
        try HDF5Library.locked { () throws(HDF5Error) -> HDF5ChunkLocation? in
            try file.requireOpen()
            var mask: UInt32 = 0
            var address: haddr_t = 0
            var bytes: hsize_t = 0
            let place = coordinates.map { hsize_t($0) }
            let status = H5Dget_chunk_info_by_coord(identifier.raw, place, &mask, &address, &bytes)
            try context.check(status, "find the chunk \(coordinates) of", code: .damagedFile)
            if address == chdf5_undefined_address() { return nil }
            guard let address = Int(exactly: address), let bytes = Int(exactly: bytes) else {
                throw context.error(.damagedFile, "find the chunk \(coordinates) of", "its address is impossible")
            }
            return HDF5ChunkLocation(address: address, bytes: bytes, filterMask: mask)
        }
    }

    // MARK: Writing

    /// Writes all elements, in C order.
    package func write<Element: HDF5Element>(_ values: [Element]) throws(HDF5Error) {
        let expected = try shape()
        guard elementCount(expected) == values.count else {
            throw context.error(.misuse, "write", "\(values.count) elements do not fill the shape \(expected)")
        }
        let stored = try storedType()
        try HDF5Library.locked { () throws(HDF5Error) in
            try file.requireOpen()
            guard stored == Element.hdf5Type, let type = stored.nativeNumber else {
                throw context.error(.misuse, "write", "it holds \(stored), not \(Element.hdf5Type)")
            }
            let all = chdf5_space_all()
            let status = values.withUnsafeBytes {
                $0.isEmpty
                    ? 0 : H5Dwrite(identifier.raw, type, all, all, chdf5_property_default(), $0.baseAddress)
            }
            try context.check(status, "write")
        }
    }

    /// Writes one chunk's stored bytes as they are, past the filters: deflate them before, if the dataset deflates.
    package func writeChunk(
        _ bytes: UnsafeRawBufferPointer,
        at coordinates: [Int],
        filterMask: UInt32 = 0
    ) throws(HDF5Error) {
        try HDF5Library.locked { () throws(HDF5Error) in
            try file.requireOpen()
            let place = coordinates.map { hsize_t($0) }
            let status = H5Dwrite_chunk(
                identifier.raw,
                chdf5_property_default(),
                filterMask,
                place,
                bytes.count,
                bytes.baseAddress
            )
            try context.check(status, "write the chunk \(coordinates) of")
        }
    }

    /// Changes the dimensions, within the maximum shape it was created with.
    package func resize(to shape: [Int]) throws(HDF5Error) {
        try HDF5Library.locked { () throws(HDF5Error) in
            try file.requireOpen()
            let sizes = shape.map { hsize_t(clamping: $0) }
            try context.check(H5Dset_extent(identifier.raw, sizes), "resize")
        }
    }

    // MARK: Reading

    /// Reads all elements, in C order.
    ///
    /// The size is checked against the file's own and against `limit` before memory is taken; the stored type must be
    /// `Element`'s own.
    package func read<Element: HDF5Element>(
        as element: Element.Type = Element.self,
        limit: Int = .max
    ) throws(HDF5Error) -> HDF5Array<Element> {
        let shape = try shape()
        let stored = try storedType()
        guard stored == element.hdf5Type else {
            throw context.error(.mismatch, "read", "expected \(element.hdf5Type), found \(stored)")
        }
        let count = try plausibleCount(shape, elementBytes: MemoryLayout<Element>.stride, limit: limit)
        return try HDF5Library.locked { () throws(HDF5Error) -> HDF5Array<Element> in
            try file.requireOpen()
            guard let type = stored.nativeNumber else {
                throw context.error(.mismatch, "read", "\(stored) is not a number")
            }
            var values = [Element](repeating: Element.hdf5Zero, count: count)
            let all = chdf5_space_all()
            let status = values.withUnsafeMutableBytes {
                $0.isEmpty
                    ? 0 : H5Dread(identifier.raw, type, all, all, chdf5_property_default(), $0.baseAddress)
            }
            try context.check(status, "read", code: .damagedFile)
            return HDF5Array(values: values, shape: shape)
        }
    }

    /// Throws unless the elements lie in the file itself.
    ///
    /// HDF5 would read those that lie elsewhere from any file that it may open, and follows a dataset that is made of
    /// itself until the stack is full.
    func requireOwnStorage() throws(HDF5Error) {
        try HDF5Library.locked { () throws(HDF5Error) in
            let operation = "read the layout of"
            let creation = try context.own(H5Dget_create_plist(identifier.raw), operation, close: H5Pclose)
            let layout = H5Pget_layout(creation.raw)
            guard [H5D_COMPACT, H5D_CONTIGUOUS, H5D_CHUNKED].contains(layout), H5Pget_external_count(creation.raw) == 0
            else { throw context.error(.mismatch, "open", "its elements lie in other datasets or files") }
        }
    }

    /// The most bytes of a chunk that is read whole, before its filters.
    private static let largestChunk = 256 << 20

    /// Throws where reading would take memory that the elements do not need.
    ///
    /// HDF5 takes a whole chunk into memory, after each of its filters, whatever part of it is asked for: a chunk of a few
    /// kilobytes that is deflated twice can inflate to terabytes.
    private func requirePlausibleChunks(elementBytes: Int) throws(HDF5Error) {
        guard let chunk = try chunkShape() else { return }
        guard let bytes = elementCount(chunk + [max(1, elementBytes)]), bytes <= Self.largestChunk,
            bytes <= file.plausibleBytes
        else {
            throw context.error(.tooLarge, "read", "its chunks of \(chunk) elements are larger than any that are read")
        }
        let filters = try filters()
        let known = [H5Z_FILTER_DEFLATE, H5Z_FILTER_SHUFFLE, H5Z_FILTER_FLETCHER32]
        guard Set(filters).count == filters.count, filters.allSatisfy({ known.contains($0) }) else {
            throw context.error(.mismatch, "read", "its filters \(filters) are not those of a shard or checkpoint")
        }
    }

    /// The numbers of the filters that its chunks pass through, in their order.
    private func filters() throws(HDF5Error) -> [Int32] {
        try HDF5Library.locked { () throws(HDF5Error) -> [Int32] in
            try file.requireOpen()
            let operation = "read the filters of"
            let creation = try context.own(H5Dget_create_plist(identifier.raw), operation, close: H5Pclose)
            let count = try context.check(H5Pget_nfilters(creation.raw), operation)
            var result: [Int32] = []
            for index in 0..<max(0, count) {
                var flags: UInt32 = 0
                var values = 0
                var configuration: UInt32 = 0
                let number = H5Pget_filter2(creation.raw, UInt32(index), &flags, &values, nil, 0, nil, &configuration)
                result.append(try context.check(number, operation))
            }
            return result
        }
    }

    /// The number of elements, after the checks against sizes that the file cannot hold.
    func plausibleCount(_ shape: [Int], elementBytes: Int, limit: Int) throws(HDF5Error) -> Int {
        try requirePlausibleChunks(elementBytes: elementBytes)
        let bytes = elementCount(shape + [elementBytes])
        guard let bytes, bytes <= file.plausibleBytes, bytes <= limit else {
            let bound = min(file.plausibleBytes, limit)
            throw context.error(
                .tooLarge,
                "read",
                "its shape \(shape) claims more than the \(bound) bytes that are plausible"
            )
        }
        return elementBytes == 0 ? 0 : bytes / elementBytes
    }
}
