extension Simulation {
    /// The shortest schedule found that fails, and how it fails.
    ///
    /// Drops sessions, faults, workers, respawns and steps one after the other, as long as what is left fails, in any way,
    /// until nothing more can be dropped. Equal schedules are shortened equally.
    ///
    /// - Parameters:
    ///   - schedule: one that fails; of one that does not, nil is returned.
    ///   - trials: how many schedules are played at most.
    package static func shrink(
        _ schedule: SimulatedCase,
        trials: Int = 5000,
        invariant: Invariant? = nil
    ) -> (SimulatedCase, SimulationFailure)? {
        var shrinker = Shrinker(best: schedule, left: trials, invariant: invariant)
        guard shrinker.accepts(schedule) else { return nil }
        shrinker.run()
        // Once more, with a trace: replay is exact.
        return shrinker.failure(of: shrinker.best, tracing: true).map { (shrinker.best, $0) }
    }

    private struct Shrinker {
        var best: SimulatedCase
        var left: Int
        let invariant: Invariant?

        func failure(of schedule: SimulatedCase, tracing: Bool) -> SimulationFailure? {
            do {
                try Simulation.play(schedule, tracing: tracing, invariant: invariant)
                return nil
            } catch {
                return error as? SimulationFailure
            }
        }

        /// Takes a schedule for the best one where it fails.
        mutating func accepts(_ schedule: SimulatedCase) -> Bool {
            guard left > 0 else { return false }
            left -= 1
            guard failure(of: schedule, tracing: false) != nil else { return false }
            best = schedule
            return true
        }

        mutating func run() {
            var before: SimulatedCase
            repeat {
                before = best
                dropSessions()
                for index in best.parts.indices { dropFaults(of: index) }
                for index in best.parts.indices { dropProcesses(of: index) }
                dropSteps()
            } while best != before && left > 0
        }

        /// The first ones first: the failure is in the last, and seldom needs what was before it.
        private mutating func dropSessions() {
            if let last = best.parts.last, best.parts.count > 1 {
                var alone = best
                alone.parts = [last]
                if accepts(alone) { return }
            }
            var index = 0
            while index < best.parts.count, best.parts.count > 1 {
                var shorter = best
                shorter.parts.remove(at: index)
                if !accepts(shorter) { index += 1 }
            }
        }

        /// Half of them at once, then fewer.
        private mutating func dropFaults(of index: Int) {
            guard let (_, sessions) = try? best.sessions(), sessions.indices.contains(index) else { return }
            if best.parts[index].faults == nil { best.parts[index].faults = Array(sessions[index].faults.indices) }
            var length = best.parts[index].faults?.count ?? 0
            while length > 0 {
                var start = 0
                while let faults = best.parts[index].faults, start < faults.count {
                    var shorter = best
                    shorter.parts[index].faults?.removeSubrange(start..<min(start + length, faults.count))
                    if !accepts(shorter) { start += length }
                }
                length /= 2
            }
        }

        private mutating func dropProcesses(of index: Int) {
            guard let (_, sessions) = try? best.sessions(), sessions.indices.contains(index) else { return }
            let session = sessions[index]
            lower(\.respawns, of: index, from: session.respawns, to: 0)
            lower(\.minimum, of: index, from: session.minimumWorkers, to: 1)
            lower(\.workers, of: index, from: session.threads.count, to: 1)
        }

        /// The lowest number that still fails, by trial from below.
        private mutating func lower(
            _ field: WritableKeyPath<SimulatedCase.Part, Int?>,
            of index: Int,
            from present: Int,
            to least: Int
        ) {
            for count in least..<max(least, present) {
                var shorter = best
                shorter.parts[index][keyPath: field] = count
                if accepts(shorter) { return }
            }
        }

        private mutating func dropSteps() {
            guard let (run, _) = try? best.sessions() else { return }
            for steps in 1..<max(1, run.lastStep) {
                var shorter = best
                shorter.steps = steps
                if accepts(shorter) { return }
            }
        }
    }
}
