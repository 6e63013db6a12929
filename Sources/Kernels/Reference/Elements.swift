#if BF16
    import Kernels
#endif

// The scalar kernels are compiled twice: for feature maps of `Float`, and with BF16 defined for those of bfloat16.

#if BF16
    typealias Element = UInt16
#else
    typealias Element = Float
#endif

/// The elements of a pixel: values are `Float`, rounded where they are stored.
struct PixelElements {
    var first: UnsafeMutablePointer<Element>

    subscript(_ channel: Int) -> Float {
        get {
            #if BF16
                return BFloat16.float(first[channel])
            #else
                return first[channel]
            #endif
        }
        nonmutating set {
            #if BF16
                first[channel] = BFloat16.bits(newValue)
            #else
                first[channel] = newValue
            #endif
        }
    }

    static func + (elements: PixelElements, channel: Int) -> PixelElements {
        PixelElements(first: elements.first + channel)
    }
}

extension TensorView {
    var base: UnsafeMutablePointer<Element> { address.assumingMemoryBound(to: Element.self) }

    /// The elements of pixel (image, row, column).
    func pixel(_ image: Int, _ row: Int, _ column: Int) -> PixelElements {
        PixelElements(first: base + ((image * height + row) * width + column) * pixelStride)
    }

    /// The elements of pixel `index`, counted over (image, row, column).
    func pixel(_ index: Int) -> PixelElements { PixelElements(first: base + index * pixelStride) }
}
