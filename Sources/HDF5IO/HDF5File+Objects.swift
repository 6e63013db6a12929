internal import CHDF5

/// How a dataset's elements lie in its file.
package struct HDF5Layout: Equatable, Sendable {
    /// The shape of a chunk; nil for one contiguous block.
    package var chunk: [Int]?
    /// The level of deflate, 1 to 9; nil for none.
    ///
    /// Needs chunks.
    package var deflate: Int?
    /// Whether HDF5 keeps a checksum of each chunk.
    ///
    /// Needs chunks.
    package var fletcher32: Bool
    /// Whether the space is taken when the dataset is created, so that its address is known at once.
    package var allocatesEarly: Bool

    /// One block, allocated when first written.
    package static let contiguous = HDF5Layout()

    package init(chunk: [Int]? = nil, deflate: Int? = nil, fletcher32: Bool = false, allocatesEarly: Bool = false) {
        self.chunk = chunk
        self.deflate = deflate
        self.fletcher32 = fletcher32
        self.allocatesEarly = allocatesEarly
    }
}

/// The kinds of object that a file holds.
package enum HDF5ObjectKind: Equatable, Sendable {
    case group
    case dataset
    case other
}

/// A number array as read: its values in C order and its shape.
package struct HDF5Array<Element: HDF5Element>: Sendable {
    package let values: [Element]
    /// Empty for a scalar.
    package let shape: [Int]
}

extension HDF5File {
    // MARK: Groups and links

    /// Creates a group, and the groups above it that do not exist yet.
    package func createGroup(_ name: String) throws(HDF5Error) {
        let context = HDF5Context(file: path, object: name)
        try HDF5Library.locked { () throws(HDF5Error) in
            try requireOpen()
            try requireStorable(name, context)
            let links = try makeLinkCreation(of: name, context)
            let creation = try context.own(H5Pcreate(chdf5_property_group_create()), "create", close: H5Pclose)
            try context.check(H5Pset_obj_track_times(creation.raw, false), "create")
            let raw = H5Gcreate2(identifier.raw, name, links.raw, creation.raw, chdf5_property_default())
            _ = try context.own(raw, "create", close: H5Gclose)
        }
    }

    /// The names in a group, in order of their bytes.
    package func names(in group: String = "/") throws(HDF5Error) -> [String] {
        let context = HDF5Context(file: path, object: group)
        return try HDF5Library.locked { () throws(HDF5Error) -> [String] in
            try requireOpen()
            let access = chdf5_property_default()
            var info = H5G_info_t()
            let status = H5Gget_info_by_name(identifier.raw, group, &info, access)
            try context.check(status, "list", code: .missingObject)
            // By number takes the square of the count: 20,000 names take 20 s.
            guard info.nlinks <= 8192 else {
                throw context.error(.tooLarge, "list", "it holds \(info.nlinks) objects, and no file of ours so many")
            }
            var names: [String] = []
            for index in 0..<info.nlinks {
                let length = H5Lget_name_by_idx(
                    identifier.raw,
                    group,
                    H5_INDEX_NAME,
                    H5_ITER_INC,
                    index,
                    nil,
                    0,
                    access
                )
                try context.check(length, "list", code: .damagedFile)
                guard length < 1 << 16 else {
                    throw context.error(.tooLarge, "list", "a name in it claims \(length) bytes")
                }
                var bytes = [CChar](repeating: 0, count: length + 1)
                let read = H5Lget_name_by_idx(
                    identifier.raw,
                    group,
                    H5_INDEX_NAME,
                    H5_ITER_INC,
                    index,
                    &bytes,
                    bytes.count,
                    access
                )
                try context.check(read, "list", code: .damagedFile)
                names.append(String(decoding: bytes.prefix(length).map { UInt8(bitPattern: $0) }, as: UTF8.self))
            }
            return names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        }
    }

    /// What stands under a name, or nil if nothing does.
    package func kind(of name: String) throws(HDF5Error) -> HDF5ObjectKind? {
        let context = HDF5Context(file: path, object: name)
        return try HDF5Library.locked { () throws(HDF5Error) -> HDF5ObjectKind? in
            try requireOpen()
            // H5Lexists asks about the last component only and fails when one above is missing.
            var prefix = ""
            for part in name.split(separator: "/") {
                prefix += "/" + part
                let exists = H5Lexists(identifier.raw, prefix, chdf5_property_default())
                if try context.check(exists, "look up", code: .damagedFile) == 0 { return nil }
                // What a link names may be any file of this machine, or a pipe that is waited for.
                guard chdf5_link_kind(identifier.raw, prefix) == chdf5_link_kind_own() else {
                    throw context.error(.mismatch, "open", "\(prefix) is a link to elsewhere; no file of ours has one")
                }
            }
            let raw = H5Oopen(identifier.raw, prefix.isEmpty ? "/" : prefix, chdf5_property_default())
            let object = try context.own(raw, "open", code: .damagedFile, close: H5Oclose)
            switch H5Iget_type(object.raw) {
            case H5I_GROUP: return .group
            case H5I_DATASET: return .dataset
            default: return .other
            }
        }
    }

    /// Refuses names that HDF5 or a C string would read as something else.
    func requireStorable(_ name: String, _ context: HDF5Context) throws(HDF5Error) {
        let parts = name.split(separator: "/")
        let isBad = parts.isEmpty || name.utf8.contains(0) || parts.contains { $0 == "." || $0 == ".." }
        if isBad { throw context.error(.misuse, "create", "HDF5 cannot store an object of that name") }
    }

    /// Links named in UTF-8; the groups above `name` that do not exist yet are created.
    ///
    /// One by one and not by HDF5's own intermediate groups, which carry the time of their creation whatever is asked:
    /// equal contents would give unequal files.
    func makeLinkCreation(of name: String, _ context: HDF5Context) throws(HDF5Error) -> HDF5Identifier {
        let links = try context.own(H5Pcreate(chdf5_property_link_create()), "create", close: H5Pclose)
        try context.check(H5Pset_char_encoding(links.raw, H5T_CSET_UTF8), "create")
        var prefix = ""
        for part in name.split(separator: "/").dropLast() {
            prefix += "/\(part)"
            let exists = H5Lexists(identifier.raw, prefix, chdf5_property_default())
            if exists > 0 { continue }
            let creation = try context.own(H5Pcreate(chdf5_property_group_create()), "create", close: H5Pclose)
            try context.check(H5Pset_obj_track_times(creation.raw, false), "create")
            let raw = H5Gcreate2(identifier.raw, prefix, links.raw, creation.raw, chdf5_property_default())
            _ = try context.own(raw, "create", close: H5Gclose)
        }
        return links
    }

    // MARK: Datasets

    /// Creates a dataset of numbers; its elements are undefined until written.
    ///
    /// `maximumShape` may have nil for a dimension that can grow without limit (needs chunks).
    package func createDataset<Element: HDF5Element>(
        _ name: String,
        of element: Element.Type,
        shape: [Int],
        maximumShape: [Int?]? = nil,
        layout: HDF5Layout = .contiguous
    ) throws(HDF5Error) -> HDF5Dataset {
        let context = HDF5Context(file: path, object: name)
        return try HDF5Library.locked { () throws(HDF5Error) -> HDF5Dataset in
            guard let type = element.hdf5Type.storedNumber else {
                throw context.error(.misuse, "create", "\(element) is not a number type of HDF5")
            }
            return try createDataset(name, type: type, shape: shape, maximumShape: maximumShape, layout: layout)
        }
    }

    /// Creates the dataset of an HDF5 type.
    ///
    /// Call it inside the lock.
    func createDataset(
        _ name: String,
        type: hid_t,
        shape: [Int],
        maximumShape: [Int?]? = nil,
        layout: HDF5Layout
    ) throws(HDF5Error) -> HDF5Dataset {
        let context = HDF5Context(file: path, object: name)
        try requireOpen()
        try requireStorable(name, context)
        let space = try makeSpace(shape, maximum: maximumShape, context: context)
        let creation = try context.own(H5Pcreate(chdf5_property_dataset_create()), "create", close: H5Pclose)
        try context.check(H5Pset_obj_track_times(creation.raw, false), "create")
        if let chunk = layout.chunk {
            guard chunk.count == shape.count, !chunk.isEmpty, chunk.allSatisfy({ $0 > 0 }) else {
                throw context.error(.misuse, "create", "chunks of shape \(chunk) do not fit the shape \(shape)")
            }
            let sizes = chunk.map { hsize_t($0) }
            try context.check(H5Pset_chunk(creation.raw, Int32(sizes.count), sizes), "create")
            if let level = layout.deflate { try context.check(H5Pset_deflate(creation.raw, UInt32(level)), "create") }
            if layout.fletcher32 { try context.check(H5Pset_fletcher32(creation.raw), "create") }
            // Every chunk is written once by its owner; filling it first would only write it twice.
            try context.check(H5Pset_fill_time(creation.raw, H5D_FILL_TIME_NEVER), "create")
        }
        if layout.allocatesEarly {
            try context.check(H5Pset_alloc_time(creation.raw, H5D_ALLOC_TIME_EARLY), "create")
            try context.check(H5Pset_fill_time(creation.raw, H5D_FILL_TIME_NEVER), "create")
        }
        let links = try makeLinkCreation(of: name, context)
        let raw = H5Dcreate2(identifier.raw, name, type, space.raw, links.raw, creation.raw, chdf5_property_default())
        let dataset = try context.own(raw, "create", close: H5Dclose)
        return HDF5Dataset(file: self, name: name, identifier: dataset)
    }

    /// Opens a dataset.
    package func dataset(_ name: String) throws(HDF5Error) -> HDF5Dataset {
        let context = HDF5Context(file: path, object: name)
        return try HDF5Library.locked { () throws(HDF5Error) -> HDF5Dataset in
            switch try kind(of: name) {
            case .dataset: break
            case nil: throw context.error(.missingObject, "open", "the file has no dataset of that name")
            default: throw context.error(.mismatch, "open", "it is not a dataset")
            }
            let raw = H5Dopen2(identifier.raw, name, chdf5_property_default())
            let dataset = HDF5Dataset(
                file: self,
                name: name,
                identifier: try context.own(raw, "open", code: .damagedFile, close: H5Dclose)
            )
            try dataset.requireOwnStorage()
            return dataset
        }
    }

    /// Creates a dataset and writes all of it; no shape means one dimension.
    package func write<Element: HDF5Element>(
        _ values: [Element],
        to name: String,
        shape: [Int]? = nil,
        layout: HDF5Layout = .contiguous
    ) throws(HDF5Error) {
        try createDataset(name, of: Element.self, shape: shape ?? [values.count], layout: layout).write(values)
    }

    /// Reads a dataset whole; `limit` bounds the bytes that the caller is ready to hold.
    package func read<Element: HDF5Element>(
        _ name: String,
        as element: Element.Type = Element.self,
        limit: Int = .max
    ) throws(HDF5Error) -> HDF5Array<Element> {
        try dataset(name).read(as: element, limit: limit)
    }

    /// A simple dataspace, or a scalar one for an empty shape.
    ///
    /// Call it inside the lock.
    func makeSpace(
        _ shape: [Int],
        maximum: [Int?]? = nil,
        context: HDF5Context
    ) throws(HDF5Error) -> HDF5Identifier {
        guard elementCount(shape) != nil, shape.count <= Int(chdf5_maximum_rank()) else {
            throw context.error(.misuse, "create", "HDF5 cannot store the shape \(shape)")
        }
        if shape.isEmpty { return try context.own(H5Screate(H5S_SCALAR), "create", close: H5Sclose) }
        let sizes = shape.map { hsize_t($0) }
        let limits = (maximum ?? shape).map { $0.map { hsize_t($0) } ?? chdf5_unlimited() }
        guard limits.count == sizes.count else {
            throw context.error(.misuse, "create", "the maximum shape has another rank than \(shape)")
        }
        return try context.own(H5Screate_simple(Int32(sizes.count), sizes, limits), "create", close: H5Sclose)
    }
}
