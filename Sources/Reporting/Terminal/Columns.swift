import Foundation

/// Numbers and times in columns of a fixed width, so that lines under each other can be compared.
package enum Columns {
    /// A number with fixed decimals, right-aligned; NaN and infinities by name.
    package static func fixed(_ value: Double, width: Int, decimals: Int) -> String {
        let text = value.isFinite ? String(format: "%.\(decimals)f", value) : name(of: value)
        return right(text, width: width)
    }

    /// A whole number, right-aligned.
    package static func whole(_ value: Int, width: Int) -> String {
        right(String(value), width: width)
    }

    /// Text moved to the right edge of its column; text that is wider stays whole.
    package static func right(_ text: String, width: Int) -> String {
        String(repeating: " ", count: max(0, width - text.count)) + text
    }

    /// A duration as a clock shows it: `4:05`, `1:02:03`, `2d 03:04`.
    package static func clock(_ duration: Duration) -> String {
        let seconds = Int(clamping: max(0, duration.components.seconds))
        func two(_ value: Int) -> String { value < 10 ? "0\(value)" : String(value) }
        let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60)
        if days > 0 { return "\(days)d \(two(hours)):\(two(minutes))" }
        if hours > 0 { return "\(hours):\(two(minutes)):\(two(seconds % 60))" }
        return "\(minutes):\(two(seconds % 60))"
    }

    private static func name(of value: Double) -> String {
        value.isNaN ? "nan" : value < 0 ? "-inf" : "inf"
    }
}
