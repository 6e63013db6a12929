import Coordination
import Simulation
import Testing

/// Sessions of a small simulated run, for tests of one fault at a time.
enum Worlds {
    static func run(
        microbatches: Int = 6,
        validation: ValidationSchedule? = nil,
        samples: Int = 40,
        patience: UInt32? = nil,
        best: Int = 1
    ) throws -> SimulatedRun {
        try SimulatedRun(
            seed: 11,
            samples: samples,
            epochs: 2,
            microbatches: microbatches,
            microbatchSize: 2,
            validation: validation
                ?? ValidationSchedule(interval: .epochs(1), sampleCount: 13, samplesPerRequest: 3),
            patience: patience,
            best: best
        )
    }

    static func session(
        workers: Int = 3,
        faults: [TimedFault] = [],
        seed: UInt64 = 5,
        fencing: UInt64 = 1,
        checkpoints: CheckpointPolicy = CheckpointPolicy()
    ) -> SimulatedWorld.Session {
        SimulatedWorld.Session(
            seed: seed,
            threads: (0..<workers).map { UInt32(1 + $0 % 2) },
            checkpoints: checkpoints,
            faults: faults,
            fencing: fencing
        )
    }

    /// Plays one session from `disk`, which it leaves as the session does.
    static func play(
        _ run: SimulatedRun,
        _ session: SimulatedWorld.Session,
        _ disk: inout SimulatedDisk
    ) throws -> SimulatedWorld.Result {
        let world = SimulatedWorld(run: run, session: session, disk: disk)
        let (result, after) = try world.play()
        disk = after
        return result
    }

    /// Plays an undisturbed session to the end and compares what it leaves with the undisturbed run.
    static func finish(
        _ run: SimulatedRun,
        _ disk: inout SimulatedDisk,
        workers: Int,
        fencing: UInt64
    ) throws {
        let result = try play(run, session(workers: workers, fencing: fencing), &disk)
        #expect(result.outcome?.kind == .completed)
        #expect(disk.newest?.weights == run.reference.last?.weights)
        #expect(disk.newest?.progress == run.reference.last?.after)
    }
}
