import CIntrinsics
import Kernels

/// The arguments of `batchNormBackwardSums` but the activation.
struct NormalizationSums {
    var x: TensorView
    var dy: TensorView
    var mean: UnsafePointer<Float>
    var inverseDeviation: UnsafePointer<Float>
    var dGamma: UnsafeMutablePointer<Float>
    var dBeta: UnsafeMutablePointer<Float>

    /// The sums where the gradient takes more than a mask; `gradient` is that at (value of x, pixel, channel).
    ///
    /// Pixel by pixel, in the order in which they lie in memory: the block's sums stay in the first cache.
    @inline(__always)
    func add(_ gradient: (_ x: Lanes, _ pixel: Int, _ channel: Int) -> Lanes) {
        let pixels = x.pixels
        let most = Int(PLEURA_SUMMED_CHANNELS)
        let gammas = pleura_block_sums()
        let betas = gammas + most
        let totals = UnsafeMutableRawPointer(betas + most).assumingMemoryBound(to: Double.self)
        @inline(__always)
        func addSums(_ g: Lanes, _ channel: Int, _ place: Int, _ source: UnsafeMutablePointer<Element>) {
            let normalized = (load(source + place) - load(mean + place)) * load(inverseDeviation + place)
            storeLanes(load(betas + channel) + g, betas + channel)
            storeLanes(fma(g, normalized, load(gammas + channel)), gammas + channel)
        }
        var first = 0
        while first < x.channels {
            let channels = min(most, x.channels - first)
            var channel = 0
            while channel < channels {
                totals[channel] = 0
                totals[most + channel] = 0
                channel += 1
            }
            var start = 0
            while start < pixels {
                let last = min(start + pixelBlock, pixels)
                channel = 0
                while channel < channels {
                    storeLanes(Lanes(repeating: 0), gammas + channel)
                    storeLanes(Lanes(repeating: 0), betas + channel)
                    channel += 16
                }
                var pixel = start
                while pixel < last {
                    let source = x.base + pixel * x.pixelStride
                    channel = 0
                    #if AVX512
                        while channel + 64 <= channels {
                            let place = first + channel
                            let g0 = gradient(load(source + place), pixel, place)
                            let g1 = gradient(load(source + place + 16), pixel, place + 16)
                            let g2 = gradient(load(source + place + 32), pixel, place + 32)
                            let g3 = gradient(load(source + place + 48), pixel, place + 48)
                            addSums(g0, channel, place, source)
                            addSums(g1, channel + 16, place + 16, source)
                            addSums(g2, channel + 32, place + 32, source)
                            addSums(g3, channel + 48, place + 48, source)
                            channel += 64
                        }
                    #endif
                    while channel < channels {
                        let place = first + channel
                        addSums(gradient(load(source + place), pixel, place), channel, place, source)
                        channel += 16
                    }
                    pixel += 1
                }
                channel = 0
                while channel < channels {
                    totals[channel] += Double(gammas[channel])
                    totals[most + channel] += Double(betas[channel])
                    channel += 1
                }
                start = last
            }
            channel = 0
            while channel < channels {
                dGamma[first + channel] = Float(totals[channel])
                dBeta[first + channel] = Float(totals[most + channel])
                channel += 1
            }
            first += most
        }
    }

    /// The sums where g is dy, or dy where y > 0.
    func addMasked(_ y: TensorView?) {
        let pixels = x.pixels
        let ahead = dy.ahead
        var first = 0
        while first < x.channels {
            let channels = min(group, x.channels - first)
            let (gammas, betas) = zeroedSums()
            var channel = 0
            var start = 0
            while start < pixels {
                let last = min(start + pixelBlock, pixels)
                channel = 0
                while channel + 64 <= channels {
                    let place = first + channel
                    let zero = Lanes(repeating: 0)
                    var gamma = (zero, zero, zero, zero)
                    var beta = (zero, zero, zero, zero)
                    let center = (
                        load(mean + place), load(mean + place + 16), load(mean + place + 32),
                        load(mean + place + 48)
                    )
                    let inverse = (
                        load(inverseDeviation + place), load(inverseDeviation + place + 16),
                        load(inverseDeviation + place + 32), load(inverseDeviation + place + 48)
                    )
                    var pixel = start
                    while pixel < last {
                        let input = UnsafePointer(x.base + pixel * x.pixelStride + place)
                        let gradient = UnsafePointer(dy.base + pixel * dy.pixelStride + place)
                        if ahead != 0 { pleura_prefetch(gradient + ahead) }
                        if ahead != 0 { pleura_prefetch(gradient + ahead + 32) }
                        let g0: Lanes
                        let g1: Lanes
                        let g2: Lanes
                        let g3: Lanes
                        if let y {
                            let output = UnsafePointer(y.base + pixel * y.pixelStride + place)
                            g0 = masked(load(gradient), where: load(output))
                            g1 = masked(load(gradient + 16), where: load(output + 16))
                            g2 = masked(load(gradient + 32), where: load(output + 32))
                            g3 = masked(load(gradient + 48), where: load(output + 48))
                        } else {
                            g0 = load(gradient)
                            g1 = load(gradient + 16)
                            g2 = load(gradient + 32)
                            g3 = load(gradient + 48)
                        }
                        beta.0 += g0
                        beta.1 += g1
                        beta.2 += g2
                        beta.3 += g3
                        gamma.0 = fma(g0, (load(input) - center.0) * inverse.0, gamma.0)
                        gamma.1 = fma(g1, (load(input + 16) - center.1) * inverse.1, gamma.1)
                        gamma.2 = fma(g2, (load(input + 32) - center.2) * inverse.2, gamma.2)
                        gamma.3 = fma(g3, (load(input + 48) - center.3) * inverse.3, gamma.3)
                        pixel += 1
                    }
                    widen(gamma, into: gammas + channel)
                    widen(beta, into: betas + channel)
                    channel += 64
                }
                while channel < channels {
                    let place = first + channel
                    let center = load(mean + place)
                    let inverse = load(inverseDeviation + place)
                    var gamma = Lanes(repeating: 0)
                    var beta = Lanes(repeating: 0)
                    var pixel = start
                    while pixel < last {
                        var g = load(dy.base + pixel * dy.pixelStride + place)
                        if let y { g = masked(g, where: load(y.base + pixel * y.pixelStride + place)) }
                        beta += g
                        gamma = fma(g, (load(x.base + pixel * x.pixelStride + place) - center) * inverse, gamma)
                        pixel += 1
                    }
                    widen(gamma, into: gammas + channel)
                    widen(beta, into: betas + channel)
                    channel += 16
                }
                start = last
            }
            channel = 0
            while channel < channels {
                dGamma[first + channel] = Float(gammas[channel])
                dBeta[first + channel] = Float(betas[channel])
                channel += 1
            }
            first += group
        }
    }
}

@Sendable func batchNormBackwardSums(
    x: TensorView,
    dy: TensorView,
    activation: ActivationGradient,
    mean: UnsafePointer<Float>,
    inverseDeviation: UnsafePointer<Float>,
    dGamma: UnsafeMutablePointer<Float>,
    dBeta: UnsafeMutablePointer<Float>
) {
    let pass = NormalizationSums(
        x: x,
        dy: dy,
        mean: mean,
        inverseDeviation: inverseDeviation,
        dGamma: dGamma,
        dBeta: dBeta
    )
    switch activation.activation {
    case .none:
        pass.addMasked(nil)
    case .relu:
        pass.addMasked(activation.y)
    case .silu:
        guard let scale = activation.scale, let shift = activation.shift else { return }
        siluBackwardSums(pass, scale, shift)
    case .leakyReLU(let factor):
        guard let y = activation.y else { return }
        leakyBackwardSums(pass, y, Lanes(repeating: factor))
    }
}

func siluBackwardSums(
    _ pass: NormalizationSums,
    _ scale: UnsafePointer<Float>,
    _ shift: UnsafePointer<Float>
) {
    let dy = pass.dy
    pass.add { input, pixel, channel in
        let z = fma(input, load(scale + channel), load(shift + channel))
        return load(dy.base + pixel * dy.pixelStride + channel) * LaneMath.siluDerivative(z)
    }
}

func leakyBackwardSums(_ pass: NormalizationSums, _ y: TensorView, _ slope: Lanes) {
    let dy = pass.dy
    pass.add { _, pixel, channel in
        leakyMasked(
            load(dy.base + pixel * dy.pixelStride + channel),
            where: load(y.base + pixel * y.pixelStride + channel),
            slope
        )
    }
}
