// The sums of register tiles as values: rows of one, two or three vectors, stacked. Every function is inlined into the
// tile that uses it, so that its sums live in registers from the first step to the last, and nothing of the generics is
// left. Each lane of each sum is one chain of products, in the order of the calls of `add`.

/// The sums of a register tile: some rows of some blocks, each of sixteen lanes.
protocol Sums {
    /// The words of a step that every row multiplies: those of sixteen lanes, or a pair or a triple of them.
    associatedtype Blocks

    static var rows: Int { get }
    static var blocks: Int { get }

    /// The words of a step, blocks `step` bytes apart.
    static func load(_ place: UnsafeRawPointer, _ step: Int) -> Blocks

    /// The sums before the first step, where the rows count from `first`.
    init(from first: Int, _ start: (_ row: Int, _ block: Int) -> Lanes)

    /// Adds to each sum its row's word times its block's, rows counted from `first`.
    mutating func add(from first: Int, _ blocks: Blocks, _ row: (Int) -> Words)

    func forEach(from first: Int, _ keep: (_ row: Int, _ block: Int, Lanes) -> Void)
}

extension Sums {
    /// The sums before the first step.
    @inline(__always)
    init(_ start: (_ row: Int, _ block: Int) -> Lanes) { self.init(from: 0, start) }

    /// Sums of nothing.
    @inline(__always)
    init() { self.init(from: 0) { _, _ in Lanes(repeating: 0) } }

    /// One step: adds to each sum its row's words times its block's.
    @inline(__always)
    mutating func add(_ blocks: Blocks, _ row: (Int) -> Words) { add(from: 0, blocks, row) }

    @inline(__always)
    func forEach(_ keep: (_ row: Int, _ block: Int, Lanes) -> Void) { forEach(from: 0, keep) }
}

/// A row of sixteen lanes.
struct Row1: Sums {
    var a: Lanes

    @inline(__always)
    static var rows: Int { 1 }

    @inline(__always)
    static var blocks: Int { 1 }

    @inline(__always)
    static func load(_ place: UnsafeRawPointer, _ step: Int) -> Words { loadWords(place) }

    @inline(__always)
    init(from first: Int, _ start: (Int, Int) -> Lanes) { a = start(first, 0) }

    @inline(__always)
    mutating func add(from first: Int, _ blocks: Words, _ row: (Int) -> Words) { a.addProduct(row(first), blocks) }

    @inline(__always)
    func forEach(from first: Int, _ keep: (Int, Int, Lanes) -> Void) { keep(first, 0, a) }
}

/// A row of 32 lanes.
struct Row2: Sums {
    var a: Lanes
    var b: Lanes

    @inline(__always)
    static var rows: Int { 1 }

    @inline(__always)
    static var blocks: Int { 2 }

    @inline(__always)
    static func load(_ place: UnsafeRawPointer, _ step: Int) -> (Words, Words) {
        (loadWords(place), loadWords(place + step))
    }

    @inline(__always)
    init(from first: Int, _ start: (Int, Int) -> Lanes) {
        a = start(first, 0)
        b = start(first, 1)
    }

    @inline(__always)
    mutating func add(from first: Int, _ blocks: (Words, Words), _ row: (Int) -> Words) {
        let word = row(first)
        a.addProduct(word, blocks.0)
        b.addProduct(word, blocks.1)
    }

    @inline(__always)
    func forEach(from first: Int, _ keep: (Int, Int, Lanes) -> Void) {
        keep(first, 0, a)
        keep(first, 1, b)
    }
}

/// A row of 48 lanes.
struct Row3: Sums {
    var a: Lanes
    var b: Lanes
    var c: Lanes

    @inline(__always)
    static var rows: Int { 1 }

    @inline(__always)
    static var blocks: Int { 3 }

    @inline(__always)
    static func load(_ place: UnsafeRawPointer, _ step: Int) -> (Words, Words, Words) {
        (loadWords(place), loadWords(place + step), loadWords(place + 2 * step))
    }

    @inline(__always)
    init(from first: Int, _ start: (Int, Int) -> Lanes) {
        a = start(first, 0)
        b = start(first, 1)
        c = start(first, 2)
    }

    @inline(__always)
    mutating func add(from first: Int, _ blocks: (Words, Words, Words), _ row: (Int) -> Words) {
        let word = row(first)
        a.addProduct(word, blocks.0)
        b.addProduct(word, blocks.1)
        c.addProduct(word, blocks.2)
    }

    @inline(__always)
    func forEach(from first: Int, _ keep: (Int, Int, Lanes) -> Void) {
        keep(first, 0, a)
        keep(first, 1, b)
        keep(first, 2, c)
    }
}

/// The rows of `Upper`, then those of `Lower`.
struct Stack<Upper: Sums, Lower: Sums>: Sums where Upper.Blocks == Lower.Blocks {
    var upper: Upper
    var lower: Lower

    @inline(__always)
    static var rows: Int { Upper.rows + Lower.rows }

    @inline(__always)
    static var blocks: Int { Upper.blocks }

    @inline(__always)
    static func load(_ place: UnsafeRawPointer, _ step: Int) -> Upper.Blocks { Upper.load(place, step) }

    @inline(__always)
    init(from first: Int, _ start: (Int, Int) -> Lanes) {
        upper = Upper(from: first, start)
        lower = Lower(from: first + Upper.rows, start)
    }

    @inline(__always)
    mutating func add(from first: Int, _ blocks: Upper.Blocks, _ row: (Int) -> Words) {
        upper.add(from: first, blocks, row)
        lower.add(from: first + Upper.rows, blocks, row)
    }

    @inline(__always)
    func forEach(from first: Int, _ keep: (Int, Int, Lanes) -> Void) {
        upper.forEach(from: first, keep)
        lower.forEach(from: first + Upper.rows, keep)
    }
}

typealias Two<Row: Sums> = Stack<Row, Row>
typealias Three<Row: Sums> = Stack<Row, Two<Row>>
typealias Four<Row: Sums> = Two<Two<Row>>
typealias Six<Row: Sums> = Three<Two<Row>>
typealias Eight<Row: Sums> = Two<Four<Row>>
typealias Twelve<Row: Sums> = Three<Four<Row>>
typealias Sixteen<Row: Sums> = Two<Eight<Row>>
typealias TwentyFour<Row: Sums> = Two<Twelve<Row>>
