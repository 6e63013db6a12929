internal import CHDF5

/// How an element is stored in a file, in the terms that errors use.
package enum HDF5StoredType: Equatable, Sendable, CustomStringConvertible {
    case integer(bits: Int, signed: Bool)
    case float(bits: Int)
    /// UTF-8 or ASCII text of at most `bytes` bytes, padded.
    case fixedString(bytes: Int)
    case variableString
    /// A type that this module does not read: compound, enumeration, reference, …
    case other

    package var description: String {
        switch self {
        case .integer(let bits, let signed): "\(signed ? "int" : "uint")\(bits)"
        case .float(let bits): "float\(bits)"
        case .fixedString(let bytes): "string of \(bytes) bytes"
        case .variableString: "string of variable length"
        case .other: "a type that Pleura does not read"
        }
    }
}

/// A number that HDF5 datasets and attributes hold; stored little-endian, read back in the machine's order.
///
/// Reading is exact: a dataset of another number type is refused, not converted.
package protocol HDF5Element: BitwiseCopyable, Sendable {
    static var hdf5Type: HDF5StoredType { get }
    /// A value to fill fresh arrays with.
    static var hdf5Zero: Self { get }
}

extension Int8: HDF5Element {
    package static var hdf5Type: HDF5StoredType { .integer(bits: 8, signed: true) }
    package static var hdf5Zero: Self { 0 }
}
extension Int16: HDF5Element {
    package static var hdf5Type: HDF5StoredType { .integer(bits: 16, signed: true) }
    package static var hdf5Zero: Self { 0 }
}
extension Int32: HDF5Element {
    package static var hdf5Type: HDF5StoredType { .integer(bits: 32, signed: true) }
    package static var hdf5Zero: Self { 0 }
}
extension Int64: HDF5Element {
    package static var hdf5Type: HDF5StoredType { .integer(bits: 64, signed: true) }
    package static var hdf5Zero: Self { 0 }
}
extension UInt8: HDF5Element {
    package static var hdf5Type: HDF5StoredType { .integer(bits: 8, signed: false) }
    package static var hdf5Zero: Self { 0 }
}
extension UInt16: HDF5Element {
    package static var hdf5Type: HDF5StoredType { .integer(bits: 16, signed: false) }
    package static var hdf5Zero: Self { 0 }
}
extension UInt32: HDF5Element {
    package static var hdf5Type: HDF5StoredType { .integer(bits: 32, signed: false) }
    package static var hdf5Zero: Self { 0 }
}
extension UInt64: HDF5Element {
    package static var hdf5Type: HDF5StoredType { .integer(bits: 64, signed: false) }
    package static var hdf5Zero: Self { 0 }
}
extension Float: HDF5Element {
    package static var hdf5Type: HDF5StoredType { .float(bits: 32) }
    package static var hdf5Zero: Self { 0 }
}
extension Double: HDF5Element {
    package static var hdf5Type: HDF5StoredType { .float(bits: 64) }
    package static var hdf5Zero: Self { 0 }
}

extension HDF5StoredType {
    /// HDF5's type in the machine's byte order; nil for strings and foreign types.
    ///
    /// Call it inside the lock.
    var nativeNumber: hid_t? {
        switch self {
        case .integer(8, signed: true): chdf5_native_int8()
        case .integer(16, signed: true): chdf5_native_int16()
        case .integer(32, signed: true): chdf5_native_int32()
        case .integer(64, signed: true): chdf5_native_int64()
        case .integer(8, signed: false): chdf5_native_uint8()
        case .integer(16, signed: false): chdf5_native_uint16()
        case .integer(32, signed: false): chdf5_native_uint32()
        case .integer(64, signed: false): chdf5_native_uint64()
        case .float(32): chdf5_native_float()
        case .float(64): chdf5_native_double()
        default: nil
        }
    }

    /// HDF5's little-endian type for files; nil for strings and foreign types.
    ///
    /// Call it inside the lock.
    var storedNumber: hid_t? {
        switch self {
        case .integer(8, signed: true): chdf5_stored_int8()
        case .integer(16, signed: true): chdf5_stored_int16()
        case .integer(32, signed: true): chdf5_stored_int32()
        case .integer(64, signed: true): chdf5_stored_int64()
        case .integer(8, signed: false): chdf5_stored_uint8()
        case .integer(16, signed: false): chdf5_stored_uint16()
        case .integer(32, signed: false): chdf5_stored_uint32()
        case .integer(64, signed: false): chdf5_stored_uint64()
        case .float(32): chdf5_stored_float()
        case .float(64): chdf5_stored_double()
        default: nil
        }
    }

    /// The type of an open HDF5 type identifier.
    ///
    /// Call it inside the lock.
    static func of(_ type: hid_t) -> HDF5StoredType {
        let bytes = H5Tget_size(type)
        switch H5Tget_class(type) {
        case H5T_INTEGER where [1, 2, 4, 8].contains(bytes):
            return .integer(bits: bytes * 8, signed: H5Tget_sign(type) == H5T_SGN_2)
        case H5T_FLOAT where [4, 8].contains(bytes):
            return .float(bits: bytes * 8)
        case H5T_STRING:
            return H5Tis_variable_str(type) > 0 ? .variableString : .fixedString(bytes: bytes)
        default:
            return .other
        }
    }

    /// A new HDF5 string type, UTF-8, padded with zeros; `bytes` nil for variable length.
    ///
    /// Call it inside the lock.
    static func makeStringType(bytes: Int?, context: HDF5Context) throws(HDF5Error) -> HDF5Identifier {
        let type = try context.own(H5Tcopy(chdf5_c_string()), "make a string type for", close: H5Tclose)
        try context.check(H5Tset_size(type.raw, bytes ?? chdf5_variable_length()), "make a string type for")
        try context.check(H5Tset_cset(type.raw, H5T_CSET_UTF8), "make a string type for")
        let padding = bytes == nil ? H5T_STR_NULLTERM : H5T_STR_NULLPAD
        try context.check(H5Tset_strpad(type.raw, padding), "make a string type for")
        return type
    }
}

/// The number of elements of `shape`, or nil where it overflows or a dimension is negative.
func elementCount(_ shape: [Int]) -> Int? {
    var count = 1
    for dimension in shape {
        guard dimension >= 0 else { return nil }
        let (product, overflow) = count.multipliedReportingOverflow(by: dimension)
        guard !overflow else { return nil }
        count = product
    }
    return count
}
