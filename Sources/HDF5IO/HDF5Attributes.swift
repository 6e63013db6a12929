internal import CHDF5

/// The value of an attribute: a small fact about a file, group or dataset.
package enum HDF5AttributeValue: Equatable, Sendable {
    case integer(Int64)
    case float(Double)
    case text(String)
}

extension HDF5File {
    /// The most bytes of text in an attribute; HDF5's compact form ends at 64 KiB, with its header.
    package static let attributeTextLimit = 60_000

    /// Writes an attribute of an object ("/" for the file's root); one of that name must not exist yet.
    ///
    /// Text over `attributeTextLimit` bytes belongs into a dataset.
    package func setAttribute(
        _ attribute: String,
        of object: String = "/",
        to value: HDF5AttributeValue
    ) throws(HDF5Error) {
        let context = HDF5Context(file: path, object: "attribute \(attribute) of \(object)")
        try HDF5Library.locked { () throws(HDF5Error) in
            try requireOpen()
            let stored: hid_t
            let memory: hid_t
            let bytes: [UInt8]
            // Keeps the string type open until the end of the call.
            var stringType: HDF5Identifier?
            switch value {
            case .integer(let number):
                (stored, memory) = (chdf5_stored_int64(), chdf5_native_int64())
                bytes = withUnsafeBytes(of: number) { Array($0) }
            case .float(let number):
                (stored, memory) = (chdf5_stored_double(), chdf5_native_double())
                bytes = withUnsafeBytes(of: number) { Array($0) }
            case .text(let text):
                guard text.utf8.count <= Self.attributeTextLimit, !text.utf8.contains(0) else {
                    throw context.error(.misuse, "write", "its text is too long or holds a zero byte")
                }
                bytes = text.isEmpty ? [0] : Array(text.utf8)
                let type = try HDF5StoredType.makeStringType(bytes: bytes.count, context: context)
                (stored, memory) = (type.raw, type.raw)
                stringType = type
            }
            let owner = try openObject(object, context: context, operation: "write")
            let space = try makeSpace([], context: context)
            let creation = try context.own(H5Pcreate(chdf5_property_attribute_create()), "write", close: H5Pclose)
            try context.check(H5Pset_char_encoding(creation.raw, H5T_CSET_UTF8), "write")
            let raw = H5Acreate2(owner.raw, attribute, stored, space.raw, creation.raw, chdf5_property_default())
            let identifier = try context.own(raw, "write", close: H5Aclose)
            try context.check(bytes.withUnsafeBytes { H5Awrite(identifier.raw, memory, $0.baseAddress) }, "write")
            withExtendedLifetime(stringType) {}
        }
    }

    /// Reads an attribute of one value: an integer or float of any width, or text; nil if there is none of that name.
    package func attribute(
        _ attribute: String,
        of object: String = "/"
    ) throws(HDF5Error) -> HDF5AttributeValue? {
        let context = HDF5Context(file: path, object: "attribute \(attribute) of \(object)")
        return try HDF5Library.locked { () throws(HDF5Error) -> HDF5AttributeValue? in
            try requireOpen()
            let owner = try openObject(object, context: context, operation: "read")
            if try context.check(H5Aexists(owner.raw, attribute), "read", code: .damagedFile) == 0 { return nil }
            let raw = H5Aopen(owner.raw, attribute, chdf5_property_default())
            let identifier = try context.own(raw, "read", code: .damagedFile, close: H5Aclose)
            let space = try context.own(H5Aget_space(identifier.raw), "read", code: .damagedFile, close: H5Sclose)
            guard H5Sget_simple_extent_npoints(space.raw) == 1 else {
                throw context.error(.mismatch, "read", "expected one value")
            }
            let type = try context.own(H5Aget_type(identifier.raw), "read", code: .damagedFile, close: H5Tclose)
            return try value(of: identifier, type: type, space: space, context: context)
        }
    }

    private func value(
        of attribute: HDF5Identifier,
        type: HDF5Identifier,
        space: HDF5Identifier,
        context: HDF5Context
    ) throws(HDF5Error) -> HDF5AttributeValue {
        switch HDF5StoredType.of(type.raw) {
        case .integer:
            var number: Int64 = 0
            try context.check(H5Aread(attribute.raw, chdf5_native_int64(), &number), "read", code: .damagedFile)
            return .integer(number)
        case .float:
            var number = 0.0
            try context.check(H5Aread(attribute.raw, chdf5_native_double(), &number), "read", code: .damagedFile)
            return .float(number)
        case .fixedString(let width):
            guard width <= plausibleBytes, width <= 1 << 20 else {
                throw context.error(.tooLarge, "read", "its text claims \(width) bytes")
            }
            var bytes = [UInt8](repeating: 0, count: width)
            let status = bytes.withUnsafeMutableBytes { H5Aread(attribute.raw, type.raw, $0.baseAddress) }
            try context.check(status, "read", code: .damagedFile)
            return .text(try decode(bytes, count: 1, width: width, context: context).first ?? "")
        case .variableString:
            var pointer: UnsafeMutablePointer<CChar>?
            try context.check(H5Aread(attribute.raw, type.raw, &pointer), "read", code: .damagedFile)
            let text = pointer.map { String(validatingCString: $0) } ?? ""
            H5Dvlen_reclaim(type.raw, space.raw, chdf5_property_default(), &pointer)
            guard let text else { throw context.error(.damagedFile, "read", "its text is not UTF-8") }
            return .text(text)
        case .other:
            throw context.error(.mismatch, "read", "it holds \(HDF5StoredType.other)")
        }
    }

    /// Reads an attribute that must be an integer.
    package func integerAttribute(_ attribute: String, of object: String = "/") throws(HDF5Error) -> Int64 {
        switch try self.attribute(attribute, of: object) {
        case .integer(let number): return number
        case let other: throw mismatch(attribute, of: object, expected: "an integer", found: other)
        }
    }

    /// Reads an attribute that must be a floating-point number.
    package func floatAttribute(_ attribute: String, of object: String = "/") throws(HDF5Error) -> Double {
        switch try self.attribute(attribute, of: object) {
        case .float(let number): return number
        case let other: throw mismatch(attribute, of: object, expected: "a number", found: other)
        }
    }

    /// Reads an attribute that must be text.
    package func textAttribute(_ attribute: String, of object: String = "/") throws(HDF5Error) -> String {
        switch try self.attribute(attribute, of: object) {
        case .text(let text): return text
        case let other: throw mismatch(attribute, of: object, expected: "text", found: other)
        }
    }

    private func mismatch(
        _ attribute: String,
        of object: String,
        expected: String,
        found: HDF5AttributeValue?
    ) -> HDF5Error {
        let context = HDF5Context(file: path, object: "attribute \(attribute) of \(object)")
        guard let found else { return context.error(.missingObject, "read", "the object has no such attribute") }
        return context.error(.mismatch, "read", "expected \(expected), found \(found)")
    }

    private func openObject(
        _ object: String,
        context: HDF5Context,
        operation: String
    ) throws(HDF5Error) -> HDF5Identifier {
        guard try kind(of: object) != nil else {
            throw context.error(.missingObject, operation, "the file has no object \(object)")
        }
        let raw = H5Oopen(identifier.raw, object, chdf5_property_default())
        return try context.own(raw, operation, code: .damagedFile, close: H5Oclose)
    }
}
