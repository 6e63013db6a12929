import Platform

/// The last line of a command: what most people do next.
enum NextCommand {
    /// Says so on standard error, where nothing is in the way of what reads the result.
    static func say(_ command: String, _ purpose: String) {
        printError("next: `\(command)` \(purpose)")
    }
}
