/// What follows the gradients in the step's flat vector of sums, by offset from its start: the statistics of each batch
/// normalisation, then the losses as (high, low) pairs of `Float`.
struct TailLayout: Sendable {
    struct Statistics: Sendable {
        var mean: Int
        var variance: Int
    }

    /// By layer name.
    private(set) var statistics: [String: Statistics] = [:]
    /// Layers with statistics, in the graph's order.
    private(set) var statisticsLayers: [String] = []
    /// The first pair of a loss's terms, by the loss's name.
    private(set) var losses: [String: Int] = [:]
    /// The pairs of all terms by their names in metrics, in the graph's order.
    private(set) var lossTerms: [(name: String, offset: Int)] = []
    /// The pair of the total loss.
    private(set) var total = 0
    private(set) var count = 0
    /// Elements of the tail that nothing writes.
    private(set) var padding: [Range<Int>] = []

    init(_ graph: Graph) {
        for node in graph.nodes {
            guard case .statistics = node.operation.tail else { continue }
            let channels = graph.shape(of: node.output).channels
            statistics[node.name] = Statistics(mean: reserve(channels), variance: reserve(channels))
            statisticsLayers.append(node.name)
        }
        var offset = count + 2
        for node in graph.nodes {
            guard case .losses(let terms) = node.operation.tail else { continue }
            losses[node.name] = offset
            for term in terms {
                lossTerms.append(("\(node.name).\(term)", offset))
                offset += 2
            }
        }
        total = reserve(offset - count)
    }

    private mutating func reserve(_ elements: Int) -> Int {
        let offset = count
        count = padded(offset + elements)
        if count > offset + elements { padding.append(offset + elements..<count) }
        return offset
    }
}

/// `count` rounded up to a whole number of 64-byte lines.
func padded(_ count: Int) -> Int { (count + 15) / 16 * 16 }
