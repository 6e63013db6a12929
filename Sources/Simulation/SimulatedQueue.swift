import Coordination

/// Events in the order of their moments; of equal moments, in the order in which they were added.
struct SimulatedQueue<Payload: Sendable>: Sendable {
    private struct Entry {
        var at: Instant
        var number: Int
        /// Where its payload is.
        var slot: Int
    }

    private var heap: [Entry] = []
    private var payloads: [Payload?] = []
    /// Slots of payloads that have been taken.
    private var free: [Int] = []
    private var count = 0

    var isEmpty: Bool { heap.isEmpty }

    private func isBefore(_ a: Int, _ b: Int) -> Bool {
        heap[a].at == heap[b].at ? heap[a].number < heap[b].number : heap[a].at < heap[b].at
    }

    mutating func add(_ payload: Payload, at instant: Instant) {
        let slot: Int
        if let last = free.popLast() {
            slot = last
            payloads[slot] = payload
        } else {
            slot = payloads.count
            payloads.append(payload)
        }
        heap.append(Entry(at: instant, number: count, slot: slot))
        count += 1
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
                if 2 * parent + 1 < heap.count, isBefore(2 * parent + 1, least) { least = 2 * parent + 1 }
                if 2 * parent + 2 < heap.count, isBefore(2 * parent + 2, least) { least = 2 * parent + 2 }
                if least == parent { break }
                heap.swapAt(parent, least)
                parent = least
            }
        }
        var taken: Payload?
        swap(&taken, &payloads[first.slot])
        free.append(first.slot)
        guard let payload = taken else { return nil }
        return (first.at, payload)
    }
}
