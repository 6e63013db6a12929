import KernelSelection
import Kernels
import Numerics
import Testing

/// A tensor of bfloat16 in memory of its own, with slack around it that no kernel may use or change.
final class HalfTensor {
    static let poison: UInt16 = 0x4641
    let view: TensorView
    private let memory: UnsafeMutablePointer<UInt16>
    private let count: Int

    /// `bits` gives the elements by their number over (pixel, channel).
    init(
        _ images: Int,
        _ height: Int,
        _ width: Int,
        _ channels: Int,
        pixelStride: Int? = nil,
        bits: ((Int) -> UInt16)? = nil
    ) {
        let stride = pixelStride ?? channels
        count = images * height * width * stride + 48
        memory = .allocate(capacity: count)
        memory.initialize(repeating: Self.poison, count: count)
        view = TensorView(
            memory + 16,
            images: images,
            height: height,
            width: width,
            channels: channels,
            pixelStride: stride
        )
        if let bits {
            for pixel in 0..<view.pixels {
                for c in 0..<channels { (memory + 16 + pixel * stride)[c] = bits(pixel * channels + c) }
            }
        }
    }

    deinit { memory.deallocate() }

    /// Which NaN a NaN is, is no part of the contract.
    var bits: [UInt16] { (0..<count).map { memory[$0] & 0x7FFF > 0x7F80 ? 0x7FC0 : memory[$0] } }
}

/// Numbers in -1...1.
func halves(_ seed: Int) -> (Int) -> UInt16 {
    let random = RandomSequence(seed: UInt64(seed), purpose: .simulation)
    return { BFloat16.bits(random.uniform($0, in: -1...1)) }
}

@Suite struct BFloat16Kernels {
    private func scratch(_ g: ConvolutionGeometry, _ pass: ConvolutionPass, _ x: TensorView) -> UnsafeMutableRawPointer
    {
        let bytes = g.scratchBytes(pass, for: .bfloat16, images: x.images, height: x.height, width: x.width)
        let base = UnsafeMutableRawPointer.allocate(byteCount: bytes + 64, alignment: 64)
        base.initializeMemory(as: UInt8.self, repeating: 0xFF, count: bytes)
        (base + bytes).initializeMemory(as: UInt8.self, repeating: 0x5A, count: 64)
        return base
    }

    /// Frees scratch memory; whether nothing was written past its end.
    private func release(_ base: UnsafeMutableRawPointer, _ bytes: Int) -> Bool {
        defer { base.deallocate() }
        return (0..<64).allSatisfy { base.load(fromByteOffset: bytes + $0, as: UInt8.self) == 0x5A }
    }

    @Test(arguments: vectorVariants, EqualBits.geometries)
    func `convolutions give the same bits`(variant: KernelVariant, g: ConvolutionGeometry) {
        compare(variant, g, EqualBits.extents)
    }

    /// Those to few channels have rows long enough for every tile, and those of odd channels are paired across taps.
    @Test(
        arguments: vectorVariants,
        [
            ConvolutionGeometry(inputChannels: 16, outputChannels: 1, kernelHeight: 3, kernelWidth: 3, padding: 1),
            .init(inputChannels: 1, outputChannels: 16, kernelHeight: 3, kernelWidth: 3, padding: 1),
            .init(inputChannels: 3, outputChannels: 7, kernelHeight: 5, kernelWidth: 5, padding: 2),
            .init(inputChannels: 18, outputChannels: 9, kernelHeight: 3, kernelWidth: 3, padding: 4, dilation: 2),
            .init(inputChannels: 7, outputChannels: 35, kernelHeight: 3, kernelWidth: 3, padding: 3, dilation: 3),
            .init(inputChannels: 1, outputChannels: 33, kernelHeight: 7, kernelWidth: 7, stride: 2, padding: 3),
        ]
    )
    func `convolutions of few channels give the same bits`(variant: KernelVariant, g: ConvolutionGeometry) {
        compare(variant, g, [(1, 3, 300), (2, 9, 70)])
    }

    /// Weights that are kept and those that pass by, single runs of tiles and more, channels cut within a pair of registers.
    @Test(
        arguments: vectorVariants,
        [
            ConvolutionGeometry(inputChannels: 32, outputChannels: 16, kernelHeight: 3, kernelWidth: 3, padding: 1),
            .init(inputChannels: 34, outputChannels: 30, kernelHeight: 3, kernelWidth: 3, padding: 2),
            .init(inputChannels: 70, outputChannels: 66, kernelHeight: 3, kernelWidth: 3, paddingAfter: 1),
            .init(inputChannels: 296, outputChannels: 178, kernelHeight: 3, kernelWidth: 3, padding: 1),
        ]
    )
    func `Winograd convolutions give the same bits`(variant: KernelVariant, g: ConvolutionGeometry) {
        #expect(g.usesWinograd(for: .bfloat16))
        compare(variant, g, g.inputChannels > 200 ? [(2, 5, 6)] : [(1, 1, 2), (2, 13, 37), (1, 30, 9)])
    }

    private func compare(_ variant: KernelVariant, _ g: ConvolutionGeometry, _ extents: [(Int, Int, Int)]) {
        let tables = [KernelVariant.reference.bfloat16Table, variant.bfloat16Table]
        for (images, height, width) in extents {
            let outHeight = g.outputHeight(height)
            let outWidth = g.outputWidth(width)
            guard outHeight > 0, outWidth > 0 else { continue }
            let x = HalfTensor(
                images,
                height,
                width,
                g.inputChannels,
                pixelStride: g.inputChannels + 3,
                bits: halves(1)
            )
            let dy = HalfTensor(images, outHeight, outWidth, g.outputChannels, bits: halves(4))
            let weights = EqualBits.storageWeights(g, seed: 2)
            let bias = randomVector(max(g.inputChannels, g.outputChannels), seed: 3)
            func bytes(_ pass: ConvolutionPass) -> Int {
                g.scratchBytes(pass, for: .bfloat16, images: images, height: height, width: width)
            }
            let forward = tables.map { table in
                let y = HalfTensor(images, outHeight, outWidth, g.outputChannels, pixelStride: g.outputChannels + 5)
                let memory = scratch(g, .forward, x.view)
                table.convolution(x.view, weights, bias, y.view, g, true, memory)
                #expect(release(memory, bytes(.forward)))
                return y.bits
            }
            #expect(forward[0] == forward[1], "forward, \(g) on \(images)×\(height)×\(width)")
            for accumulate in [false, true] {
                let input = tables.map { table in
                    let dx = HalfTensor(
                        images,
                        height,
                        width,
                        g.inputChannels,
                        pixelStride: g.inputChannels + 1,
                        bits: halves(5)
                    )
                    let memory = scratch(g, .backwardInput, dx.view)
                    table.convolutionBackwardInput(dy.view, weights, bias, dx.view, g, accumulate, accumulate, memory)
                    #expect(release(memory, bytes(.backwardInput)))
                    return dx.bits
                }
                #expect(input[0] == input[1], "to the input, \(g) on \(images)×\(height)×\(width)")
            }
            let gradients = tables.map { table in
                var dw = [Float](repeating: .nan, count: g.storageCount)
                let memory = scratch(g, .backwardWeights, x.view)
                table.convolutionBackwardWeights(x.view, dy.view, &dw, g, memory)
                #expect(release(memory, bytes(.backwardWeights)))
                return dw.map(\.bitPattern)
            }
            #expect(gradients[0] == gradients[1], "to the weights, \(g) on \(images)×\(height)×\(width)")
        }
    }

    /// The scalar dot step, and AVX2's, against VDPBF16PS where this processor has it: any bits, denormals, infinities and
    /// NaN among them, and sums at the edge of the normal numbers.
    @Test(
        arguments: vectorVariants,
        [
            ConvolutionGeometry(inputChannels: 4, outputChannels: 16, kernelHeight: 1, kernelWidth: 1),
            .init(inputChannels: 32, outputChannels: 16, kernelHeight: 3, kernelWidth: 3, padding: 1),
        ]
    )
    func `dot steps are those of the processor`(variant: KernelVariant, g: ConvolutionGeometry) {
        let random = RandomSequence(seed: 5, purpose: .simulation)
        let special: [UInt16] = [
            0, 0x8000, 1, 0x8001, 0x7F, 0x80, 0x8080, 0x81, 0x7F80, 0xFF80, 0x7FC0, 0x3F80, 0x0100,
        ]
        func element(_ index: Int) -> UInt16 {
            let word = random.word(index)
            switch word >> 29 {
            case 0: return special[Int(word & 0xFFFF) % special.count]
            // Exponents whose products lie about the least normal number.
            case 1, 2, 3: return UInt16(truncatingIfNeeded: word & 0x807F) | UInt16(0x1F80 + (word >> 8 & 0xF) << 7)
            case 4: return UInt16(truncatingIfNeeded: word & 0x83FF)
            default: return UInt16(truncatingIfNeeded: word)
            }
        }
        for round in 0..<(g.usesWinograd(for: .bfloat16) ? 4 : 20) {
            let x = HalfTensor(1, 8, 64, g.inputChannels) { element(round << 20 + $0) }
            var weights = [Float](repeating: 0, count: g.storageCount + 16)
            for index in 0..<g.storageCount { weights[index] = BFloat16.float(element(1 << 30 + round << 20 + index)) }
            let sums = [KernelVariant.reference, variant].map { variant in
                // The weights' gradient gives the sums unrounded.
                let dy = HalfTensor(1, 8, 64, g.outputChannels) { element(1 << 29 + round << 20 + $0) }
                var dw = [Float](repeating: 0, count: g.storageCount)
                let memory = scratch(g, .backwardWeights, x.view)
                variant.bfloat16Table.convolutionBackwardWeights(x.view, dy.view, &dw, g, memory)
                memory.deallocate()
                let y = HalfTensor(1, 8, 64, g.outputChannels)
                let other = scratch(g, .forward, x.view)
                variant.bfloat16Table.convolution(x.view, weights, nil, y.view, g, false, other)
                other.deallocate()
                return y.bits.map(UInt32.init) + dw.map { $0.isNaN ? Float.nan.bitPattern : $0.bitPattern }
            }
            #expect(sums[0] == sums[1])
        }
    }

    @Test(arguments: vectorVariants)
    func `maps are rounded alike`(variant: KernelVariant) {
        let random = RandomSequence(seed: 6, purpose: .simulation)
        let x = TestTensor(1, 64, 64, 17)
        for index in 0..<64 * 64 * 17 { x.view.floats[index] = Float(bitPattern: random.word(index)) }
        let rounded = [KernelVariant.reference, variant].map { variant in
            let y = HalfTensor(1, 64, 64, 17, pixelStride: 19)
            variant.bfloat16Table.narrow(x.view, y.view, false)
            let back = TestTensor(1, 64, 64, 17)
            variant.bfloat16Table.widen(y.view, back.view, false)
            return y.bits.map(UInt32.init) + back.bits
        }
        #expect(rounded[0] == rounded[1])
    }
}
