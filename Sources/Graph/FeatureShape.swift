/// The shape of one image's feature map; how many images a microbatch has is a parameter of compilation.
package struct FeatureShape: Hashable, Sendable, Codable, CustomStringConvertible {
    package var height: Int
    package var width: Int
    package var channels: Int

    package init(height: Int, width: Int, channels: Int) {
        self.height = height
        self.width = width
        self.channels = channels
    }

    package var pixels: Int { height * width }
    package var elements: Int { height * width * channels }
    package var description: String { "\(height)×\(width)×\(channels)" }
}
