import Coordination

/// A schedule: the sessions of one run of a seed, whole or in part, as a text that plays it again.
///
///     2208                                     the seed itself, as `Simulation.play(seed:)` plays it
///     2208/1                                   its first session alone
///     2208:steps=12/2:workers=3,faults=0+4/3   its sessions 2 and 3; of 2 three workers and the faults 0 and 4
///
/// Options of the head: `range=3..9` (that the numbers of workers are drawn from) and `steps`; of a session: `workers`,
/// `respawns`, `minimum` and `faults` (numbers joined by +, or `none`). What is not said is as the seed has it.
package struct SimulatedCase: Hashable, Sendable, CustomStringConvertible {
    /// A session of the seed, with what is left of it.
    package struct Part: Hashable, Sendable {
        /// Counted from 1 in the order in which the seed draws its sessions.
        package var number: Int
        package var workers: Int?
        package var respawns: Int?
        package var minimum: Int?
        /// Indices of the faults that are left.
        package var faults: [Int]?

        package init(number: Int, faults: [Int]? = nil) {
            self.number = number
            self.faults = faults
        }
    }

    package static let usualWorkers = 3...9
    /// Sessions of a seed beyond this are none that `Simulation.play(seed:)` reaches.
    private static let sessionsAtMost = 10_000

    package var seed: UInt64
    package var workers: ClosedRange<Int>
    /// The run's steps at most.
    package var steps: UInt64?
    /// Empty: the seed itself.
    package var parts: [Part] = []

    package init(seed: UInt64, workers: ClosedRange<Int> = usualWorkers) {
        self.seed = seed
        self.workers = workers
    }

    // MARK: Text

    /// Nil where the text is no schedule.
    package init?(_ text: String) {
        var words = text.split(separator: "/", omittingEmptySubsequences: false)[...]
        guard let head = words.popFirst(), let (number, options) = Self.options(of: head),
            let seed = UInt64(number)
        else { return nil }
        self.init(seed: seed)
        for (key, value) in options {
            switch key {
            case "range":
                guard let range = Self.range(value) else { return nil }
                workers = range
            case "steps":
                guard let steps = UInt64(value), steps > 0 else { return nil }
                self.steps = steps
            default: return nil
            }
        }
        for word in words {
            guard let (number, options) = Self.options(of: word), let session = Int(number),
                (parts.last?.number ?? 0) < session, session <= Self.sessionsAtMost
            else { return nil }
            var part = Part(number: session)
            for (key, value) in options {
                if key == "faults" {
                    let faults = value == "none" ? [] : value.split(separator: "+", omittingEmptySubsequences: false)
                    part.faults = faults.compactMap { Int($0) }
                    guard part.faults?.count == faults.count, part.faults?.allSatisfy({ $0 >= 0 }) == true else {
                        return nil
                    }
                    continue
                }
                guard let count = Int(value), count >= 0, count <= 1 << 16 else { return nil }
                switch key {
                case "workers" where count > 0: part.workers = count
                case "respawns": part.respawns = count
                case "minimum" where count > 0: part.minimum = count
                default: return nil
                }
            }
            parts.append(part)
        }
    }

    /// `3..9`, or `5` alone.
    package static func range(_ text: some StringProtocol) -> ClosedRange<Int>? {
        var numbers: [Int] = []
        for word in text.split(separator: ".", omittingEmptySubsequences: false) where !word.isEmpty {
            guard let number = Int(word) else { return nil }
            numbers.append(number)
        }
        guard let first = numbers.first, let last = numbers.last, numbers.count <= 2, first > 0, first <= last,
            last < 1 << 16, text == (numbers.count == 2 ? "\(first)..\(last)" : "\(first)")
        else { return nil }
        return first...last
    }

    /// `NUMBER:key=value,key=value` in its parts.
    private static func options(of word: Substring) -> (number: Substring, [(key: Substring, value: Substring)])? {
        let halves = word.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard let number = halves.first else { return nil }
        if halves.count == 1 { return (number, []) }
        var options: [(Substring, Substring)] = []
        for option in halves[1].split(separator: ",", omittingEmptySubsequences: false) {
            let sides = option.split(separator: "=", omittingEmptySubsequences: false)
            guard sides.count == 2 else { return nil }
            options.append((sides[0], sides[1]))
        }
        return (number, options)
    }

    package var description: String {
        var options: [String] = []
        if workers != Self.usualWorkers { options.append("range=\(workers.lowerBound)..\(workers.upperBound)") }
        if let steps { options.append("steps=\(steps)") }
        func word(_ number: String) -> String {
            options.isEmpty ? number : number + ":" + options.joined(separator: ",")
        }
        var words = [word("\(seed)")]
        for part in parts {
            options = []
            if let workers = part.workers { options.append("workers=\(workers)") }
            if let respawns = part.respawns { options.append("respawns=\(respawns)") }
            if let minimum = part.minimum { options.append("minimum=\(minimum)") }
            if let faults = part.faults {
                options.append("faults=" + (faults.isEmpty ? "none" : faults.map(String.init).joined(separator: "+")))
            }
            words.append(word("\(part.number)"))
        }
        return words.joined(separator: "/")
    }

    // MARK: Sessions

    /// The run, and the sessions that are left, in their order.
    package func sessions() throws -> (SimulatedRun, [SimulatedWorld.Session]) {
        var draws = SimulatedDraws(seed: seed, workers: workers)
        let run = try draws.run(steps: steps)
        var sessions: [SimulatedWorld.Session] = []
        for part in parts {
            var session = draws.session()
            while draws.sessions < part.number { session = draws.session() }
            if let workers = part.workers { session.threads = Array(session.threads.prefix(workers)) }
            if let respawns = part.respawns { session.respawns = respawns }
            if let minimum = part.minimum { session.minimumWorkers = minimum }
            let all = session.faults
            if let kept = part.faults { session.faults = kept.filter(all.indices.contains).map { all[$0] } }
            sessions.append(session)
        }
        return (run, sessions)
    }

    /// The schedule in words, a line for each session and each fault; of a seed alone, the line that names it.
    package func lines() throws -> [String] {
        let (run, sessions) = try sessions()
        var lines = ["seed \(seed): \(run.lastStep) steps"]
        for session in sessions {
            let policy = session.checkpoints
            var checkpoints = policy.everySteps.map { ["every \($0) steps"] } ?? []
            if let interval = policy.every { checkpoints.append("every \(interval)") }
            if policy.best > 0 { checkpoints.append("of the best") }
            lines.append(
                "session \(session.fencing >> 7): \(session.threads.count) workers with threads \(session.threads), at least "
                    + "\(session.minimumWorkers), \(session.respawns) respawns, checkpoints "
                    + (checkpoints.isEmpty ? "at the end" : checkpoints.joined(separator: " and "))
            )
            let faults = session.faults.enumerated().sorted { ($0.element.at, $0.offset) < ($1.element.at, $1.offset) }
            for (_, fault) in faults { lines.append("  after \(fault.at): \(fault.fault)") }
        }
        return lines
    }
}
