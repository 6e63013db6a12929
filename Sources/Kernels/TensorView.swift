/// A batch of feature maps in memory: NHWC, `Float` or bfloat16, not owned.
///
/// Element (n, y, x, c) is number ((n · height + y) · width + x) · pixelStride + c from `address`. `pixelStride` ≥
/// `channels`: a view can be some channels of a wider tensor, so that a concatenation is written in place by its
/// operands. What an element is, is the kernel table's business: that of `Float` or that of bfloat16.
/// Kernels may read, never write, up to 15 elements past the channels of a pixel; whoever owns the memory leaves 64
/// bytes of slack at its end.
package struct TensorView {
    package var address: UnsafeMutableRawPointer
    package var images: Int
    package var height: Int
    package var width: Int
    package var channels: Int
    /// In elements.
    package var pixelStride: Int

    package init(
        _ address: UnsafeMutableRawPointer,
        images: Int,
        height: Int,
        width: Int,
        channels: Int,
        pixelStride: Int? = nil
    ) {
        self.address = address
        self.images = images
        self.height = height
        self.width = width
        self.channels = channels
        self.pixelStride = pixelStride ?? channels
    }

    package var pixelsPerImage: Int { height * width }
    package var pixels: Int { images * height * width }
    /// The first element of a view of `Float`s.
    package var floats: UnsafeMutablePointer<Float> { address.assumingMemoryBound(to: Float.self) }
}
