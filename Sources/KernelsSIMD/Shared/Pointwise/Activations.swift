import Kernels

@Sendable func silu(x: TensorView, y: TensorView) {
    forEachLanes(x) { pixel, c, n in put(LaneMath.silu(load(place(x, pixel, c))), y, pixel, c, n) }
}

@Sendable func siluBackward(x: TensorView, dy: TensorView, dx: TensorView, accumulate: Bool) {
    forEachLanes(x) { pixel, c, n in
        let g = load(place(dy, pixel, c)) * LaneMath.siluDerivative(load(place(x, pixel, c)))
        put(g, dx, pixel, c, n, accumulate: accumulate)
    }
}

@Sendable func leakyReLU(x: TensorView, y: TensorView, slope: Float) {
    let factor = Lanes(repeating: slope)
    forEachLanes(x) { pixel, c, n in put(leaky(load(place(x, pixel, c)), factor), y, pixel, c, n) }
}

@Sendable func leakyReLUBackward(y: TensorView, dy: TensorView, dx: TensorView, slope: Float, accumulate: Bool) {
    let factor = Lanes(repeating: slope)
    forEachLanes(y) { pixel, c, n in
        let g = leakyMasked(load(place(dy, pixel, c)), where: load(place(y, pixel, c)), factor)
        put(g, dx, pixel, c, n, accumulate: accumulate)
    }
}

@Sendable func softmax(x: TensorView, y: TensorView) {
    let pixels = x.pixels
    var pixel = 0
    while pixel < pixels {
        var most = widened(place(x, pixel, 0))
        var channel = 1
        while channel < x.channels {
            let value = widened(place(x, pixel, channel))
            if value > most { most = value }
            channel += 1
        }
        let largest = Lanes(repeating: most)
        var sum: Float = 0
        channel = 0
        while channel < x.channels {
            let e = LaneMath.exp(load(place(x, pixel, channel)) - largest)
            let count = min(16, x.channels - channel)
            var lane = 0
            while lane < count {
                sum += e[lane]
                lane += 1
            }
            channel += 16
        }
        let divisor = Lanes(repeating: sum)
        channel = 0
        while channel < x.channels {
            let e = LaneMath.exp(load(place(x, pixel, channel)) - largest)
            put(e / divisor, y, pixel, channel, x.channels - channel)
            channel += 16
        }
        pixel += 1
    }
}

@Sendable func softmaxBackward(y: TensorView, dy: TensorView, dx: TensorView, accumulate: Bool) {
    let pixels = y.pixels
    var pixel = 0
    while pixel < pixels {
        var sum: Float = 0
        var channel = 0
        while channel < y.channels {
            sum.addProduct(widened(place(y, pixel, channel)), widened(place(dy, pixel, channel)))
            channel += 1
        }
        let mean = Lanes(repeating: sum)
        channel = 0
        while channel < y.channels {
            let value = load(place(y, pixel, channel)) * (load(place(dy, pixel, channel)) - mean)
            put(value, dx, pixel, channel, y.channels - channel, accumulate: accumulate)
            channel += 16
        }
        pixel += 1
    }
}

@inline(__always)
func widened(_ pointer: UnsafeMutablePointer<Float>) -> Float { pointer.pointee }

@inline(__always)
func widened(_ pointer: UnsafeMutablePointer<UInt16>) -> Float {
    Float(bitPattern: UInt32(pointer.pointee) << 16)
}
