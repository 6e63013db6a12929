import Platform

/// The range of a field: a sentence for users and the test behind it.
struct ValueCheck<Value>: Sendable {
    /// "at least 1"; empty where every value of the type is good.
    let text: String
    /// True where the text says the type as well, so that a user need not read both.
    var saysType = false
    let accepts: @Sendable (Value) -> Bool
    /// What an accepted value means: itself, but for paths.
    var resolve: @Sendable (Value) throws(ValueProblem) -> Value = { $0 }
}

extension ValueCheck {
    static var any: ValueCheck { ValueCheck(text: "") { _ in true } }
}

extension ValueCheck where Value == String {
    /// The most bytes of a run's name: names of files and messages are made of it.
    static var longestName: Int { 200 }

    /// A title in one line.
    static var name: ValueCheck {
        ValueCheck(text: "text of at most \(longestName) bytes without control characters", saysType: true) { text in
            text.utf8.count <= longestName
                && text.unicodeScalars.allSatisfy { $0.value >= 0x20 && !(0x7F...0x9F).contains($0.value) }
        }
    }

    /// A folder or file; a leading `~` is the home folder, as a shell would have it.
    static var path: ValueCheck {
        ValueCheck(
            text: "",
            accepts: { _ in true },
            resolve: { text throws(ValueProblem) in
                do throws(UserPathError) { return try UserPath.expanded(text) } catch {
                    throw ValueProblem(message: error.description)
                }
            }
        )
    }
}

extension ValueCheck where Value: Comparable & ConfigurationValue {
    static func atLeast(_ bound: Value) -> ValueCheck {
        ValueCheck(text: "at least \(bound.yaml)") { $0 >= bound }
    }

    static func above(_ bound: Value) -> ValueCheck {
        ValueCheck(text: "above \(bound.yaml)") { $0 > bound }
    }

    static func within(_ range: ClosedRange<Value>) -> ValueCheck {
        ValueCheck(text: "\(range.lowerBound.yaml) to \(range.upperBound.yaml)") { range.contains($0) }
    }

    static func within(_ range: Range<Value>) -> ValueCheck {
        ValueCheck(text: "\(range.lowerBound.yaml) to below \(range.upperBound.yaml)") { range.contains($0) }
    }

    /// Above the lower bound, up to the upper one.
    static func above(_ lower: Value, upTo upper: Value) -> ValueCheck {
        ValueCheck(text: "above \(lower.yaml), up to \(upper.yaml)") { $0 > lower && $0 <= upper }
    }

    /// Between the bounds, neither of which counts.
    static func above(_ lower: Value, below upper: Value) -> ValueCheck {
        ValueCheck(text: "above \(lower.yaml) and below \(upper.yaml)") { $0 > lower && $0 < upper }
    }

    static func oneOf(_ values: Value...) -> ValueCheck {
        ValueCheck(text: values.map(\.yaml).joined(separator: " or ")) { values.contains($0) }
    }
}

extension ValueCheck {
    /// Applies to a value that is not off.
    static func unlessOff<Wrapped>(_ check: ValueCheck<Wrapped>) -> ValueCheck where Value == Wrapped? {
        ValueCheck(text: check.text) { $0.map(check.accepts) ?? true }
    }
}

extension ValueCheck where Value == [Double] {
    /// Two numbers, each accepted by `check`.
    static func pair(_ check: ValueCheck<Double>) -> ValueCheck {
        ValueCheck(text: "two numbers, each \(check.text)", saysType: true) {
            $0.count == 2 && $0.allSatisfy(check.accepts)
        }
    }
}
