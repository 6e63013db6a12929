/// Holds notices that strangers can cause to one a second of each kind.
///
/// What was not shown is counted, and the count shown with the next one; `flush` shows the last where none follows.
package struct NoticeLimit: Sendable {
    private var last: ContinuousClock.Instant?
    private var lastText = ""
    private var hidden: (count: Int, text: String)?

    package init() {}

    /// Whether a notice may be given now; one with a new text may at once.
    package mutating func allows(_ text: String = "", at now: ContinuousClock.Instant) -> Bool {
        if let last, text == lastText, now - last < .seconds(1) { return false }
        last = now
        lastText = text
        return true
    }

    /// The text to show for a notice; nil while the last one is less than a second old.
    package mutating func notice(_ text: String, at now: ContinuousClock.Instant) -> String? {
        hidden = ((hidden?.count ?? 0) + 1, text)
        return flush(at: now)
    }

    /// What is left to show, once it may be.
    package mutating func flush(at now: ContinuousClock.Instant) -> String? {
        guard let hidden else { return nil }
        if let last, now - last < .seconds(1) { return nil }
        last = now
        self.hidden = nil
        return hidden.count == 1 ? hidden.text : "\(hidden.text) (and \(hidden.count - 1) more before it)"
    }
}
