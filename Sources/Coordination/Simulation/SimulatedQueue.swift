/// Events in the order of their moments; of equal moments, in the order in which they were added.
struct SimulatedQueue<Payload: Sendable>: Sendable {
    private struct Entry {
        var at: Instant
        var number: Int
    }

    private var heap: [Entry] = []
    /// Entry n is the payload of event number n until it is taken.
    private var payloads: [Payload?] = []

    var isEmpty: Bool { heap.isEmpty }

    private func isBefore(_ a: Int, _ b: Int) -> Bool {
        (heap[a].at, heap[a].number) < (heap[b].at, heap[b].number)
    }

    mutating func add(_ payload: Payload, at instant: Instant) {
        heap.append(Entry(at: instant, number: payloads.count))
        payloads.append(payload)
        var child = heap.count - 1
        while child > 0, isBefore(child, (child - 1) / 2) {
            heap.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    mutating func takeFirst() -> (at: Instant, payload: Payload)? {
        guard let first = heap.first, let last = heap.popLast() else { return nil }
        if !heap.isEmpty {
            heap[0] = last
            var parent = 0
            while true {
                var least = parent
                for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count && isBefore(child, least) {
                    least = child
                }
                if least == parent { break }
                heap.swapAt(parent, least)
                parent = least
            }
        }
        guard let payload = payloads[first.number] else { return nil }
        payloads[first.number] = nil
        return (first.at, payload)
    }
}
