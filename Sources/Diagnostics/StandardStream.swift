internal import Glibc

/// Standard output and standard error.
///
/// Writing never ends the program: the terminal may be closed, the pipe's reader gone, the disk behind a file full.
/// Foundation's `FileHandle.write(_:)` traps on all of these.
package enum StandardStream: Int32, Sendable {
    case output = 1
    case error = 2

    /// How long a reader that takes nothing may hold up the writer of a stream that does not block.
    private static let patience: Int32 = 1000

    /// Writes the bytes; throws where the stream does not take all of them.
    package func write(_ bytes: [UInt8]) throws(StreamError) {
        var done = 0
        while done < bytes.count {
            let count = bytes.withUnsafeBytes { buffer -> Int in
                guard let base = buffer.baseAddress else { return 0 }
                return Glibc.write(rawValue, base + done, buffer.count - done)
            }
            if count >= 0 {
                done += count
                continue
            }
            let code = errno
            if code == EINTR { continue }
            if code == EAGAIN {
                var descriptor = pollfd(fd: rawValue, events: Int16(POLLOUT), revents: 0)
                if poll(&descriptor, 1, Self.patience) > 0 { continue }
            }
            throw StreamError(stream: self, code: code)
        }
    }

    /// Writes the text; throws where the stream does not take all of it.
    package func write(_ text: String) throws(StreamError) { try write(Array(text.utf8)) }

    /// Writes text that the work does not depend on, such as progress and warnings.
    ///
    /// Where the stream takes no more there is nobody left to tell, and the work goes on.
    package func say(_ text: String) { try? write(text) }

    /// Lets a write to a pipe without a reader fail instead of ending the program by SIGPIPE.
    package static func ignoreBrokenPipes() { signal(SIGPIPE, SIG_IGN) }
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
