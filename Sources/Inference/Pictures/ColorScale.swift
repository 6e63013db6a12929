/// Colours for shares of 0 to 1 whose steps look equally large, also to most colour-blind eyes and in grey: viridis, by
/// S. van der Walt and N. Smith (2015, CC0), at 33 places with straight lines between them.
package enum ColorScale {
    private static let places: [UInt32] = [
        0x440154, 0x470D60, 0x48186A, 0x482374, 0x472D7B, 0x453781, 0x424086, 0x3E4989, 0x3B528B, 0x375B8D, 0x33638D,
        0x2F6B8E, 0x2C728E, 0x297A8E, 0x26828E, 0x23898E, 0x21918C, 0x1F988B, 0x1FA088, 0x22A785, 0x28AE80, 0x32B67A,
        0x3FBC73, 0x4EC36B, 0x5EC962, 0x70CF57, 0x84D44B, 0x98D83E, 0xADDC30, 0xC2DF23, 0xD8E219, 0xECE51B, 0xFDE725,
    ]

    /// The colour of a share; what is outside of 0 to 1 has the nearest one's, what is no number the lowest.
    package static func color(_ value: Float) -> RGB {
        let place = (value > 0 ? min(1, value) : 0) * Float(places.count - 1)
        let lower = min(places.count - 2, Int(place))
        let part = place - Float(lower)
        func channel(_ shift: UInt32) -> UInt8 {
            let (from, to) = (Float(places[lower] >> shift & 255), Float(places[lower + 1] >> shift & 255))
            return UInt8(from + (to - from) * part + 0.5)
        }
        return RGB(channel(16), channel(8), channel(0))
    }
}
