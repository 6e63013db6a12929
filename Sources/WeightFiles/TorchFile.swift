import Platform

/// What `torch.save(model.state_dict(), FILE)` writes: since PyTorch 1.6 a ZIP archive, before that pickles one after the other and
/// then the elements.
enum TorchFile {
    private static let maximumProgramBytes = 64 << 20
    /// The first pickle of the older form: PROTO 2, LONG1 of 10 bytes, the number 0x1950a86a20f9469cfc6c.
    static let oldMagic: [UInt8] = [0x80, 2, 0x8A, 10, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19]

    /// The tensors of a ZIP archive.
    static func archived(_ file: OpenFile, size: Int, path: String) throws -> [StoredTensor] {
        let members = try ZipDirectory(file, size: size, path: path).members
        guard let program = members.first(where: { $0.name.hasSuffix("/data.pkl") }),
            program.range.count <= maximumProgramBytes
        else { throw WeightFileError.malformed(path: path, problem: "it has no data.pkl, as PyTorch's files have") }
        let folder = program.name.dropLast("data.pkl".count)
        if let order = members.first(where: { $0.name == folder + "byteorder" }), order.range.count < 16,
            try ZipDirectory.read(file, order.range, path) != Array("little".utf8)
        {
            throw WeightFileError.malformed(path: path, problem: "its numbers are not little-endian")
        }
        let places = Dictionary(members.map { ($0.name, $0.range) }) { first, _ in first }
        let bytes = try ZipDirectory.read(file, program.range, path)
        let (value, machine) = try run(bytes[...], path)
        return try tensors(value, machine, path) { storage in
            guard let range = places["\(folder)data/\(storage.key)"],
                range.count >= storage.count * storage.element.bytes
            else { return nil }
            return range.lowerBound
        }
    }

    /// The tensors of the form before PyTorch 1.6.
    static func streamed(_ file: OpenFile, size: Int, path: String) throws -> [StoredTensor] {
        let head = try ZipDirectory.read(file, 0..<min(size, maximumProgramBytes), path)
        // The magic number, the protocol, sizes of the system that wrote it; then the dictionary, and the storages' keys.
        var position = 0
        for _ in 0..<3 { position = try run(head[position...], path).machine.position }
        let (value, machine) = try run(head[position...], path)
        let (keys, keyMachine) = try run(head[machine.position...], path)
        guard case .list(let index) = keys, keyMachine.lists.indices.contains(index) else {
            throw WeightFileError.malformed(path: path, problem: "it does not list its storages")
        }
        // Each storage: its number of elements in 8 bytes, then the elements, whose size only the dictionary tells.
        var elements: [String: TensorElement] = [:]
        for dictionary in machine.dictionaries {
            for (_, member) in dictionary {
                if case .tensor(let tensor) = member { elements[tensor.storage.key] = tensor.storage.element }
            }
        }
        var places: [String: (start: Int, count: Int)] = [:]
        var place = keyMachine.position
        for key in keyMachine.lists[index] {
            guard case .text(let name) = key, let element = elements[name], place <= size - 8 else {
                throw WeightFileError.malformed(path: path, problem: "it does not hold all of its storages")
            }
            let count = try ZipDirectory.read(file, place..<place + 8, path).reversed().reduce(UInt64(0)) {
                $0 << 8 | UInt64($1)
            }
            place += 8
            guard count <= UInt64((size - place) / element.bytes) else {
                throw WeightFileError.malformed(
                    path: path,
                    problem: "it is cut: a storage of \(count) elements is not whole"
                )
            }
            places[name] = (place, Int(count))
            place += Int(count) * element.bytes
        }
        return try tensors(value, machine, path) { storage in
            places[storage.key].flatMap { $0.count >= storage.count ? $0.start : nil }
        }
    }

    private static func run(_ bytes: ArraySlice<UInt8>, _ path: String) throws(WeightFileError) -> (
        value: Pickle.Value, machine: Pickle
    ) {
        do { return try Pickle.run(bytes) } catch {
            switch error {
            case .malformed(let problem): throw .malformed(path: path, problem: problem)
            case .executable(let global): throw .executable(path: path, global: global)
            }
        }
    }

    /// The dictionary of weights in what was saved: it itself, or one of its members, as trainers save it beside their state.
    private static func tensors(
        _ value: Pickle.Value,
        _ machine: Pickle,
        _ path: String,
        start: (Pickle.Storage) -> Int?
    ) throws(WeightFileError) -> [StoredTensor] {
        guard case .dictionary(let top) = value else {
            throw .malformed(path: path, problem: "what was saved is no dictionary of tensors")
        }
        var chosen = weights(machine.dictionaries[top])
        if chosen.isEmpty {
            let names = ["state_dict", "model_state_dict", "model", "net", "weights", "state_dict_ema", "model_ema"]
            let inner = machine.dictionaries[top].compactMap { key, value -> (String, [(String, Pickle.Tensor)])? in
                guard case .text(let name) = key, case .dictionary(let index) = value else { return nil }
                let found = weights(machine.dictionaries[index])
                return found.isEmpty ? nil : (name, found)
            }
            let known = names.lazy.compactMap { name in inner.first { $0.0 == name } }.first
            guard let found = known ?? (inner.count == 1 ? inner.first : nil) else {
                let keys = inner.map { Safetensors.shown($0.0) }.sorted().joined(separator: ", ")
                throw .malformed(
                    path: path,
                    problem: inner.isEmpty
                        ? "what was saved has no tensors by name"
                        : "which of its members are the weights is not clear: \(keys)"
                )
            }
            chosen = found.1
        }
        var tensors: [StoredTensor] = []
        var seen: Set<String> = []
        for (name, tensor) in chosen {
            guard seen.insert(name).inserted else {
                throw .malformed(path: path, problem: "the tensor \(Safetensors.shown(name)) is there twice")
            }
            let size = tensor.storage.element.bytes
            guard let count = StoredTensor.count(tensor.shape), tensor.offset >= 0,
                tensor.offset <= tensor.storage.count,
                count <= tensor.storage.count - tensor.offset, let start = start(tensor.storage)
            else {
                throw .malformed(
                    path: path,
                    problem: "the elements of the tensor \(Safetensors.shown(name)) are not there"
                )
            }
            guard count == 0 || isInOrder(tensor) else {
                throw .malformed(
                    path: path,
                    problem:
                        "the tensor \(Safetensors.shown(name)) is a view in another order; save a copy of it (.contiguous())"
                )
            }
            let first = start + tensor.offset * size
            tensors.append(
                StoredTensor(
                    name: name,
                    element: tensor.storage.element,
                    shape: tensor.shape,
                    bytes: first..<first + count * size
                )
            )
        }
        return tensors
    }

    private static func weights(_ members: [(key: Pickle.Value, value: Pickle.Value)]) -> [(String, Pickle.Tensor)] {
        members.compactMap { key, value in
            guard case .text(let name) = key, case .tensor(let tensor) = value else { return nil }
            return (name, tensor)
        }
    }

    /// Whether the strides are those of C order; of a side of 1 any will do.
    private static func isInOrder(_ tensor: Pickle.Tensor) -> Bool {
        var step = 1
        for (side, stride) in zip(tensor.shape, tensor.strides).reversed() {
            if side != 1, stride != step { return false }
            step *= side
        }
        return true
    }
}
