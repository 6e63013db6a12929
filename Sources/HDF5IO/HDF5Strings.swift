internal import CHDF5
internal import Glibc

/// How strings are stored.
package enum HDF5StringStorage: Equatable, Sendable {
    /// UTF-8 padded with zeros to the longest of them; compact, and read without following addresses in the file.
    case fixed
    /// UTF-8 in HDF5's global heap, each of its own length.
    case variable
}

extension HDF5File {
    /// Creates a one-dimensional dataset of strings.
    package func write(
        strings: [String],
        to name: String,
        storage: HDF5StringStorage = .fixed
    ) throws(HDF5Error) {
        try write(strings: strings, shape: [strings.count], to: name, storage: storage)
    }

    /// Creates a dataset of one string without dimensions; h5py reads it with `f[name][()]`.
    package func write(
        string: String,
        to name: String,
        storage: HDF5StringStorage = .fixed,
        layout: HDF5Layout = .contiguous
    ) throws(HDF5Error) {
        try write(strings: [string], shape: [], to: name, storage: storage, layout: layout)
    }

    private func write(
        strings: [String],
        shape: [Int],
        to name: String,
        storage: HDF5StringStorage,
        layout: HDF5Layout = .contiguous
    ) throws(HDF5Error) {
        let context = HDF5Context(file: path, object: name)
        guard !strings.contains(where: { $0.utf8.contains(0) }) else {
            throw context.error(.misuse, "write", "a string holds a zero byte")
        }
        try HDF5Library.locked { () throws(HDF5Error) in
            try requireOpen()
            let width = max(1, strings.map { $0.utf8.count }.max() ?? 1)
            let type = try HDF5StoredType.makeStringType(bytes: storage == .fixed ? width : nil, context: context)
            let dataset = try createDataset(name, type: type.raw, shape: shape, layout: layout)
            if strings.isEmpty { return }
            let status = withEncoded(strings, width: storage == .fixed ? width : nil) { pointer in
                let all = chdf5_space_all()
                return H5Dwrite(dataset.identifier.raw, type.raw, all, all, chdf5_property_default(), pointer)
            }
            try context.check(status, "write")
        }
    }

    /// Reads a dataset of strings, of fixed or variable length; `limit` bounds their bytes.
    package func readStrings(_ name: String, limit: Int = 1 << 30) throws(HDF5Error) -> [String] {
        let dataset = try dataset(name)
        let shape = try dataset.shape()
        switch try dataset.storedType() {
        case .fixedString(let bytes):
            let count = try dataset.plausibleCount(shape, elementBytes: bytes, limit: limit)
            return try readFixed(dataset, count: count, width: bytes)
        case .variableString:
            let count = try dataset.plausibleCount(shape, elementBytes: 16, limit: limit)
            return try readVariable(dataset, count: count, limit: limit)
        case let other:
            throw dataset.context.error(.mismatch, "read", "expected strings, found \(other)")
        }
    }

    private func readFixed(_ dataset: HDF5Dataset, count: Int, width: Int) throws(HDF5Error) -> [String] {
        let context = dataset.context
        var bytes = [UInt8](repeating: 0, count: count * width)
        if !bytes.isEmpty {
            try HDF5Library.locked { () throws(HDF5Error) in
                try requireOpen()
                let type = try context.own(H5Dget_type(dataset.identifier.raw), "read", close: H5Tclose)
                let all = chdf5_space_all()
                let status = bytes.withUnsafeMutableBytes {
                    H5Dread(dataset.identifier.raw, type.raw, all, all, chdf5_property_default(), $0.baseAddress)
                }
                try context.check(status, "read", code: .damagedFile)
            }
        }
        return try decode(bytes, count: count, width: width, context: context)
    }

    /// The most bytes that strings may have on average.
    private static var usualStringBytes: Int { 64 << 10 }

    private func readVariable(_ dataset: HDF5Dataset, count: Int, limit: Int) throws(HDF5Error) -> [String] {
        let context = dataset.context
        if count == 0 { return [] }
        return try HDF5Library.locked { () throws(HDF5Error) -> [String] in
            try requireOpen()
            let type = try context.own(H5Dget_type(dataset.identifier.raw), "read", close: H5Tclose)
            let space = try context.own(H5Dget_space(dataset.identifier.raw), "read", close: H5Sclose)
            // Any number of strings can share one place in the file, and each takes memory of its own: it is counted while
            // it is taken. (H5Dvlen_get_buf_size of libhdf5 1.10.8 crashes.)
            let transfer = try context.own(H5Pcreate(chdf5_property_transfer()), "read", close: H5Pclose)
            let most = min(limit, count.multipliedReportingOverflow(by: Self.usualStringBytes).partialValue)
            let left = UnsafeMutablePointer<Int>.allocate(capacity: 1)
            left.initialize(to: max(0, most))
            defer { left.deallocate() }
            try context.check(
                H5Pset_vlen_mem_manager(transfer.raw, chdf5_allocate_counted, left, chdf5_free_counted, nil),
                "read"
            )
            var pointers = [UnsafeMutablePointer<CChar>?](repeating: nil, count: count)
            let all = chdf5_space_all()
            let status = pointers.withUnsafeMutableBytes {
                H5Dread(dataset.identifier.raw, type.raw, all, all, transfer.raw, $0.baseAddress)
            }
            if status < 0 && left.pointee < 0 {
                // Those that were read before it.
                for pointer in pointers { free(pointer) }
                throw context.error(.tooLarge, "read", "its \(count) strings take more than the \(most) bytes allowed")
            }
            try context.check(status, "read", code: .damagedFile)
            let strings = pointers.map { pointer in
                pointer.map { String(validatingCString: $0) } ?? ""
            }
            let reclaimed = pointers.withUnsafeMutableBytes {
                H5Dvlen_reclaim(type.raw, space.raw, transfer.raw, $0.baseAddress)
            }
            try context.check(reclaimed, "read")
            var result: [String] = []
            for string in strings {
                guard let string else { throw context.error(.damagedFile, "read", "a string is not UTF-8") }
                result.append(string)
            }
            return result
        }
    }
}

/// Splits padded strings; a string that is not UTF-8 is an error, not a replacement character.
func decode(_ bytes: [UInt8], count: Int, width: Int, context: HDF5Context) throws(HDF5Error) -> [String] {
    var strings: [String] = []
    strings.reserveCapacity(count)
    for index in 0..<count {
        let field = bytes[index * width..<(index + 1) * width]
        guard let string = String(validating: field.prefix { $0 != 0 }, as: UTF8.self) else {
            throw context.error(.damagedFile, "read", "string \(index) is not UTF-8")
        }
        strings.append(string)
    }
    return strings
}

/// Lends `strings` in the form that HDF5 reads: padded to `width`, or as an array of C strings if `width` is nil.
func withEncoded(_ strings: [String], width: Int?, _ body: (UnsafeRawPointer?) -> herr_t) -> herr_t {
    var bytes: [UInt8] = []
    if let width {
        bytes.reserveCapacity(strings.count * width)
        for string in strings {
            bytes.append(contentsOf: string.utf8)
            bytes.append(contentsOf: repeatElement(0, count: width - string.utf8.count))
        }
        return bytes.withUnsafeBytes { body($0.baseAddress) }
    }
    var starts: [Int] = []
    for string in strings {
        starts.append(bytes.count)
        bytes.append(contentsOf: string.utf8)
        bytes.append(0)
    }
    return bytes.withUnsafeBytes { text in
        let pointers = starts.map { text.baseAddress?.advanced(by: $0) }
        return pointers.withUnsafeBytes { body($0.baseAddress) }
    }
}
