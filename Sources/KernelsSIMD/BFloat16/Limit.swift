/// Chains of dependent dot steps, twelve registers at once: 768 operations a round.
@Sendable func fmaRounds(iterations: Int) -> Float {
    let x = Pairs(repeating: Int32(truncatingIfNeeded: iterations & 1))
    let y = Pairs(repeating: 0x3F80_3F80)
    let zero = Lanes(repeating: 0)
    var a = (zero, zero, zero, zero, zero, zero)
    var b = a
    var i = 0
    while i < iterations {
        a.0 = dot(a.0, x, y)
        a.1 = dot(a.1, x, y)
        a.2 = dot(a.2, x, y)
        a.3 = dot(a.3, x, y)
        a.4 = dot(a.4, x, y)
        a.5 = dot(a.5, x, y)
        b.0 = dot(b.0, x, y)
        b.1 = dot(b.1, x, y)
        b.2 = dot(b.2, x, y)
        b.3 = dot(b.3, x, y)
        b.4 = dot(b.4, x, y)
        b.5 = dot(b.5, x, y)
        i += 1
    }
    let total = a.0 + a.1 + a.2 + a.3 + a.4 + a.5 + b.0 + b.1 + b.2 + b.3 + b.4 + b.5
    return total[0]
}
