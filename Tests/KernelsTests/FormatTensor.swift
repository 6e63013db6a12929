import Kernels
import Numerics

/// A tensor of either format in memory of its own, with slack around it filled with what no kernel may use or change.
final class FormatTensor {
    let view: TensorView
    let format: ElementFormat
    private let memory: UnsafeMutableRawPointer
    private let count: Int

    /// `extra` elements lie between the channels of neighbouring pixels.
    init(
        _ images: Int,
        _ height: Int,
        _ width: Int,
        _ channels: Int,
        _ format: ElementFormat,
        extra: Int = 0,
        seed: Int? = nil
    ) {
        self.format = format
        let stride = channels + extra
        count = images * height * width * stride + 32
        memory = .allocate(byteCount: count * format.byteCount, alignment: 64)
        view = TensorView(
            memory + 16 * format.byteCount,
            images: images,
            height: height,
            width: width,
            channels: channels,
            pixelStride: stride
        )
        for index in 0..<count { set(index, TestTensor.poison) }
        if let seed {
            let random = RandomSequence(seed: UInt64(seed), purpose: .simulation)
            for pixel in 0..<view.pixels {
                for c in 0..<channels { self[pixel, c] = random.uniform(pixel * channels + c, in: -1...1) }
            }
        }
    }

    deinit { memory.deallocate() }

    subscript(pixel: Int, channel: Int) -> Float {
        get { value(16 + pixel * view.pixelStride + channel) }
        set { set(16 + pixel * view.pixelStride + channel, newValue) }
    }

    /// The bits of everything, slack included, with one bit pattern for every NaN.
    var bits: [UInt32] {
        (0..<count).map { index in
            let value = value(index)
            return value.isNaN ? Float.nan.bitPattern : value.bitPattern
        }
    }

    private func value(_ index: Int) -> Float {
        format == .float32
            ? memory.load(fromByteOffset: 4 * index, as: Float.self)
            : BFloat16.float(memory.load(fromByteOffset: 2 * index, as: UInt16.self))
    }

    private func set(_ index: Int, _ value: Float) {
        if format == .float32 {
            memory.storeBytes(of: value, toByteOffset: 4 * index, as: Float.self)
        } else {
            memory.storeBytes(of: BFloat16.bits(value), toByteOffset: 2 * index, as: UInt16.self)
        }
    }
}
