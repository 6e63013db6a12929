// The process that the torture of checkpoints torments: it saves states that its step alone decides, as the coordinator
// does, and tells in one line each what became of them.
//
//   expect STEP…          prints "STEP STATE-SHA-256" for each
//   save FOLDER STEP…     clears the folder as `resume` does, saves each step and goes on if one fails; prints
//                         "saved STEP", "failed STEP: WHY", "warned STEP: WHAT"
//   load FOLDER           prints "loaded STEP STATE-SHA-256" of the newest intact checkpoint, or "nothing", after
//                         "skipped STEP: WHY" for each newer one
//
// Exits 0 after whatever error of the disk; only a crash or a kill ends it otherwise.

import Glibc
import Platform
import Storage

/// Small, but with every group of tensors, with empty ones, and with one of several pieces.
func tensors(of step: Int) -> [StateTensor] {
    var list: [StateTensor] = []
    let shapes = [[4, 3, 7, 7], [64], [], [0, 3], [1000], [150_001]]
    for (index, shape) in shapes.enumerated() {
        for group in ["model", "optimizer/momentum", "ema", "buffers"] where index < 5 || group == "model" {
            let count = shape.reduce(1, *)
            let start = Float(step * 1000 + index * 100 + group.utf8.count)
            let values = (0..<count).map { start + Float($0) / 64 }
            list.append(StateTensor(name: "\(group)/layer\(index).weight", shape: shape, values: values))
        }
    }
    return list
}

/// At once: what was said before a kill counts.
func say(_ line: String) { try? StandardStream.output.write(line + "\n") }

func save(_ step: Int, in folder: String) throws {
    let state = tensors(of: step)
    let writer = try CheckpointWriter.create(
        directory: folder,
        step: step,
        expectedBytes: state.reduce(0) { $0 + 4 * $1.values.count }
    )
    for tensor in state {
        try tensor.values.withUnsafeBytes { bytes in
            var offset = 0
            repeat {
                let end = min(bytes.count, offset + 1 << 18)
                let piece = UnsafeRawBufferPointer(rebasing: bytes[offset..<end])
                try writer.write(tensor.name, shape: tensor.shape, bytes: piece, at: offset)
                offset = end
            } while offset < bytes.count
        }
    }
    try writer.require(state.map { TensorSignature($0.name, $0.shape) })
    let trainer = TrainerState(
        network: "victim",
        step: step,
        epoch: 0,
        cursor: 0,
        configuration: "run: {seed: \(step)}\n",
        numericsProfile: "fp32",
        datasetDigest: "none",
        metrics: ["dice": Double(step)]
    )
    try writer.finish(trainer: trainer, retention: RetentionPolicy(keepLast: 2)) { say("warned \(step): \($0)") }
}

func load(from folder: String) {
    do {
        let (contents, skipped) = try CheckpointStore(folder).newestIntact()
        for one in skipped { say("skipped \(one.record.step): \(one)") }
        guard let contents else { return say("nothing") }
        say("loaded \(contents.trainer.step) \(try contents.stateHash())")
    } catch { say("failed 0: \(error)") }
}

let arguments = CommandLine.arguments
let steps = arguments.dropFirst(2).compactMap { Int($0) }
switch arguments.dropFirst().first {
case "expect":
    for step in steps { say("\(step) \(StateHash.of(tensors(of: step)))") }
case "save" where arguments.count > 2:
    let folder = arguments[2]
    do { try CheckpointStore(folder).removeTemporaries() } catch { say("failed 0: \(error)") }
    for step in steps {
        do {
            try save(step, in: folder)
            say("saved \(step)")
        } catch { say("failed \(step): \(error)") }
    }
case "load" where arguments.count > 2: load(from: arguments[2])
default: exit(64)
}
