import Collectives
import Configuration
import Coordination
import Foundation
import Glibc
import Platform
import Radiography
import Reduction
import RunFolder
import RunLinks
import Storage
import Wire
import WorkerRuntime

/// A decoder of this program, and inputs that it accepts.
struct FuzzTarget {
    let name: String
    /// How many cases of a run are its own, beside the others'.
    let weight: Int
    let samples: [[UInt8]]
    let isText: Bool
    /// Mends seals and checksums after a change, for most cases: damage that they find is found by all decoders.
    var mends: ([UInt8]) -> [UInt8] = { $0 }
    /// Decodes; whether it accepted the input. It throws `FuzzDefect` where what was accepted contradicts itself, and
    /// other errors to refuse the input.
    let decode: ([UInt8]) throws -> Bool

    /// All targets, made afresh: some have state.
    static func all() throws -> [FuzzTarget] {
        [
            workerMessages(), coordinatorMessages(), try frames(roundedCount: 0), try frames(roundedCount: 800),
            bulkMessages(), try addresses(), labels(), configurations(), try dataSets(), try checkpointManifests(),
            checkpointSeals(), try journals(), trainerStates(), pixelData(), try dicomHeaders(), try plannedMessages(),
            try weightFiles(), pictures(),
        ] + (try hosts()) + rasters()
    }

    /// Decoders that break the rules, each its own: they show that a run notices. Only run by name.
    static func broken() -> [FuzzTarget] {
        func target(_ name: String, _ decode: @escaping ([UInt8]) throws -> Bool) -> FuzzTarget {
            FuzzTarget(name: name, weight: 1, samples: [[1, 2, 3]], isText: false) { bytes in
                // Not at the samples themselves, which are decoded before the run.
                bytes.count == 3 ? true : try decode(bytes)
            }
        }
        return [
            target("broken-trap") { bytes in Int8(bytes.count) + Int8.max > 0 },
            target("broken-hang") { bytes in
                while getpid() > 0 || bytes.isEmpty {}
                return true
            },
            target("broken-memory") { bytes in
                [UInt8](repeating: bytes.first ?? 1, count: 1 << 36).last == 1
            },
            target("broken-greed") { bytes in
                [UInt8](repeating: bytes.first ?? 1, count: 2 * FuzzRun.memoryLimit).last == 1
            },
            target("broken-sense") { _ in throw FuzzDefect(description: "it makes no sense") },
        ]
    }

    // MARK: What comes over the network

    private static func workerMessages() -> FuzzTarget {
        FuzzTarget(name: "worker-messages", weight: 12, samples: ControlSamples.worker, isText: false) { bytes in
            let message = try WireProtocol.decodeWorkerMessage(bytes, checksHash: false)
            let again = try WireProtocol.encode(message)
            let decoded = try? WireProtocol.decodeWorkerMessage(again)
            // By their bytes: NaN differs from itself.
            guard try decoded.map(WireProtocol.encode) == again else {
                throw FuzzDefect(description: "the message that was accepted cannot be sent on")
            }
            return true
        }
    }

    private static func coordinatorMessages() -> FuzzTarget {
        FuzzTarget(name: "coordinator-messages", weight: 12, samples: ControlSamples.coordinator, isText: false) {
            bytes in
            let message = try WireProtocol.decodeCoordinatorMessage(bytes, checksHash: false)
            let again = try WireProtocol.encode(message)
            let decoded = try? WireProtocol.decodeCoordinatorMessage(again)
            guard try decoded.map(WireProtocol.encode) == again else {
                throw FuzzDefect(description: "the message that was accepted cannot be sent on")
            }
            return true
        }
    }

    /// To a worker that holds the plan of the first sample: a commit may name it.
    private static func plannedMessages() throws -> FuzzTarget {
        let members = (0..<5).map {
            Member(worker: $0, hostName: "host\($0)", hostIdentity: "boot", threads: 2, endpoints: [])
        }
        func assignment(_ step: UInt64) -> Assignment {
            let plan = WorkSplit.plan(step: step, generation: 0, leafCount: 11, members: members)
            return Assignment(plan: plan, membership: 4, wantsStateDigest: true)
        }
        var encoder = PlanningEncoder()
        let first = try encoder.encode(CoordinatorMessage(fencing: 3, body: .assign(assignment(12))))
        let commit = Commit(
            step: 12,
            hyperparameters: StepHyperparameters(learningRate: 1e-3),
            wantsStateDigest: false,
            next: assignment(13)
        )
        let second = try encoder.encode(CoordinatorMessage(fencing: 3, body: .commit(commit)))
        var known = PlanningDecoder()
        _ = try known.decode(first)
        let decoder = known
        return FuzzTarget(name: "planned-messages", weight: 4, samples: [second, first], isText: false) { bytes in
            var decoder = decoder
            let message = try decoder.decode(bytes, checksHash: false)
            if case .commit(let commit) = message.body, let next = commit.next,
                next.plan.defect != nil || next.step != commit.step + 1
            {
                throw FuzzDefect(
                    description: "the next step of a commit that was accepted has another number or no plan"
                )
            }
            return true
        }
    }

    /// A header of 80 bytes, then the payload.
    private static func frames(roundedCount: Int) throws -> FuzzTarget {
        let door = try FrameDoor(roundedCount: roundedCount)
        let samples = try FrameDoor.samples(roundedCount: roundedCount)
        var count = 0
        return FuzzTarget(
            name: roundedCount == 0 ? "frames" : "frames-bf16",
            weight: 8,
            samples: samples.map { Array($0.joined()) },
            isText: false
        ) { bytes in
            // A round is over once all has come.
            count += 1
            if count % 8 == 0 { try door.begin() }
            let header = Array(bytes.prefix(FrameDoor.headerBytes))
            let payload = Array(bytes.dropFirst(header.count))
            return try door.take(payload.isEmpty ? [header] : [header, payload])
        }
    }

    private static func bulkMessages() -> FuzzTarget {
        let part = BulkPart(step: 9, part: 1, parts: 3, token: 5)
        let messages: [BulkMessage] = [
            .shareBegin(part: part, share: 4),
            .piece(part: part, name: "weights/a", shape: [2, 3], offset: 8, bytes: [1, 2, 3, 4]),
            .shareDone(part: part, byteCount: 24), .taken(share: 4, count: 3),
            .fetch(request: 5, file: BulkFile(isCheckpoint: true, name: "step-1.h5"), offset: 100, length: 4096),
            .chunk(request: 5, fileSize: 1000, bytes: [9, 9, 9]), .refused(request: 5, reason: "no such file"),
        ]
        return FuzzTarget(name: "bulk-messages", weight: 12, samples: messages.map(\.encoded), isText: false) { bytes in
            guard let message = BulkMessage(bytes, checksHash: false) else { return false }
            if case .fetch(_, let file, _, _) = message, file.isSafe,
                file.name.contains("/") || file.name.hasPrefix(".")
            {
                throw FuzzDefect(description: "the name of a file leads out of its folder")
            }
            guard BulkMessage(message.encoded) == message else {
                throw FuzzDefect(description: "the message that was accepted cannot be sent on")
            }
            return true
        }
    }

    /// What a worker says of its data plane.
    private static func addresses() throws -> FuzzTarget {
        let address = PeerAddress(
            worker: 3,
            incarnation: 99,
            host: "boot/namespace/0",
            process: 4123,
            region: 7,
            doorbell: 8,
            endpoint: "tcp://10.0.0.1:4000",
            key: "worker-3"
        )
        let sample = Array(try address.text.utf8)
        return FuzzTarget(name: "addresses", weight: 3, samples: [sample], isText: true) { bytes in
            _ = try PeerAddress(text: String(decoding: bytes, as: UTF8.self), worker: 1)
            return true
        }
    }

    // MARK: Files

    private static func labels() -> FuzzTarget {
        let samples = [
            "ImageId,EncodedPixels\na.1, -1\nb.2,557374 2 1015 8 1009 14 1002 20\nb.2,1 5 100 9\n",
            "\u{feff}\"fname\",\"mask\"\r\n\"x\",\"-1\"\r\n\"y\",\"0 1048576\"\r\n", "a,1 2\na,3 4\nb,-1\n",
        ].map { Array($0.utf8) }
        return FuzzTarget(name: "labels", weight: 6, samples: samples, isText: true) { bytes in
            let file = try LabelFile(bytes: bytes, path: "labels.csv")
            for entry in file.entries where entry.mask.area > 1 << 20 {
                throw FuzzDefect(description: "a mask has more pixels than its image")
            }
            return !file.entries.isEmpty
        }
    }

    private static func configurations() -> FuzzTarget {
        let samples = [
            RunConfiguration().resolvedYAML(documented: false), RunConfiguration().resolvedYAML(documented: true),
            "run: {directory: runs/a, seed: 3}\ndata: {shards: s, folds: {validation: [0, 1]}}\n"
                + "optimizer: {name: sgd, betas: [0.9, 0.99]}\nsecurity:\n  mode: curve\n  keys: ./keys\n",
        ].map { Array($0.utf8) }
        return FuzzTarget(name: "configurations", weight: 1, samples: samples, isText: true) { bytes in
            let text = String(decoding: bytes, as: UTF8.self)
            let configuration = try RunConfiguration.parse(text, file: "fuzzed.yaml")
            guard try RunConfiguration.parse(configuration.resolvedYAML(), file: "again.yaml") == configuration else {
                throw FuzzDefect(description: "the configuration that was accepted reads back as another")
            }
            return true
        }
    }

    private static func dataSets() throws -> FuzzTarget {
        FuzzTarget(
            name: "data-set-manifests",
            weight: 3,
            samples: [try DecoderDoors.sampleDatasetManifest()],
            isText: true,
            mends: DecoderDoors.resealed
        ) { bytes in
            let manifest = try DatasetManifest.decode(bytes, path: "dataset.json")
            return manifest.samples >= 0
        }
    }

    private static func checkpointManifests() throws -> FuzzTarget {
        FuzzTarget(
            name: "checkpoint-manifests",
            weight: 3,
            samples: [try DecoderDoors.sampleCheckpointManifest()],
            isText: true,
            decode: DecoderDoors.checkpointManifest
        )
    }

    private static func checkpointSeals() -> FuzzTarget {
        FuzzTarget(
            name: "checkpoint-seals",
            weight: 6,
            samples: [DecoderDoors.sampleCheckpointSeal()],
            isText: true,
            mends: DecoderDoors.resealedBlock,
            decode: DecoderDoors.checkpointSeal
        )
    }

    private static func journals() throws -> FuzzTarget {
        let progress = RunProgress(
            completedSteps: 4,
            transition: 2,
            validatedAt: 4,
            ranking: [
                .init(transition: 1, completedSteps: 2, score: 0.5),
                .init(transition: 2, completedSteps: 4, score: 0.25),
            ],
            roundsSinceBest: 1,
            stoppedEarly: false,
            scheduleState: [1, 2, 3]
        )
        let entries: [JournalEntry] = [
            .began(fencing: 3, completedSteps: 0), .transition(progress),
            .lost(worker: 2, sentence: "its process has ended"),
        ]
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        let lines = try entries.map { Array(try encoder.encode(JournalLine($0, time: 1.5))) }
        let sample = lines.enumerated().flatMap { JournalLines.line(sequence: $0 + 1, entry: $1) }
        return FuzzTarget(
            name: "journals",
            weight: 3,
            samples: [sample],
            isText: true,
            mends: { bytes in
                // Each line's entry as it now stands, under a checksum of its own.
                bytes.split(separator: UInt8(ascii: "\n")).enumerated().flatMap { index, line -> [UInt8] in
                    guard let start = line.firstRange(of: Array("\"entry\":".utf8)), line.last == UInt8(ascii: "}")
                    else { return line + [UInt8(ascii: "\n")] }
                    return JournalLines.line(sequence: index + 1, entry: Array(line[start.upperBound...].dropLast()))
                }
            }
        ) { bytes in
            let decoded: [JournalLine] = try JournalLines(bytes, path: "journal.jsonl").decoded()
            for line in decoded { _ = line.progress?.progress }
            return !decoded.isEmpty
        }
    }

    /// The trainer's part of a checkpoint, whose step the manifest says.
    private static func trainerStates() -> FuzzTarget {
        let sample =
            "{\"completedSteps\":12,\"roundsSinceBest\":0,\"scheduleState\":[1,2],\"stoppedEarly\":false,"
            + "\"transition\":3,\"validatedAt\":12}"
        return FuzzTarget(name: "trainer-states", weight: 3, samples: [Array("12 \(sample)".utf8)], isText: true) {
            bytes in
            let parts = bytes.split(separator: UInt8(ascii: " "), maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2, let step = Int(String(decoding: parts[0], as: UTF8.self)) else { return false }
            let trainer = TrainerState(
                network: "unet-small",
                step: step,
                epoch: 1,
                cursor: 0,
                configuration: "",
                numericsProfile: "fp32",
                datasetDigest: "",
                state: String(decoding: parts[1], as: UTF8.self)
            )
            _ = StoredProgress.saysComplete(trainer)
            _ = try RunProgress(trainer, path: "step-12.h5")
            return true
        }
    }

    /// What compressed pixels say of themselves, held against the header of a DICOM file.
    private static func pixelData() -> FuzzTarget {
        let jpeg: [UInt8] = [
            0xff, 0xd8, 0xff, 0xe0, 0, 4, 1, 2, 0xff, 0xdb, 0, 5, 1, 2, 3, 0xff, 0xff, 0xc0, 0, 11, 8, 0, 16, 0, 32, 1,
            1,
            0x11, 0, 0xff, 0xda,
        ]
        var runs = [UInt8](repeating: 0, count: 64)
        runs[0] = 2
        runs[4] = 64
        runs[8] = 70
        runs += [3, 1, 2, 3, 4, 0x80, 0xfe, 7, 0, 9, 200, 1]
        return FuzzTarget(name: "pixel-data", weight: 8, samples: [jpeg, runs], isText: false) { bytes in
            bytes.withUnsafeBufferPointer { stream in
                let planes = EncodedSize.runLengthPlanes(in: stream)
                return EncodedSize.jpegFrame(in: stream) != nil || planes != nil
            }
        }
    }
}

extension FuzzTarget {
    /// Through DCMTK, from a file: what a process of its own does elsewhere.
    private static func dicomHeaders() throws -> FuzzTarget {
        let file = try ScratchFile()
        return FuzzTarget(
            name: "dicom-headers",
            weight: 1,
            samples: try DICOMDoor.samples(in: file.folder),
            isText: false
        ) { bytes in
            try file.replace(bytes)
            return try DICOMDoor.probe(file.path)
        }
    }
}

/// A file of the fuzzer's own, which goes with it.
final class ScratchFile {
    let folder: String
    var path: String { "\(folder)/input" }

    init() throws {
        folder = "\(NSTemporaryDirectory())/pleura-fuzz-\(UUID().uuidString)"
        try FileSystem.createDirectory(folder)
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }

    func replace(_ bytes: [UInt8]) throws {
        let file = try OpenFile(path, .stream)
        try bytes.withUnsafeBytes { try file.append($0) }
    }
}

/// What was accepted contradicts itself.
struct FuzzDefect: Error, CustomStringConvertible {
    let description: String
}
