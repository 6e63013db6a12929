/// Something odd about a picture that was read all the same, and what was assumed: a row of `warnings.csv`.
package struct PictureRemark: Sendable, Equatable, Codable {
    /// The names under which remarks are listed.
    package enum Kind: String, Sendable, Codable, CaseIterable {
        /// All pixels have one grey.
        case oneGrey = "one-grey"
        /// So few greys that it may be a mask or a drawing.
        case fewGreys = "few-greys"
        /// Nearly all pixels lie in a small part of the range from black to white.
        case narrowRange = "narrow-range"
        /// Half of the pixels or more are at the ends of the range.
        case clipped
        /// One grey fills a large part of one side, as of an image that is cut off.
        case emptySide = "empty-side"
        /// Its corners are white and its middle is darker, as of a negative.
        case inverted = "looks-inverted"
        /// The picture was turned as its file says.
        case turned
        /// The values have fewer or more bits than their file says.
        case depth = "depth-assumed"
        /// A look-up table has other entries than it claims.
        case table = "table-assumed"
        /// A number of the header is not written as DICOM has it.
        case number = "number-assumed"
        /// The header contradicts itself, or its data.
        case header = "header-assumed"
        /// The picture's pixels are not square.
        case notSquare = "pixels-not-square"
    }

    package var kind: Kind
    package var reason: String

    package init(_ kind: Kind, _ reason: String) {
        self.kind = kind
        self.reason = reason
    }
}
