import Coordination
import Reduction
import Testing
import Wire

/// Fields out of their ranges are refused by name.
@Suite struct RefusalTests {
    private func expectBad(_ field: String, _ body: WorkerMessage.Body, location: SourceLocation = #_sourceLocation) {
        expectBad(field, location) {
            _ = try WireProtocol.decodeWorkerMessage(
                WireProtocol.encode(WorkerMessage(incarnation: 1, body: body))
            )
        }
    }

    private func expectBad(
        _ field: String,
        _ body: CoordinatorMessage.Body,
        location: SourceLocation = #_sourceLocation
    ) {
        expectBad(field, location) {
            _ = try WireProtocol.decodeCoordinatorMessage(
                WireProtocol.encode(CoordinatorMessage(fencing: 1, body: body))
            )
        }
    }

    private func expectBad(_ field: String, _ location: SourceLocation, _ body: () throws -> Void) {
        do {
            try body()
            Issue.record("\(field) was accepted", sourceLocation: location)
        } catch WireError.badField(let found, _), WireError.tooMany(let found, _) {
            #expect(found == field, sourceLocation: location)
        } catch {
            Issue.record("\(error)", sourceLocation: location)
        }
    }

    @Test func numbersOutOfRange() {
        expectBad("applied.completed_steps", .applied(completedSteps: .max, stateDigest: nil))
        expectBad("abandon.generation", .abandon(step: 0, generation: .max, reason: ""))
        expectBad(
            "share",
            .checkpoint(CheckpointRequest(completedSteps: 1, share: CheckpointShare(part: 3, parts: 3)))
        )
        expectBad(
            "share",
            .checkpoint(CheckpointRequest(completedSteps: 1, share: CheckpointShare(part: 0, parts: 0)))
        )
        expectBad("validate", .validate(ValidationRequest(round: 1, completedSteps: 1, samples: 5..<5)))
        expectBad("validate", .validate(ValidationRequest(round: 1, completedSteps: 1, samples: 5..<UInt32.max)))
        var hello = SampleMessages.hello
        hello.threads = 1 << 20
        expectBad("hello.threads", .hello(hello))
        hello.threads = 1
        hello.processID = -1
        expectBad("hello.process_id", .hello(hello))
        var report = SampleMessages.report
        report.losses = [Float](repeating: 0, count: 65)
        expectBad("reduced.losses", .reduced(report))
    }

    /// The words mean something to the optimizer alone; how many they may be is known here.
    @Test func tooManyNumbersForTheOptimizer() throws {
        func commit(_ words: Int) -> CoordinatorMessage.Body {
            let values = StepHyperparameters(learningRate: 1, optimizer: [UInt32](repeating: 7, count: words))
            return .commit(Commit(step: 1, hyperparameters: values, wantsStateDigest: false, next: nil))
        }
        expectBad("commit.hyperparameters.optimizer", commit(1025))
        let message = CoordinatorMessage(fencing: 1, body: commit(1024))
        #expect(try WireProtocol.decodeCoordinatorMessage(WireProtocol.encode(message)) == message)
    }

    @Test func textOutOfRange() {
        var hello = SampleMessages.hello
        hello.hostName = String(repeating: "x", count: 257)
        expectBad("hello.host_name", .hello(hello))
        hello.hostName = "a\u{1B}[31m"
        expectBad("hello.host_name", .hello(hello))
        hello.hostName = "a\nb"
        expectBad("hello.host_name", .hello(hello))
        hello.hostName = "a"
        hello.endpoints = [String](repeating: "tcp://a:1", count: 17)
        expectBad("hello.endpoints", .hello(hello))
    }

    @Test(arguments: ["../state.h5", "/etc/passwd", "a/b.h5", "..", "", ".hidden"])
    func pathsAreNoFileNames(file: String) {
        expectBad(
            "resume.file",
            .welcome(
                Welcome(
                    job: "j",
                    worker: 0,
                    configuration: "",
                    datasetDigest: "",
                    numericsProfile: "fp32",
                    resume: ResumeSource(completedSteps: 1, file: file, folder: ""),
                    timing: CoordinatorTiming().forWorkers
                )
            )
        )
    }

    @Test func intervalsThatWouldSpinAreRefused() {
        expectBad(
            "welcome.heartbeat_interval",
            .welcome(
                Welcome(
                    job: "j",
                    worker: 0,
                    configuration: "",
                    datasetDigest: "",
                    numericsProfile: "fp32",
                    resume: nil,
                    timing: WorkerTiming(
                        heartbeatInterval: .zero,
                        coordinatorSilence: .seconds(1),
                        gracePeriod: .seconds(1)
                    )
                )
            )
        )
    }

    @Test func plansWithDefectsAreRefused() {
        var assignment = SampleMessages.assignment()
        assignment.plan.contributions.removeLast()
        expectBad("assign", .assign(assignment))
        assignment = SampleMessages.assignment()
        assignment.plan.contributions[0].owner = 1
        expectBad("assign", .assign(assignment))
        assignment = SampleMessages.assignment()
        assignment.plan.members.reverse()
        expectBad("assign", .assign(assignment))
        assignment = SampleMessages.assignment()
        assignment.plan.contributions[0].node.level = 63
        expectBad("assign.nodes", .assign(assignment))
        expectBad(
            "commit.next",
            .commit(
                Commit(
                    step: 3,
                    hyperparameters: SampleMessages.hyperparameters,
                    wantsStateDigest: false,
                    next: SampleMessages.assignment(step: 5)
                )
            )
        )
    }

    @Test func emptyAndTooLongMessages() {
        #expect(throws: WireError.empty) { try WireProtocol.decodeWorkerMessage([]) }
        #expect(throws: WireError.empty) { try WireProtocol.decodeCoordinatorMessage([], checksHash: false) }
        // A kind that a newer program may know: field 15, an empty message.
        #expect(throws: WireError.empty) {
            try WireProtocol.decodeCoordinatorMessage([0x7A, 0], checksHash: false)
        }
        let long = [UInt8](repeating: 0, count: WireProtocol.maximumWorkerMessageBytes + 1)
        #expect(throws: WireError.tooLong(bytes: long.count, limit: long.count - 1)) {
            try WireProtocol.decodeWorkerMessage(long)
        }
        // Field 2, an embedded message that claims 2³¹ - 1 bytes and has none.
        #expect(throws: WireError.undecodable) {
            try WireProtocol.decodeWorkerMessage([0x12, 0xFF, 0xFF, 0xFF, 0xFF, 0x07])
        }
    }

    /// One bit that a network has changed is no other number: a commit with another learning rate was once obeyed, by a worker
    /// that was alone and had nobody to be compared with.
    @Test func aFlippedBitIsNoMessage() throws {
        for body in SampleMessages.worker {
            var body = body
            if case .hello(var hello) = body {
                hello.protocolVersion = WireProtocol.version
                body = .hello(hello)
            }
            let bytes = try WireProtocol.encode(WorkerMessage(incarnation: 7, body: body))
            for changed in Self.flips(of: bytes) {
                guard let read = try? WireProtocol.decodeWorkerMessage(changed) else { continue }
                // Who greets in another version is told that it is another.
                guard case .hello(let hello) = read.body, hello.protocolVersion != WireProtocol.version else {
                    Issue.record("read as \(read)")
                    return
                }
            }
        }
        for body in SampleMessages.coordinator {
            let bytes = try WireProtocol.encode(CoordinatorMessage(fencing: 7, body: body))
            for changed in Self.flips(of: bytes) {
                #expect(throws: WireError.damaged) { try WireProtocol.decodeCoordinatorMessage(changed) }
                #expect(throws: WireError.damaged) {
                    var decoder = PlanningDecoder()
                    _ = try decoder.decode(changed)
                }
            }
        }
    }

    /// The bytes with one of their bits changed; of long messages every seventh.
    private static func flips(of bytes: [UInt8]) -> [[UInt8]] {
        stride(from: 0, to: 8 * bytes.count, by: bytes.count > 1000 ? 7 : 1).map { bit in
            var result = bytes
            result[bit / 8] ^= 1 << UInt8(bit % 8)
            return result
        }
    }

    /// Fields of a message by their numbers: `(number, content)`.
    private static func embedded(_ number: UInt8, _ content: [UInt8]) -> [UInt8] {
        var result = [number << 3 | 2]
        var length = content.count
        while length >= 0x80 {
            result.append(UInt8(length & 0x7F | 0x80))
            length >>= 7
        }
        return result + [UInt8(length)] + content
    }

    private static func empty(_ number: UInt8, _ count: Int) -> [UInt8] {
        (0..<count).flatMap { _ in [number << 3 | 2, 0] }
    }

    /// What takes two bytes on the wire and hundreds in memory is counted before it is decoded, and errors name counts and
    /// never print what they count: messages of a megabyte once made log lines of thirteen.
    @Test func elementsAreCountedBeforeTheyAreDecoded() throws {
        let many = 500_000
        let bombs: [(bytes: [UInt8], error: WireError)] = [
            (
                Self.embedded(2, Self.embedded(11, Self.empty(7, many))),
                .tooMany("hello.seat.reports", limit: 2)
            ),
            (Self.embedded(2, Self.empty(7, many)), .tooMany("hello.numerics_profiles", limit: 16)),
            (Self.embedded(2, Self.empty(9, many)), .tooMany("hello.endpoints", limit: 16)),
            (Self.embedded(2, Self.empty(11, many)), .tooMany("hello.seat", limit: 1)),
            (Self.embedded(5, Self.empty(9, many)), .tooMany("reduced.audits", limit: 1 << 15)),
            (
                Self.embedded(5, Self.embedded(5, [UInt8](repeating: 0, count: many))),
                .tooMany("reduced.losses", limit: 64)
            ),
            (
                Self.embedded(7, Self.embedded(4, [UInt8](repeating: 0, count: many))),
                .tooMany("validated.counts", limit: 1 << 17)
            ),
            (
                Self.embedded(7, (0..<many).flatMap { _ in [4 << 3, 0] as [UInt8] }),
                .tooMany("validated.counts", limit: 1 << 17)
            ),
            (Self.empty(3, many), .tooMany("ready", limit: 1)),
            (
                Self.embedded(2, (0..<many).flatMap { _ in [13 << 3, 1] as [UInt8] }),
                .tooMany("fields of one message", limit: 64)
            ),
        ]
        let clock = ContinuousClock()
        var fastest = Duration.seconds(60)
        for bomb in bombs {
            fastest = min(
                fastest,
                clock.measure {
                    #expect(throws: bomb.error) { try WireProtocol.decodeWorkerMessage(bomb.bytes) }
                }
            )
            #expect(bomb.error.description.utf8.count < 200)
        }
        print("a message of 1 MB is refused in \(fastest) at best")
        // Lists within their limits are read as before.
        var report = SampleMessages.report
        report.audits = (0..<1000).map { AuditDigest(microbatch: $0, digest: Digest(high: 1, low: 2)) }
        let message = WorkerMessage(incarnation: 1, body: .reduced(report))
        #expect(try WireProtocol.decodeWorkerMessage(WireProtocol.encode(message)) == message)
    }
}
