/// Which values of its type a setting takes: a sentence for users, and the test behind it.
package struct SettingRange<Value: SettingConvertible>: Sendable {
    /// "0 to 1"; empty where every value is good.
    package let text: String
    /// True where the text says the type as well.
    package let saysType: Bool
    let accepts: @Sendable (Value) -> Bool

    package init(text: String, saysType: Bool = false, accepts: @escaping @Sendable (Value) -> Bool) {
        self.text = text
        self.saysType = saysType
        self.accepts = accepts
    }

    package static var any: SettingRange { SettingRange(text: "") { _ in true } }
}

extension SettingRange where Value: Comparable {
    package static func within(_ range: ClosedRange<Value>) -> SettingRange {
        SettingRange(text: "\(range.lowerBound.settingValue.text) to \(range.upperBound.settingValue.text)") {
            range.contains($0)
        }
    }

    package static func within(_ range: Range<Value>) -> SettingRange {
        SettingRange(text: "\(range.lowerBound.settingValue.text) to below \(range.upperBound.settingValue.text)") {
            range.contains($0)
        }
    }

    /// Between the bounds, neither of which counts.
    package static func above(_ lower: Value, below upper: Value) -> SettingRange {
        SettingRange(text: "above \(lower.settingValue.text) and below \(upper.settingValue.text)") {
            $0 > lower && $0 < upper
        }
    }
}

extension SettingRange {
    /// Applies to a value that is not off.
    package static func unlessOff<Wrapped>(_ range: SettingRange<Wrapped>) -> SettingRange where Value == Wrapped? {
        SettingRange(text: range.text) { $0.map(range.accepts) ?? true }
    }

    /// `count` elements, each accepted by `range`.
    package static func list<Element>(of count: Int, _ range: SettingRange<Element>) -> SettingRange
    where Value == [Element] {
        let elements = range.text.isEmpty ? Element.form.text : "each \(Element.form.text), \(range.text)"
        return SettingRange(text: "a list of \(count), \(elements)", saysType: true) {
            $0.count == count && $0.allSatisfy(range.accepts)
        }
    }
}
