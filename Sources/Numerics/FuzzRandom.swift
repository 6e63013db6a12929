/// A small generator of random numbers (SplitMix64): each case of a fuzzing run has its own, so that it can be repeated
/// alone.
package struct FuzzRandom: RandomNumberGenerator {
    private var state: UInt64

    package init(seed: UInt64) { state = seed }

    package mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var word = state
        word = (word ^ word >> 30) &* 0xbf58_476d_1ce4_e5b9
        word = (word ^ word >> 27) &* 0x94d0_49bb_1331_11eb
        return word ^ word >> 31
    }

    /// A number from 0 to below `bound`, which is above 0; not quite uniform.
    package mutating func below(_ bound: Int) -> Int { Int(next() >> 1) % bound }

    /// True once in `count` times.
    package mutating func onceIn(_ count: Int) -> Bool { below(count) == 0 }
}
