import Simulation
import Testing

/// The shortest schedule is looked for with invariants that are wrong on purpose: the machines are sound.
@Suite struct ShrinkingTests {
    /// Fails where two workers are lost in one session after its third step.
    private static let twoAreNeverLost: Simulation.Invariant = { world in
        world.lost.count > 1 && world.committed.count > 2 ? "two were lost" : nil
    }

    /// The first failing seed from `first` on, as `Simulation.play` finds it.
    private func failure(from first: UInt64, _ invariant: @escaping Simulation.Invariant) throws -> SimulationFailure {
        for seed in first..<first + 100 {
            do {
                _ = try Simulation.play(seed: seed, invariant: invariant)
            } catch let failure as SimulationFailure {
                return failure
            }
        }
        throw Missing()
    }

    private struct Missing: Error {}

    @Test(arguments: [0, 200, 400, 600, 800] as [UInt64])
    func nothingCanBeDroppedFromTheShortest(first: UInt64) throws {
        let found = try failure(from: first, Self.twoAreNeverLost)
        let schedule = try #require(found.schedule)
        let (shortest, failure) = try #require(Simulation.shrink(schedule, invariant: Self.twoAreNeverLost))
        #expect(failure.invariant == "two were lost" && !failure.trace.isEmpty)
        // Equal schedules are shortened equally, and the text plays what it stands for.
        #expect(Simulation.shrink(schedule, invariant: Self.twoAreNeverLost)?.0 == shortest)
        let again = try #require(SimulatedCase(shortest.description))
        #expect(again == shortest)
        let replayed = #expect(throws: SimulationFailure.self) {
            try Simulation.play(again, tracing: true, invariant: Self.twoAreNeverLost)
        }
        #expect(replayed?.at == failure.at && replayed?.trace == failure.trace)
        // Without the wrong invariant it is a sound session like any other.
        _ = try Simulation.play(again)
        // One session, with one that takes both, a fault for each that was lost, or two where only both together lose one (its
        // messages are doubled, and mixed).
        #expect(shortest.parts.count == 1)
        let (run, sessions) = try shortest.sessions()
        // Who lies to a coordinator that takes over is lost to it, and the takeover is a fault of its own.
        let causes = sessions[0].faults.filter { if case .takeover = $0.fault { false } else { true } }
        #expect((0...4).contains(causes.count) && (1...5).contains(sessions[0].faults.count), "\(shortest)")
        // Nothing more can be dropped from it.
        var shorter: [SimulatedCase] = []
        for index in sessions[0].faults.indices {
            shorter.append(shortest)
            shorter[index].parts[0].faults?.remove(at: index)
        }
        var fewer = shortest
        fewer.parts[0].workers = sessions[0].threads.count - 1
        if sessions[0].threads.count > 1 { shorter.append(fewer) }
        var briefer = shortest
        briefer.steps = run.lastStep - 1
        shorter.append(briefer)
        for schedule in shorter { _ = try Simulation.play(schedule, invariant: Self.twoAreNeverLost) }
    }

    /// A defect that takes a session to show itself in the next one.
    @Test func sessionsThatTheFailureNeedsAreKept() throws {
        let resumes: Simulation.Invariant = { world in
            world.resumedFrom > 4 && world.lost.count == 1 ? "one was lost after a resumption" : nil
        }
        let schedule = try #require(try failure(from: 0, resumes).schedule)
        let (shortest, failure) = try #require(Simulation.shrink(schedule, invariant: resumes))
        #expect(failure.invariant == "one was lost after a resumption")
        #expect(shortest.parts.count == 2)
        let faults = try shortest.sessions().1.map(\.faults.count)
        #expect(faults.allSatisfy { (1...2).contains($0) }, "\(shortest)")
    }

    @Test func aSoundScheduleIsNotShortened() throws {
        let schedule = try #require(SimulatedCase("7/1/2/3"))
        #expect(Simulation.shrink(schedule) == nil)
    }

    @Test(arguments: [
        "0", "2208/1", "2208:steps=12/2:workers=3,faults=0+4/3", "18446744073709551615:range=2..5/7:faults=none",
        "5:range=4..4,steps=1/1:workers=2,respawns=0,minimum=1,faults=3",
    ])
    func aTextIsReadAsItIsWritten(text: String) {
        #expect(SimulatedCase(text)?.description == text)
    }

    @Test(arguments: [
        "", "x", "1/", "1/0", "1/2/2", "1:steps=0", "1:steps=", "1:stops=2", "1:range=5..3", "1:range=3...9",
        "1/1:workers=0",
        "1/1:faults=", "1/1:faults=1+", "1/1:faults=-1", "1/1:workers=1,", "1/10001", "1:/1", "-1",
        "1/1:minimum=99999999999",
        "18446744073709551616",
    ])
    func anotherTextIsNone(text: String) {
        #expect(SimulatedCase(text) == nil)
    }
}
