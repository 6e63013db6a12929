internal import CSystem
package import Diagnostics
internal import Glibc

/// Standard output and standard error.
///
/// Writing never ends the program: the terminal may be closed, the pipe's reader gone, the disk behind a file full.
/// Foundation's `FileHandle.write(_:)` traps on all of these.
package enum StandardStream: Int32, Sendable {
    case output = 1
    case error = 2

    /// Writes what a command was asked for; throws where the stream does not take all of it.
    ///
    /// Blocks until it is written, after what was said before. For the result of a command, and never for what leads or
    /// trains.
    package func write(_ bytes: [UInt8]) throws(StreamError) {
        StreamWriter.shared.flush()
        let code = Self.put(bytes[...], to: rawValue)
        if code != 0 { throw StreamError(stream: self, code: code) }
    }

    /// Writes the text as above.
    package func write(_ text: String) throws(StreamError) { try write(Array(text.utf8)) }

    /// Writes a line of a command's result; throws where the stream does not take it.
    ///
    /// A reader that has ended has seen what it wanted, as `head` does: that is no error.
    package func writeLine(_ line: String = "") throws(StreamError) {
        do {
            try write(line + "\n")
        } catch {
            if error.code != EPIPE { throw error }
        }
    }

    /// Writes text that the work does not depend on, such as progress and warnings; never blocks.
    ///
    /// Where the stream takes no more there is nobody left to tell, and the work goes on. See `StreamWriter`.
    package func say(_ text: String) { StreamWriter.shared.say(text, to: self) }

    /// Has what was said written before the program ends, however it ends; waits for 2 s at most, and for 0.3 s where
    /// nothing is taken.
    ///
    /// Call it once, at the program's start.
    package static func flushAtExit() {
        StreamWriter.shared.outlastCrashes()
        atexit { StreamWriter.shared.flush() }
    }

    /// The columns of the terminal that the stream is, where bars can be drawn there; nil for files and pipes, and for
    /// terminals that know no control codes, or no UTF-8.
    package var columns: Int? {
        guard isatty(rawValue) == 1, Self.showsBars(getenv: Self.variable) else { return nil }
        var size = winsize()
        let isKnown = ioctl(rawValue, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0
        return isKnown ? Int(size.ws_col) : 80
    }

    /// Whether the environment's terminal knows control codes and its locale has the characters of a bar.
    package static func showsBars(getenv variable: (String) -> String?) -> Bool {
        guard let terminal = variable("TERM"), !terminal.isEmpty, terminal != "dumb" else { return false }
        // The first of these that is set counts, for the kinds of characters too.
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].lazy.compactMap(variable).first { !$0.isEmpty } ?? "C"
        let name = locale.lowercased()
        return name.contains("utf-8") || name.contains("utf8")
    }

    private static func variable(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }

    /// The sink of the process's own writer.
    static let put: StreamWriter.Sink = { stream, bytes in put(bytes, to: stream.rawValue) == 0 }

    /// Writes all bytes; returns 0, or the error number.
    private static func put(_ bytes: ArraySlice<UInt8>, to descriptor: Int32) -> Int32 {
        var left = bytes
        while !left.isEmpty {
            let count = left.withUnsafeBytes { buffer -> Int in
                guard let base = buffer.baseAddress else { return 0 }
                return Glibc.write(descriptor, base, buffer.count)
            }
            if count > 0 {
                left = left.dropFirst(count)
                continue
            }
            let code = errno
            if code == EINTR { continue }
            guard code == EAGAIN else { return code }
            // A stream that somebody has set so that it does not block: waited for as if it did.
            var descriptor = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
            poll(&descriptor, 1, -1)
        }
        return 0
    }
}

/// A standard stream did not take what was written.
package struct StreamError: ReportableError, Equatable {
    package let stream: StandardStream
    /// The value of `errno`.
    package let code: Int32

    package init(stream: StandardStream, code: Int32) {
        self.stream = stream
        self.code = code
    }

    package var description: String {
        let name = stream == .output ? "standard output" : "standard error"
        return "Cannot write to \(name): \(String(cString: strerror(code)))."
    }

    package var exitStatus: ExitStatus { .temporary }
}
