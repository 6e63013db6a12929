import KernelSelection
import Kernels
import Testing

/// Convolutions with groups give the reference's bits.
@Suite struct GroupedConvolutionTests {
    static func geometry(
        _ inputs: Int,
        _ outputs: Int,
        groups: Int,
        kernel: Int,
        stride: Int = 1,
        padding: Int,
        after: Int? = nil,
        dilation: Int = 1
    ) -> ConvolutionGeometry {
        ConvolutionGeometry(
            inputChannels: inputs,
            outputChannels: outputs,
            kernelHeight: kernel,
            kernelWidth: kernel,
            stride: stride,
            padding: padding,
            paddingAfter: after,
            dilation: dilation,
            groups: groups
        )
    }

    static let geometries = [
        geometry(16, 16, groups: 16, kernel: 3, padding: 1),
        geometry(20, 20, groups: 20, kernel: 3, stride: 2, padding: 0, after: 1),
        geometry(70, 70, groups: 70, kernel: 5, padding: 2),
        geometry(33, 33, groups: 33, kernel: 5, stride: 2, padding: 1, after: 2),
        geometry(48, 48, groups: 48, kernel: 7, padding: 3),
        geometry(18, 18, groups: 18, kernel: 3, padding: 4, dilation: 4),
        geometry(5, 5, groups: 5, kernel: 1, stride: 2, padding: 0),
        geometry(32, 32, groups: 8, kernel: 3, padding: 1),
        geometry(20, 20, groups: 5, kernel: 3, stride: 2, padding: 1),
        geometry(64, 64, groups: 8, kernel: 3, padding: 1),
        geometry(40, 40, groups: 20, kernel: 3, padding: 2, dilation: 2),
        geometry(32, 32, groups: 2, kernel: 3, padding: 1),
        geometry(64, 64, groups: 2, kernel: 3, stride: 2, padding: 1),
        geometry(32, 64, groups: 2, kernel: 5, padding: 2),
        geometry(12, 24, groups: 3, kernel: 3, padding: 1),
        geometry(12, 12, groups: 2, kernel: 3, stride: 3, padding: 1),
    ]

    /// Every format's reference with each vector variant.
    static let pairs: [(reference: KernelTable, vector: KernelTable)] = vectorVariants.flatMap { variant in
        [
            (KernelVariant.reference.tables.float32, variant.tables.float32),
            (KernelVariant.reference.tables.bfloat16, variant.tables.bfloat16),
        ]
    }

    @Test(arguments: geometries)
    func bits(g: ConvolutionGeometry) {
        for (reference, vector) in Self.pairs {
            for (images, height, width) in EqualBits.extents {
                let outHeight = g.outputHeight(height)
                let outWidth = g.outputWidth(width)
                guard outHeight > 0, outWidth > 0 else { continue }
                let format = reference.format
                let x = FormatTensor(images, height, width, g.inputChannels, format, extra: 3, seed: 1)
                let dy = FormatTensor(images, outHeight, outWidth, g.outputChannels, format, extra: 1, seed: 4)
                let bias = randomVector(g.outputChannels, seed: 3)
                var weights = randomVector(g.storageCount, seed: 2)
                let used = g.outputChannels % 16
                let rows = g.taps * g.inputsPerGroup
                if used > 0 {
                    for row in 0..<rows {
                        for lane in used..<16 { weights[(g.outputChannels / 16 * rows + row) * 16 + lane] = 0 }
                    }
                }
                let results = [reference, vector].map { table in
                    var all: [[UInt32]] = []
                    let y = FormatTensor(images, outHeight, outWidth, g.outputChannels, format, extra: 5)
                    table.groupedConvolution(x.view, weights, bias, y.view, g, true)
                    all.append(y.bits)
                    table.groupedConvolution(x.view, weights, nil, y.view, g, false)
                    all.append(y.bits)
                    let bytes = g.scratchBytes(
                        .backwardInput,
                        for: format,
                        images: images,
                        height: height,
                        width: width
                    )
                    var scratch = [Float](repeating: .nan, count: bytes / 4 + 1)
                    for accumulate in [false, true] {
                        let dx = FormatTensor(images, height, width, g.inputChannels, format, extra: 2, seed: 5)
                        table.groupedConvolutionBackwardInput(dy.view, weights, dx.view, g, accumulate, &scratch)
                        all.append(dx.bits)
                    }
                    var dw = [Float](repeating: .nan, count: g.storageCount)
                    table.groupedConvolutionBackwardWeights(x.view, dy.view, &dw, g)
                    all.append(dw.map(\.bitPattern))
                    return all
                }
                #expect(results[0] == results[1], "\(vector.name) \(format) \(g) on \(images)×\(height)×\(width)")
            }
        }
    }
}
