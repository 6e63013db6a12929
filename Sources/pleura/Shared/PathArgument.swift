import ArgumentParser
import Platform

/// A path on the command line, with the home folder in the place of a leading `~`, which shells leave alone in quotes
/// and behind `=`.
@Sendable func userPath(_ text: String) throws -> String {
    do {
        return try UserPath.expanded(text)
    } catch {
        // ArgumentParser prints the text of its own errors as it is.
        throw ValidationError(error.description)
    }
}
