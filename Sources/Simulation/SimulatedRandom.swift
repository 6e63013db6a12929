import Coordination
import Numerics

/// Random numbers of a simulation, one after the other: equal seeds give equal worlds.
struct SimulatedRandom: Sendable {
    private let sequence: RandomSequence
    private var index = 0
    /// The words that were drawn last, and their block: four come at once.
    private var words = SIMD4<UInt32>()
    private var block = -1

    init(seed: UInt64, stream: UInt32) {
        sequence = RandomSequence(seed: seed, purpose: .simulation, epoch: 0, position: stream)
    }

    mutating func integer(below bound: Int) -> Int {
        index += 1
        if index >> 2 != block {
            block = index >> 2
            words = sequence.words(block: block)
        }
        // As `RandomSequence.integer` does it.
        return Int((UInt64(words[index & 3]) &* UInt64(bound)) >> 32)
    }

    mutating func integer(in range: ClosedRange<Int>) -> Int {
        range.lowerBound + integer(below: range.count)
    }

    /// True once in `count` times.
    mutating func oneIn(_ count: Int) -> Bool { integer(below: count) == 0 }

    mutating func duration(_ range: ClosedRange<Duration>) -> Duration {
        let lower = range.lowerBound.inNanoseconds / 1000
        let upper = range.upperBound.inNanoseconds / 1000
        return .microseconds(lower + Int64(integer(below: Int(max(1, upper - lower)))))
    }
}
