#if !BF16
    /// The rounds are chains of dependent fma, twelve at once: enough to hide their latency.
    @Sendable func fmaRounds(iterations: Int) -> Float {
        // Values that the compiler cannot know, so that it computes the rounds.
        let x = Lanes(repeating: Float(iterations & 1) * 0x1p-20)
        let y = x + 1
        var a = (x, x, x, x, x, x)
        var b = (y, y, y, y, y, y)
        var i = 0
        while i < iterations {
            a.0.addProduct(x, y)
            a.1.addProduct(x, y)
            a.2.addProduct(x, y)
            a.3.addProduct(x, y)
            a.4.addProduct(x, y)
            a.5.addProduct(x, y)
            b.0.addProduct(x, y)
            b.1.addProduct(x, y)
            b.2.addProduct(x, y)
            b.3.addProduct(x, y)
            b.4.addProduct(x, y)
            b.5.addProduct(x, y)
            i += 1
        }
        let total = a.0 + a.1 + a.2 + a.3 + a.4 + a.5 + b.0 + b.1 + b.2 + b.3 + b.4 + b.5
        return total[0]
    }
#endif
