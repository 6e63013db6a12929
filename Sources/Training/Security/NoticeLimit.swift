/// Holds notices that strangers can cause to one a second.
struct NoticeLimit: Sendable {
    private var last: ContinuousClock.Instant?
    private var lastText = ""

    /// Whether a notice may be given now; one with a new text may at once.
    mutating func allows(_ text: String = "", at now: ContinuousClock.Instant) -> Bool {
        if let last, text == lastText, now - last < .seconds(1) { return false }
        last = now
        lastText = text
        return true
    }
}
