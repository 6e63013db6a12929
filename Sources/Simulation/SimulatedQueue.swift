import Coordination

/// Events in the order of their moments; of equal moments, in the order in which they were added.
struct SimulatedQueue<Payload: Sendable>: Sendable {
    private struct Entry {
        var at: Instant
        var number: Int
        /// Where its payload is.
        var slot: Int

        func isBefore(_ other: Entry) -> Bool { at == other.at ? number < other.number : at < other.at }
    }

    private var heap: [Entry] = []
    private var payloads: [Payload?] = []
    /// Slots of payloads that have been taken.
    private var free: [Int] = []
    private var count = 0

    var isEmpty: Bool { heap.isEmpty }

    mutating func add(_ payload: Payload, at instant: Instant) {
        let slot: Int
        if let last = free.popLast() {
            slot = last
            payloads[slot] = payload
        } else {
            slot = payloads.count
            payloads.append(payload)
        }
        let entry = Entry(at: instant, number: count, slot: slot)
        count += 1
        heap.append(entry)
        var child = heap.count - 1
        while child > 0, entry.isBefore(heap[(child - 1) / 2]) {
            heap[child] = heap[(child - 1) / 2]
            child = (child - 1) / 2
        }
        heap[child] = entry
    }

    mutating func takeFirst() -> (at: Instant, payload: Payload)? {
        guard let first = heap.first, let last = heap.popLast() else { return nil }
        if !heap.isEmpty {
            var parent = 0
            while 2 * parent + 1 < heap.count {
                var least = 2 * parent + 1
                if least + 1 < heap.count, heap[least + 1].isBefore(heap[least]) { least += 1 }
                if !heap[least].isBefore(last) { break }
                heap[parent] = heap[least]
                parent = least
            }
            heap[parent] = last
        }
        var taken: Payload?
        swap(&taken, &payloads[first.slot])
        free.append(first.slot)
        guard let payload = taken else { return nil }
        return (first.at, payload)
    }
}
