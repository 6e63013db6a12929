import Coordination
import Messaging
import ModelSetup
import Platform
import RunFolder
import RunLinks
import Synchronization
import Wire

/// Many mock workers in one process, each with a connection of its own to a real coordinator.
package struct MockCrew: Sendable {
    package struct Options: Sendable {
        package var endpoint: String
        package var workers: Int
        /// Threads that the workers are shared among.
        package var threads: Int
        package var networkDigest: String
        package var datasetDigest: String

        package init(endpoint: String, workers: Int, threads: Int, networkDigest: String, datasetDigest: String) {
            self.endpoint = endpoint
            self.workers = workers
            self.threads = threads
            self.networkDigest = networkDigest
            self.datasetDigest = datasetDigest
        }
    }

    /// A context has a limit of 1,023 sockets.
    private static let socketsPerContext = 256

    private let options: Options

    package init(_ options: Options) { self.options = options }

    /// Serves the coordinator until all workers have been told of the end; returns the processor seconds that this process
    /// has taken, and how many ended otherwise.
    package func run() throws -> (processorSeconds: Double, failed: Int) {
        let failed = Failures()
        let share = (options.workers + options.threads - 1) / options.threads
        let threads = try stride(from: 0, to: options.workers, by: share).map { first in
            let numbers = first..<min(options.workers, first + share)
            return try OwnedThread(name: "pleura-mock") {
                do {
                    failed.add(try serve(numbers))
                } catch { failed.add(numbers.count) }
            }
        }
        for thread in threads { thread.join() }
        return (processProcessorSeconds(), failed.count)
    }

    /// The workers of one thread; returns how many were not told of the end.
    private func serve(_ numbers: Range<Int>) throws -> Int {
        let identity = MockWorker.Identity(
            programVersion: ProgramVersion.build,
            protocolVersion: WireProtocol.version,
            numericsProfiles: RunSetup.numericsProfiles,
            datasetDigest: options.datasetDigest,
            networkDigest: options.networkDigest
        )
        var poller = Poller()
        var sockets: [Socket] = []
        var workers: [MockWorker] = []
        var context = try MessagingContext()
        for number in numbers {
            if !sockets.isEmpty, sockets.count % Self.socketsPerContext == 0 { context = try MessagingContext() }
            var socketOptions = SocketOptions()
            socketOptions.identity = .random(role: "worker")
            let socket = try Socket(.dealer, in: context, options: socketOptions)
            try socket.connect(options.endpoint)
            sockets.append(socket)
            _ = poller.add(socket)
            workers.append(MockWorker(number: number, identity: identity))
        }
        var outgoing = [[WorkerMessage]](repeating: [], count: workers.count)
        for index in workers.indices { outgoing[index] = workers[index].handle(.started, at: MonotonicClock.now) }
        var decoders = [PlanningDecoder](repeating: PlanningDecoder(), count: workers.count)
        // A step's messages are the same bytes for all: they are read once, and that is no cost of one worker's.
        var last: (bytes: [UInt8], message: CoordinatorMessage, decoder: PlanningDecoder)?
        var left = workers.count
        var failed = 0
        while left > 0 {
            var next = MonotonicClock.now + .seconds(1)
            var isSending = false
            for index in workers.indices where workers[index].outcome == nil {
                try send(&outgoing[index], over: sockets[index])
                if !outgoing[index].isEmpty { isSending = true }
                if let timer = workers[index].timer { next = min(next, timer) }
            }
            let wait = (next - MonotonicClock.now).inNanoseconds / 1_000_000
            try poller.wait(milliseconds: isSending ? 2 : Int(max(0, min(1000, wait + 1))))
            let now = MonotonicClock.now
            for index in workers.indices where workers[index].outcome == nil {
                if poller.isReadable(index) {
                    while workers[index].outcome == nil, let frames = try sockets[index].receive(maximumFrames: 1) {
                        guard let bytes = frames.first?.withBytes(Array.init) else { continue }
                        let message: CoordinatorMessage
                        if let last, last.bytes == bytes {
                            message = last.message
                            decoders[index] = last.decoder
                        } else {
                            message = try decoders[index].decode(bytes)
                            switch message.body {
                            case .assign, .commit: last = (bytes, message, decoders[index])
                            default: break
                            }
                        }
                        outgoing[index] += workers[index].handle(.message(message), at: now)
                    }
                }
                if workers[index].outcome == nil, let timer = workers[index].timer, now >= timer {
                    outgoing[index] += workers[index].handle(.tick(progress: 0), at: now)
                }
                if let outcome = workers[index].outcome {
                    left -= 1
                    if case .finished = outcome.kind {} else { failed += 1 }
                }
            }
        }
        return failed
    }

    /// Sends as much as there is room for; what is left is tried again.
    private func send(_ messages: inout [WorkerMessage], over socket: Socket) throws {
        var sent = 0
        for message in messages {
            let bytes = try WireProtocol.encode(message)
            let frame = try bytes.withUnsafeBytes { try Message(copying: $0) }
            guard case .sent = try socket.send([frame]) else { break }
            sent += 1
        }
        messages.removeFirst(sent)
    }
}

private final class Failures: Sendable {
    private let number = Mutex(0)

    var count: Int { number.withLock { $0 } }

    func add(_ count: Int) { number.withLock { $0 += count } }
}
