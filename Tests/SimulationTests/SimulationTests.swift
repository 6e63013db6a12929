import Coordination
import Simulation
import Testing

/// Whole runs with random faults; a failing seed is shortened, and its trace stands in the message.
@Suite struct SimulationTests {
    @Test(.timeLimit(.minutes(15)), arguments: 0..<4)
    func everySeedEndsWithTheSameWeights(part: Int) throws {
        var kinds: [RunOutcome.Kind?: Int] = [:]
        var effects: [SimulatedEffect: Int] = [:]
        var (sessions, faults, lost, joined) = (0, 0, 0, 0)
        for seed in stride(from: part, to: 20_000, by: 4) {
            let summary: Simulation.Summary
            do {
                summary = try Simulation.play(seed: UInt64(seed))
            } catch let failure as SimulationFailure {
                let shortest = failure.schedule.flatMap { Simulation.shrink($0)?.1 }
                Issue.record("\(shortest ?? failure)")
                continue
            }
            #expect(summary.steps >= 30 && summary.faults >= 5)
            sessions += summary.sessions
            faults += summary.faults
            lost += summary.lost
            joined += summary.joined
            effects.merge(summary.effects, uniquingKeysWith: +)
            for kind in summary.outcomes { kinds[kind, default: 0] += 1 }
        }
        // The seeds must reach every end that a fault can bring about, or they show nothing.
        for kind in [RunOutcome.Kind.completed, .drained, .stopped, .workerLost, .diverged] {
            #expect((kinds[kind] ?? 0) > 0, "no session ended \(kind)")
        }
        #expect((kinds[nil] ?? 0) > 0, "no coordinator was killed")
        #expect(sessions > 5000 && faults > 25_000)
        // And every fault must really have done something, many times.
        for effect in SimulatedEffect.allCases {
            #expect(
                effects[effect] ?? 0 >= 200,
                "\(effect): \(effects[effect] ?? 0) times in \(sessions) sessions"
            )
        }
        // Most faults of workers are survived, and their successors take part.
        #expect(lost > 5000 && joined > 2500, "\(lost) were lost, \(joined) joined")
    }

    @Test func aSeedReplaysExactly() throws {
        #expect(try Simulation.play(seed: 77) == Simulation.play(seed: 77))
    }
}
