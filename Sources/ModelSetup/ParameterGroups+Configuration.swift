package import Configuration
package import Graph
package import Optimization

extension ParameterGroups {
    /// The optimizer of a configuration over the trained parameters of a network.
    ///
    /// Throws where a group names no parameter of the network, trained or not: it is misspelt.
    package init(_ optimizer: RunConfiguration.Optimizer, layout: ParameterLayout) throws {
        for group in optimizer.groups {
            guard layout.parameters.contains(where: { group.contains($0.name, shape: $0.shape) }) else {
                throw SetupError.emptyGroup(
                    match: group.match,
                    example: layout.parameters.first?.name ?? ""
                )
            }
        }
        let trained = layout.parameters.filter(\.isTrained)
        let ends = trained.dropFirst().map(\.offset) + [layout.trainedCount]
        try self.init(
            optimizer.name.family,
            optimizer.constants,
            parameters: zip(ends, trained).map { end, parameter in
                (end, optimizer.factors(of: parameter.name, shape: parameter.shape))
            }
        )
    }
}
