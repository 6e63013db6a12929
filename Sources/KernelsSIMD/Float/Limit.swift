/// The rounds are chains of dependent fma, twelve registers at once: enough to hide their latency, and with their two
/// operands no more than there are. AVX2 has twelve in six chains, so it goes through them twice.
@Sendable func fmaRounds(iterations: Int) -> Float {
    // Values that the compiler cannot know, so that it computes the rounds.
    let x = Lanes(repeating: Float(iterations & 1) * 0x1p-20)
    let y = x + 1
    var a = (x, x, x, x, x, x)
    #if AVX512
        var b = (y, y, y, y, y, y)
    #endif
    var i = 0
    while i < iterations {
        a.0.addProduct(x, y)
        a.1.addProduct(x, y)
        a.2.addProduct(x, y)
        a.3.addProduct(x, y)
        a.4.addProduct(x, y)
        a.5.addProduct(x, y)
        #if AVX512
            b.0.addProduct(x, y)
            b.1.addProduct(x, y)
            b.2.addProduct(x, y)
            b.3.addProduct(x, y)
            b.4.addProduct(x, y)
            b.5.addProduct(x, y)
        #else
            a.0.addProduct(x, y)
            a.1.addProduct(x, y)
            a.2.addProduct(x, y)
            a.3.addProduct(x, y)
            a.4.addProduct(x, y)
            a.5.addProduct(x, y)
        #endif
        i += 1
    }
    #if AVX512
        let total = a.0 + a.1 + a.2 + a.3 + a.4 + a.5 + b.0 + b.1 + b.2 + b.3 + b.4 + b.5
    #else
        let total = a.0 + a.1 + a.2 + a.3 + a.4 + a.5
    #endif
    return total[0]
}
