package import Diagnostics
private import Foundation
package import Platform

/// How to start a decoding process.
package struct DecodeLaunch: Sendable {
    /// The program that runs `DecodeChild`, and its arguments.
    package var program: ChildProcess.Program
    package var arguments: [String]
    /// How long one file may take by the clock before its process is killed.
    package var secondsPerFile: Double

    package init(
        program: ChildProcess.Program = .own,
        arguments: [String] = ["decode-worker"],
        secondsPerFile: Double = 60
    ) {
        self.program = program
        self.arguments = arguments
        self.secondsPerFile = secondsPerFile
    }
}

/// A decoding process could not be started: a defect of the set-up, not of a file.
package struct DecodeLaunchError: ReportableError, Equatable {
    package var executable: String
    package var reason: String

    package var exitStatus: ExitStatus { .internal }
    package var description: String { "Cannot start a decoding process from \(executable): \(reason)." }
}

/// A radiograph as a decoding process delivers it: the image padded to a square and scaled.
package struct SquaredRadiograph: Sendable, Equatable {
    package var image: GrayImage
    /// The image at its own size, where it was asked for.
    package var whole: GrayImage?
    package var metadata: RadiographMetadata
    /// What was odd about it.
    package var remarks: [PictureRemark] = []
}

/// One long-lived decoding process and the conversation with it.
///
/// Everything happens on the thread that calls; use a worker from one thread, and keep that thread alive as long as
/// the worker: the kernel kills the process when the thread that started it ends. A crash or a time-out is an error of
/// the file, and the next file gets a new process.
package final class DecodeWorker {
    private let launch: DecodeLaunch
    private var child: Child?

    private struct Child {
        var process: pid_t
        var stream: SocketStream
    }

    package init(_ launch: DecodeLaunch) {
        self.launch = launch
    }

    deinit { stop() }

    /// Reads the header of a file, and hashes its bytes.
    package func probe(_ path: String) throws -> FileReport {
        try reply(to: .init(size: 0, path: path)).report
    }

    /// Reads a file and delivers its image at `size` × `size`, and at its own size too where `wantsWhole` says so.
    package func read(_ path: String, size: Int, wantsWhole: Bool = false) throws -> SquaredRadiograph {
        precondition(size > 0 && size <= 1 << 15, "an image of \(size)×\(size) pixels")
        let reply = try reply(to: .init(size: size, wantsWhole: wantsWhole, path: path))
        return SquaredRadiograph(
            image: GrayImage(width: size, height: size, pixels: reply.pixels),
            whole: reply.whole,
            metadata: reply.report.metadata,
            remarks: reply.report.remarks
        )
    }

    /// Reads a mask that is an image of its own.
    package func readMask(_ path: String, values: MaskValues) throws -> MaskPicture {
        let request = DecodeMessage.Request(size: DecodeMessage.mask, values: values, path: path)
        let limit = 8 * MaskPicture.runLimit
        return try asking(request) {
            try ask(request, bytes: 0...limit) { text, count, stream in
                let bytes = try stream.receive(count, within: launch.secondsPerFile)
                guard count % 8 == 0, let report = try? JSONDecoder().decode(DecodeMessage.MaskReport.self, from: text)
                else { return nil }
                let numbers = stride(from: 0, to: count, by: 4).map {
                    Int32(truncatingIfNeeded: DecodeMessage.number(bytes, at: $0))
                }
                let mask = MaskPicture(
                    width: report.width,
                    height: report.height,
                    values: report.values,
                    runs: stride(from: 0, to: numbers.count, by: 2).map { SIMD2(numbers[$0], numbers[$0 + 1]) }
                )
                return mask.isSound ? mask : nil
            }
        }
    }

    /// Ends the process.
    ///
    /// It keeps no state, so it is killed.
    package func stop() {
        guard let child else { return }
        close(child.stream.descriptor)
        _ = reap(child.process, patience: 0)
        self.child = nil
    }

    // MARK: - Requests

    private struct Reply {
        var report: FileReport
        var pixels: [UInt8]
        var whole: GrayImage?
    }

    private func reply(to request: DecodeMessage.Request) throws -> Reply {
        let square = request.size * request.size
        let mostWhole = request.wantsWhole ? DICOMFile.maximumPixels : 0
        let limit = launch.secondsPerFile
        return try asking(request) {
            try ask(request, bytes: square...square + mostWhole) { text, count, stream in
                guard let report = try? JSONDecoder().decode(FileReport.self, from: text) else { return nil }
                if request.size == 0 { return Reply(report: report, pixels: [], whole: nil) }
                let (rows, columns) = (report.metadata.rows, report.metadata.columns)
                let sides = 1..<1 << 16
                guard sides.contains(rows), sides.contains(columns), rows * columns <= DICOMFile.maximumPixels,
                    count == square + (request.wantsWhole ? rows * columns : 0)
                else { return nil }
                let pixels = try stream.receive(square, within: limit)
                let whole = request.wantsWhole ? try stream.receive(rows * columns, within: limit) : nil
                return Reply(
                    report: report,
                    pixels: pixels,
                    whole: whole.map { GrayImage(width: columns, height: rows, pixels: $0) }
                )
            }
        }
    }

    /// Asks once more where the process crashes.
    private func asking<Value>(_ request: DecodeMessage.Request, _ ask: () throws -> Value) throws -> Value {
        let path = request.path
        guard request.encoded().count <= DecodeMessage.textLimit, !path.utf8.contains(0) else {
            throw RadiographError(.unreadable, path: path, reason: "its path is too long or holds a zero byte")
        }
        do {
            return try ask()
        } catch let error as RadiographError where error.kind == .crashed {
            // Somebody else may have killed it: what a file does, it does twice.
            return try ask()
        }
    }

    /// What `take` makes of the reply to a request: its text and its bytes, of which there may be so many. Nothing from
    /// `take` says that the answer makes no sense.
    private func ask<Value>(
        _ request: DecodeMessage.Request,
        bytes fitting: ClosedRange<Int>,
        take: (Data, Int, SocketStream) throws -> Value?
    ) throws -> Value {
        let path = request.path
        let child = try startedChild()
        let stream = child.stream
        let limit = launch.secondsPerFile
        do {
            try stream.send(request.encoded(), within: limit)
            let header = try stream.receive(DecodeMessage.replyHeader, within: limit)
            let length = DecodeMessage.number(header, at: 4)
            let count = DecodeMessage.number(header, at: 8)
            let status = DecodeMessage.Status(rawValue: DecodeMessage.number(header, at: 0))
            guard let status, length <= DecodeMessage.textLimit, status == .read ? fitting.contains(count) : count == 0
            else { throw babble(path) }
            let text = Data(try stream.receive(length, within: limit))
            switch status {
            case .read:
                guard let value = try take(text, count, stream) else { throw babble(path) }
                return value
            case .refused:
                guard let refusal = try? JSONDecoder().decode(DecodeMessage.Refusal.self, from: text) else {
                    throw babble(path)
                }
                var error = RadiographError(refusal.kind, path: path, reason: refusal.reason)
                error.id = refusal.id
                throw error
            }
        } catch let failure as SocketStream.Failure {
            throw end(child, after: failure, path: path)
        }
    }

    /// The child answered out of turn: its memory may be corrupt, so it ends.
    private func babble(_ path: String) -> RadiographError {
        stop()
        return RadiographError(.crashed, path: path, reason: "the decoder gave a malformed answer")
    }

    /// Ends a child that failed, and says why the file is refused.
    private func end(_ child: Child, after failure: SocketStream.Failure, path: String) -> RadiographError {
        close(child.stream.descriptor)
        let end = reap(child.process, patience: failure == .closed ? 2 : 0)
        self.child = nil
        if failure == .timedOut {
            return RadiographError(
                .timedOut,
                path: path,
                reason: "decoding took more than \(Int(launch.secondsPerFile.rounded(.up))) s"
            )
        }
        if end == .signal(SIGXCPU) {
            return RadiographError(
                .timedOut,
                path: path,
                reason: "decoding took more than \(DecodeChild.processorSeconds) s of processor time"
            )
        }
        return RadiographError(.crashed, path: path, reason: "the decoder \(Self.words(end))")
    }

    // MARK: - Processes

    private func startedChild() throws(DecodeLaunchError) -> Child {
        if let child { return child }
        var sockets: [Int32] = [-1, -1]
        guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0, &sockets) == 0 else {
            throw launchError("no socket: \(String(cString: strerror(errno)))")
        }
        defer { close(sockets[1]) }
        let stream = SocketStream(descriptor: sockets[0])
        let process: pid_t
        do {
            process = try spawn(standardInput: sockets[1])
        } catch {
            close(sockets[0])
            throw error
        }
        do {
            // A child that cannot even start closes its end, once ours is closed: see `defer`.
            close(sockets[1])
            sockets[1] = -1
            guard try stream.receive(DecodeMessage.greeting.count, within: 60) == DecodeMessage.greeting else {
                close(sockets[0])
                _ = reap(process, patience: 0)
                throw launchError("it is another program: it does not greet as a decoding process does")
            }
        } catch let error as SocketStream.Failure {
            close(sockets[0])
            let end = reap(process, patience: error == .closed ? 2 : 0)
            throw launchError(error == .timedOut ? "it did not answer for 60 s" : "it \(Self.words(end))")
        } catch let error as DecodeLaunchError {
            throw error
        } catch {
            throw launchError("\(error)")
        }
        let started = Child(process: process, stream: stream)
        child = started
        return started
    }

    private func spawn(standardInput: Int32) throws(DecodeLaunchError) -> pid_t {
        var environment = ProcessInfo.processInfo.environment
        environment["SWIFT_BACKTRACE"] = "enable=no"
        do {
            return try ChildProcess.spawn(launch.program, launch.arguments, environment: environment) { actions in
                posix_spawn_file_actions_adddup2(&actions, standardInput, 0)
                posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0)
                // Decoders write about hostile files there; why a file is refused comes in the reply.
                posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
            }
        } catch {
            guard case .spawn(_, let reason) = error else { throw launchError("\(error)") }
            throw launchError(reason)
        }
    }

    private func launchError(_ reason: String) -> DecodeLaunchError {
        DecodeLaunchError(executable: launch.program.description, reason: reason)
    }

    /// Waits `patience` seconds for a process to end by itself, then kills it; returns its wait status.
    private func reap(_ process: pid_t, patience: Double) -> ChildProcess.End {
        var status: Int32 = 0
        let deadline = ContinuousClock.now + .seconds(patience)
        while ContinuousClock.now < deadline {
            let ended = waitpid(process, &status, WNOHANG)
            if ended == process { return ChildProcess.end(status) }
            if ended < 0 && errno != EINTR { return .unknown }
            usleep(500)
        }
        kill(process, SIGKILL)
        return ChildProcess.wait(for: process)
    }

    private static func words(_ end: ChildProcess.End) -> String {
        switch end {
        case .exited(let status): "ended with exit status \(status)"
        case .signal(let number): "was ended by signal \(number) (\(String(cString: strsignal(number))))"
        case .unknown: "ended, and how is not known"
        }
    }
}
