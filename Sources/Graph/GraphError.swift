package import Diagnostics

/// A network that cannot be built or compiled: names the layer, what was asked and what was found.
package struct GraphError: ReportableError, Equatable {
    /// The name of the layer, as in checkpoints.
    package var layer: String
    /// One sentence or more: what does not fit, and what to change.
    package var problem: String

    package init(layer: String, problem: String) {
        self.layer = layer
        self.problem = problem
    }

    package var exitStatus: ExitStatus { .badConfiguration }
    package var description: String { "Layer \(layer): \(problem)" }
}

/// What an operator's shape rule reports; the builder adds the layer's name.
struct ShapeDefect: Error {
    var problem: String

    init(_ problem: String) { self.problem = problem }
}
