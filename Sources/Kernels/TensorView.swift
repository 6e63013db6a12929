/// A batch of feature maps in memory: NHWC, `Float`, not owned.
///
/// Element (n, y, x, c) stands at `base[((n · height + y) · width + x) · pixelStride + c]`. `pixelStride` ≥ `channels`:
/// a view can be some channels of a wider tensor, so that a concatenation is written in place by its operands.
/// Kernels may read, never write, up to 15 elements past the channels of a pixel; whoever owns the memory leaves 64
/// bytes of slack at its end.
package struct TensorView {
    package var base: UnsafeMutablePointer<Float>
    package var images: Int
    package var height: Int
    package var width: Int
    package var channels: Int
    package var pixelStride: Int

    package init(
        _ base: UnsafeMutablePointer<Float>,
        images: Int,
        height: Int,
        width: Int,
        channels: Int,
        pixelStride: Int? = nil
    ) {
        self.base = base
        self.images = images
        self.height = height
        self.width = width
        self.channels = channels
        self.pixelStride = pixelStride ?? channels
    }

    package var pixelsPerImage: Int { height * width }
    package var pixels: Int { images * height * width }
}
