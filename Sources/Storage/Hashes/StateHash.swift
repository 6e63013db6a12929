/// The hash over a state's tensors that says whether two trainings hold the same bits.
///
/// SHA-256 over the tensors in the order of their names' UTF-8 bytes, each as: name, a zero byte, "float32", a zero
/// byte, the dimensions in decimal joined by ",", a zero byte, the values' little-endian bytes. Names are full paths:
/// `model/…`, `buffers/…`, `optimizer/<slot>/…`, `ema/…`. `weights_sha256` is over `model/` and `buffers/`,
/// `state_sha256` over all four. Pleura runs on little-endian machines only, so memory holds the bytes as they are.
package struct StateHash: ~Copyable {
    private var hash = SHA256()
    private var last: String?

    package init() {}

    /// Starts a tensor; its bytes follow by `update`, in order.
    ///
    /// Names must come in ascending order of bytes.
    package mutating func begin(_ name: String, shape: [Int]) {
        if let last {
            precondition(last.utf8.lexicographicallyPrecedes(name.utf8), "\(name) comes after \(last) out of order")
        }
        last = name
        hash.update(name)
        hash.update([0])
        hash.update("float32")
        hash.update([0])
        hash.update(shape.map(String.init).joined(separator: ","))
        hash.update([0])
    }

    /// Adds bytes of the tensor begun last.
    package mutating func update(_ bytes: UnsafeRawBufferPointer) { hash.update(bytes) }

    /// Adds a whole tensor.
    package mutating func add(_ name: String, shape: [Int], values: UnsafeRawBufferPointer) {
        begin(name, shape: shape)
        hash.update(values)
    }

    /// The digest over all tensors added.
    package consuming func finish() -> SHA256Digest { hash.finish() }

    /// The groups of names that `weights_sha256` covers.
    package static let weightGroups: Set<String> = ["model", "buffers"]
    /// The groups of names that `state_sha256` covers.
    package static let stateGroups: Set<String> = ["model", "buffers", "optimizer", "ema"]

    /// The digest of tensors in memory, given in any order; names must differ.
    package static func of(_ tensors: [StateTensor]) -> SHA256Digest {
        var hash = StateHash()
        for tensor in tensors.sorted(by: { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }) {
            tensor.values.withUnsafeBytes { hash.add(tensor.name, shape: tensor.shape, values: $0) }
        }
        return hash.finish()
    }
}

/// A tensor in memory under its full name, such as `model/encoder.conv1.weight`.
package struct StateTensor: Equatable, Sendable {
    package var name: String
    /// PyTorch's shape; empty for a scalar.
    package var shape: [Int]
    package var values: [Float]

    package init(name: String, shape: [Int], values: [Float]) {
        self.name = name
        self.shape = shape
        self.values = values
    }
}
