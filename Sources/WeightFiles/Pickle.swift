/// Reads what `torch.save` writes of a state_dict: a program for the pickle machine of Python, of which only the instructions
/// are obeyed that build numbers, texts, tuples, lists, dictionaries and tensors. Nothing is imported and nothing is called.
///
/// The rules are those of PyTorch's own `_weights_only_unpickler.py`; the instructions are documented in Python's
/// `pickletools.py`. Of the file's own classes none is known: one that asks for them is refused by name.
struct Pickle {
    /// A value that the program has built. Lists and dictionaries change after they were pushed, so they are numbers of `lists`
    /// and `dictionaries`.
    indirect enum Value {
        case none
        case bool(Bool)
        case integer(Int)
        case real(Double)
        case text(String)
        case tuple(Tuple)
        case list(Int)
        case dictionary(Int)
        /// `module name` of Python: one of `known`.
        case global(String)
        case storage(Storage)
        case tensor(Tensor)
    }

    /// Values in an order; never changed, so no tuple holds itself.
    struct Tuple {
        let values: [Value]
        /// How many tuples stand in one another; 1 for one without any inside.
        let depth: Int

        init(_ values: [Value]) throws(Failure) {
            var inner = 0
            for case .tuple(let tuple) in values { inner = max(inner, tuple.depth) }
            guard inner < Pickle.deepest else {
                throw .malformed("its list has more than \(Pickle.deepest) tuples in one another")
            }
            self.values = values
            depth = inner + 1
        }
    }

    /// Elements in a part of the file of their own.
    struct Storage: Equatable {
        var key: String
        var element: TensorElement
        var count: Int
    }

    /// A view of a storage; strides and offset count elements.
    struct Tensor: Equatable {
        var storage: Storage
        var offset: Int
        var shape: [Int]
        var strides: [Int]
    }

    enum Failure: Error, Equatable {
        case malformed(String)
        case executable(String)
    }

    /// Values, memos and members that one program may build: far above any network, and below what fills a memory.
    private static let most = 4_000_000

    /// Tuples that may stand in one another: a tensor has three, and letting go of a chain of millions would take all of the stack.
    private static let deepest = 32

    private static let orderedDictionary = "collections OrderedDict"
    private static let rebuildTensor = "torch._utils _rebuild_tensor_v2"
    private static let rebuildParameter = "torch._utils _rebuild_parameter"
    private static let storages: [String: TensorElement] = [
        "torch DoubleStorage": .float64, "torch FloatStorage": .float32, "torch HalfStorage": .float16,
        "torch BFloat16Storage": .bfloat16, "torch LongStorage": .int64, "torch IntStorage": .int32,
        "torch ShortStorage": .int16, "torch CharStorage": .int8, "torch ByteStorage": .uint8,
        "torch BoolStorage": .bool,
    ]

    private let bytes: ArraySlice<UInt8>
    private(set) var position: Int
    private var stack: [Value] = []
    private var marks: [Int] = []
    private var memo: [Int: Value] = [:]
    private var work = 0
    private(set) var lists: [[Value]] = []
    private(set) var dictionaries: [[(key: Value, value: Value)]] = []

    private init(_ bytes: ArraySlice<UInt8>) {
        self.bytes = bytes
        position = bytes.startIndex
    }

    /// Runs the program that begins at the start of `bytes`.
    ///
    /// - Returns: its result, the machine that holds lists and dictionaries, and where the next program begins.
    static func run(_ bytes: ArraySlice<UInt8>) throws(Failure) -> (value: Value, machine: Pickle) {
        var machine = Pickle(bytes)
        let value = try machine.run()
        return (value, machine)
    }

    // MARK: Reading

    private mutating func byte() throws(Failure) -> UInt8 {
        guard position < bytes.endIndex else { throw .malformed("its list of tensors is cut") }
        defer { position += 1 }
        return bytes[position]
    }

    private mutating func number(bytes count: Int) throws(Failure) -> UInt64 {
        var value: UInt64 = 0
        for index in 0..<count { value |= UInt64(try byte()) << (8 * UInt64(index)) }
        return value
    }

    private mutating func text(bytes count: UInt64) throws(Failure) -> String {
        guard count <= UInt64(bytes.endIndex - position) else { throw .malformed("a text in its list is cut") }
        let end = position + Int(count)
        defer { position = end }
        guard let text = String(validating: bytes[position..<end], as: UTF8.self) else {
            throw .malformed("a text in its list is no UTF-8")
        }
        return text
    }

    private mutating func line() throws(Failure) -> String {
        guard let end = bytes[position...].firstIndex(of: UInt8(ascii: "\n")), end - position <= 1000 else {
            throw .malformed("a name in its list does not end")
        }
        let name = String(decoding: bytes[position..<end], as: UTF8.self)
        position = end + 1
        return name
    }

    // MARK: The stack

    private mutating func push(_ value: Value) throws(Failure) {
        work += 1
        guard work <= Self.most else { throw .malformed("its list builds more than \(Self.most) values") }
        stack.append(value)
    }

    private mutating func pop() throws(Failure) -> Value {
        guard stack.count > marks.last ?? 0, let value = stack.popLast() else {
            throw .malformed("its list takes a value that is not there")
        }
        return value
    }

    private mutating func popToMark() throws(Failure) -> [Value] {
        guard let mark = marks.popLast() else { throw .malformed("its list ends a group that did not begin") }
        let values = Array(stack[mark...])
        stack.removeSubrange(mark...)
        return values
    }

    private mutating func remember(_ key: Int) throws(Failure) {
        guard let value = stack.last, memo.count < Self.most else { throw .malformed("its list remembers nothing") }
        memo[key] = value
    }

    private mutating func recall(_ key: Int) throws(Failure) {
        guard let value = memo[key] else { throw .malformed("its list asks for what it did not remember") }
        try push(value)
    }

    // MARK: The machine

    private mutating func run() throws(Failure) -> Value {
        while true {
            switch try byte() {
            case 0x80: _ = try byte()
            case 0x95: _ = try number(bytes: 8)
            case UInt8(ascii: "."):
                let value = try pop()
                return value
            case UInt8(ascii: "("): marks.append(stack.count)
            case UInt8(ascii: "0"): _ = try pop()
            case UInt8(ascii: "N"): try push(.none)
            case 0x88: try push(.bool(true))
            case 0x89: try push(.bool(false))
            case UInt8(ascii: "J"): try push(.integer(Int(Int32(truncatingIfNeeded: try number(bytes: 4)))))
            case UInt8(ascii: "K"): try push(.integer(Int(try number(bytes: 1))))
            case UInt8(ascii: "M"): try push(.integer(Int(try number(bytes: 2))))
            case 0x8A: try push(.integer(try long()))
            case UInt8(ascii: "G"): try push(.real(Double(bitPattern: try number(bytes: 8).byteSwapped)))
            case UInt8(ascii: "X"): try push(.text(try text(bytes: try number(bytes: 4))))
            case 0x8C, UInt8(ascii: "U"): try push(.text(try text(bytes: try number(bytes: 1))))
            case UInt8(ascii: "T"): try push(.text(try text(bytes: try number(bytes: 4))))
            case UInt8(ascii: "q"): try remember(Int(try number(bytes: 1)))
            case UInt8(ascii: "r"): try remember(Int(try number(bytes: 4)))
            case 0x94: try remember(memo.count)
            case UInt8(ascii: "h"): try recall(Int(try number(bytes: 1)))
            case UInt8(ascii: "j"): try recall(Int(try number(bytes: 4)))
            case UInt8(ascii: ")"): try push(.tuple(try Tuple([])))
            case 0x85: try tuple(1)
            case 0x86: try tuple(2)
            case 0x87: try tuple(3)
            case UInt8(ascii: "t"): try push(.tuple(try Tuple(try popToMark())))
            case UInt8(ascii: "]"): try pushList()
            case UInt8(ascii: "}"): try pushDictionary()
            case UInt8(ascii: "a"):
                let value = try pop()
                try append([value])
            case UInt8(ascii: "e"): try append(try popToMark())
            case UInt8(ascii: "s"):
                let value = try pop()
                let key = try pop()
                try set([key, value])
            case UInt8(ascii: "u"): try set(try popToMark())
            case UInt8(ascii: "c"):
                let module = try line()
                try push(try global("\(module) \(try line())"))
            case 0x93:
                guard case .text(let name) = try pop(), case .text(let module) = try pop() else {
                    throw .malformed("its list names nothing")
                }
                try push(try global("\(module) \(name)"))
            case UInt8(ascii: "Q"): try push(.storage(try storage(try pop())))
            case UInt8(ascii: "R"):
                let arguments = try pop()
                try push(try call(try pop(), arguments))
            // The attributes of an ordered dictionary: names and versions of modules, which no weight depends on.
            case UInt8(ascii: "b"):
                _ = try pop()
                guard case .dictionary = stack.last else { throw .executable("an object's own construction") }
            case let instruction:
                throw .executable("instruction \(instruction) of the pickle machine")
            }
        }
    }

    private mutating func long() throws(Failure) -> Int {
        let count = Int(try byte())
        guard count <= 16 else { throw .malformed("its list has a number of \(count) bytes") }
        var value: UInt64 = 0
        var last: UInt8 = 0
        for index in 0..<count {
            last = try byte()
            if index < 8 { value |= UInt64(last) << (8 * UInt64(index)) }
        }
        if count > 0, count < 8, last & 0x80 != 0 { value |= ~UInt64(0) << (8 * UInt64(count)) }
        return Int(truncatingIfNeeded: value)
    }

    private mutating func tuple(_ count: Int) throws(Failure) {
        var values: [Value] = []
        for _ in 0..<count { values.append(try pop()) }
        try push(.tuple(try Tuple(values.reversed())))
    }

    private mutating func pushList() throws(Failure) {
        lists.append([])
        try push(.list(lists.count - 1))
    }

    private mutating func pushDictionary() throws(Failure) {
        dictionaries.append([])
        try push(.dictionary(dictionaries.count - 1))
    }

    private mutating func append(_ values: [Value]) throws(Failure) {
        guard case .list(let index) = stack.last else { throw .malformed("its list fills what is no list") }
        lists[index] += values
    }

    private mutating func set(_ values: [Value]) throws(Failure) {
        guard case .dictionary(let index) = stack.last, values.count % 2 == 0 else {
            throw .malformed("its list fills what is no dictionary")
        }
        for position in stride(from: 0, to: values.count, by: 2) {
            dictionaries[index].append((values[position], values[position + 1]))
        }
    }

    private func global(_ name: String) throws(Failure) -> Value {
        let isKnown =
            [Self.orderedDictionary, Self.rebuildTensor, Self.rebuildParameter].contains(name)
            || Self.storages[name] != nil
        guard isKnown else { throw .executable(Safetensors.shown(name.replacing(" ", with: "."))) }
        return .global(name)
    }

    private func storage(_ identity: Value) throws(Failure) -> Storage {
        guard case .tuple(let tuple) = identity, tuple.values.count >= 5, case let parts = tuple.values,
            case .text("storage") = parts[0], case .global(let type) = parts[1], let element = Self.storages[type],
            case .text(let key) = parts[2],
            case .integer(let count) = parts[4], count >= 0, count <= Int.max / 16
        else { throw .malformed("one of its storages is none") }
        if parts.count > 5, case .none = parts[5] {
        } else if parts.count > 5 {
            throw .malformed("one of its storages is a part of another")
        }
        return Storage(key: key, element: element, count: count)
    }

    private mutating func call(_ function: Value, _ arguments: Value) throws(Failure) -> Value {
        guard case .global(let name) = function, case .tuple(let tuple) = arguments else {
            throw .executable("a call of what is no function")
        }
        let values = tuple.values
        switch name {
        case Self.orderedDictionary:
            guard values.isEmpty else { throw .malformed("its dictionary begins with members") }
            dictionaries.append([])
            return .dictionary(dictionaries.count - 1)
        case Self.rebuildTensor:
            guard values.count >= 4, case .storage(let storage) = values[0], case .integer(let offset) = values[1],
                case .tuple(let sides) = values[2], case .tuple(let steps) = values[3],
                sides.values.count == steps.values.count
            else { throw .malformed("one of its tensors is none") }
            return .tensor(
                Tensor(
                    storage: storage,
                    offset: offset,
                    shape: try integers(sides.values),
                    strides: try integers(steps.values)
                )
            )
        case Self.rebuildParameter:
            guard case .tensor(let tensor)? = values.first else {
                throw .malformed("one of its parameters is no tensor")
            }
            return .tensor(tensor)
        default: throw .executable(name)
        }
    }

    private func integers(_ values: [Value]) throws(Failure) -> [Int] {
        var all: [Int] = []
        for value in values {
            guard case .integer(let number) = value else { throw .malformed("a shape in its list is none") }
            all.append(number)
        }
        return all
    }
}
