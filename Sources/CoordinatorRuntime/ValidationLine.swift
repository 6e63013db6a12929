import Foundation
package import Reporting

/// The line of a validation, for people: first the figure that decides, and how it compares with the best so far.
package struct ValidationLine {
    /// The best validation so far.
    package struct Best: Equatable {
        package var value: Double
        /// Steps that were done at it.
        package var steps: Int

        package init(value: Double, steps: Int) {
            self.value = value
            self.steps = steps
        }
    }

    /// Steps are counted as checkpoints count them: those that are done.
    package let text: String

    /// - Parameter metric: a name of `checkpoint.metric`.
    package init(_ record: ValidationRecord, by metric: String, best: Best?) {
        func figure(_ value: Double) -> String { value.isNaN ? "-" : String(format: "%.4f", value) }
        let figures = record.figures.map { name, value -> String in
            guard name == metric else { return "\(name) \(figure(value))" }
            let comparison =
                record.isBest
                ? " (best so far)" : best.map { " (best \(figure($0.value)) after \($0.steps) steps)" } ?? ""
            return "\(name) \(figure(value))\(comparison)"
        }
        let first = record.figures.firstIndex { $0.name == metric } ?? 0
        let sorted = [figures[first]] + figures.enumerated().filter { $0.offset != first }.map(\.element)
        text = "validation after \(record.step + 1) steps: " + sorted.joined(separator: ", ")
    }
}
