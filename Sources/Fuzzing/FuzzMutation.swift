import Numerics

/// Makes an input: a sample that was changed in some places, or, now and then, random bytes.
enum FuzzMutation {
    /// No input is longer.
    static let largestInput = 1 << 16

    /// Numbers at which code breaks.
    private static let numbers: [UInt64] = [
        0, 1, 2, 7, 8, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x1_0000, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff,
        0x1_0000_0000, 1 << 48, .max >> 1, 1 << 63, .max,
    ]

    private static let texts = [
        "-1", "0", "9223372036854775807", "-9223372036854775808", "18446744073709551616", "1e999", "NaN", "null",
        "true",
        "{}", "[]", "\"", "\\", "\\u0000", "\n", "\t", ":", ",", " ", "&a", "*a", "- ", "!!binary ", "? ", "<<: ",
        "\u{0}",
    ].map { Array($0.utf8) }

    static func input(of samples: [[UInt8]], isText: Bool, _ random: inout FuzzRandom) -> [UInt8] {
        if random.onceIn(32) {
            let count = random.below(random.onceIn(8) ? largestInput : 300)
            return (0..<count).map { _ in
                isText && !random.onceIn(16) ? UInt8(32 + random.below(95)) : UInt8(truncatingIfNeeded: random.next())
            }
        }
        var bytes = samples[random.below(samples.count)]
        if random.onceIn(16) { bytes = splice(bytes, samples[random.below(samples.count)], &random) }
        // Mostly few changes: what is changed everywhere is refused at the first check.
        let changes = random.onceIn(8) ? random.below(24) : 1 + random.below(3)
        for _ in 0..<changes { change(&bytes, isText: isText, &random) }
        if bytes.count > largestInput { bytes.removeLast(bytes.count - largestInput) }
        return bytes
    }

    private static func splice(_ first: [UInt8], _ second: [UInt8], _ random: inout FuzzRandom) -> [UInt8] {
        Array(first.prefix(random.below(first.count + 1))) + second.suffix(random.below(second.count + 1))
    }

    private static func change(_ bytes: inout [UInt8], isText: Bool, _ random: inout FuzzRandom) {
        guard !bytes.isEmpty else {
            bytes = [UInt8(truncatingIfNeeded: random.next())]
            return
        }
        let place = random.below(bytes.count)
        let length = 1 + random.below(min(bytes.count - place, random.onceIn(4) ? 4096 : 8))
        switch random.below(isText ? 10 : 8) {
        case 0: bytes[place] ^= 1 << UInt8(random.below(8))
        case 1: bytes[place] = UInt8(truncatingIfNeeded: random.next())
        case 2: bytes.removeSubrange(place..<place + length)
        case 3:
            let part = Array(bytes[place..<place + length])
            for _ in 0...random.below(random.onceIn(8) ? 64 : 3) where bytes.count < largestInput {
                bytes.insert(contentsOf: part, at: place)
            }
        case 4:
            let from = random.below(bytes.count - length + 1)
            bytes.replaceSubrange(place..<place + length, with: Array(bytes[from..<from + length]))
        case 5:
            // A number in 1, 2, 4 or 8 bytes, in either order.
            let width = 1 << random.below(4)
            var number = numbers[random.below(numbers.count)]
            let bigEndian = random.onceIn(4)
            for index in 0..<width {
                let target = place + (bigEndian ? width - 1 - index : index)
                if bytes.indices.contains(target) { bytes[target] = UInt8(truncatingIfNeeded: number) }
                number >>= 8
            }
        case 6: bytes.removeLast(bytes.count - place)
        case 7:
            // A length or number of protobuf, as long as they go.
            let varint = [UInt8](repeating: 0xff, count: random.below(10)) + [UInt8(random.below(128))]
            bytes.insert(contentsOf: varint, at: place)
        case 8: bytes.insert(contentsOf: texts[random.below(texts.count)], at: place)
        default:
            // A number in the text, in the place of another.
            guard let digit = bytes[place...].firstIndex(where: isDigit) else { return }
            let end = bytes[digit...].firstIndex { !isDigit($0) } ?? bytes.count
            bytes.replaceSubrange(digit..<end, with: texts[random.below(7)])
        }
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }
}
