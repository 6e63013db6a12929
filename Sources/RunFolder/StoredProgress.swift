package import Coordination
import Foundation
package import Storage

/// The run's progress as a checkpoint's JSON object keeps it.
package struct StoredProgress: Codable {
    package var completedSteps: UInt64
    package var transition: UInt64
    package var validatedAt: UInt64?
    package var bestTransition: UInt64?
    package var bestSteps: UInt64?
    /// As bits: JSON has no place for every `Double`.
    package var bestScore: UInt64?
    /// The best rounds behind that one, each as transition, steps and score; absent where there is none.
    package var nextBest: [[UInt64]]?
    package var roundsSinceBest: UInt32
    package var stoppedEarly: Bool
    package var scheduleState: [UInt64]
    /// Whether the run was complete at this state; absent in the journal.
    package var isComplete: Bool?
    /// The run that the checkpoint is of (`RunManifest`); absent in the journal, and in those of earlier versions.
    package var run: String?
    /// What the run's files that grow held when the checkpoint was ordered, by their names below its folder; absent in the
    /// journal, and in those of earlier versions.
    package var records: [String: FileSeal]?

    package init(
        _ progress: RunProgress,
        isComplete: Bool? = nil,
        run: String? = nil,
        records: [String: FileSeal]? = nil
    ) {
        completedSteps = progress.completedSteps
        transition = progress.transition
        validatedAt = progress.validatedAt
        bestTransition = progress.best?.transition
        bestSteps = progress.best?.completedSteps
        bestScore = progress.best?.score.bitPattern
        let next = progress.ranking.dropFirst()
        nextBest = next.isEmpty ? nil : next.map { [$0.transition, $0.completedSteps, $0.score.bitPattern] }
        roundsSinceBest = progress.roundsSinceBest
        stoppedEarly = progress.stoppedEarly
        scheduleState = progress.scheduleState
        self.isComplete = isComplete
        self.run = run
        self.records = records
    }

    /// Whether the writer of a checkpoint knew that its run was complete with it.
    package static func saysComplete(_ trainer: TrainerState) -> Bool {
        guard let stored = try? JSONDecoder().decode(StoredProgress.self, from: Data(trainer.state.utf8)) else {
            return false
        }
        return stored.isComplete == true && stored.completedSteps == UInt64(exactly: trainer.step)
    }

    /// What a checkpoint vouches for beside itself; empty in those of earlier versions.
    package static func records(of trainer: TrainerState) -> [String: FileSeal] {
        (try? JSONDecoder().decode(StoredProgress.self, from: Data(trainer.state.utf8)))?.records ?? [:]
    }

    /// The run that a checkpoint says it is of; nil where it says none.
    package static func run(of trainer: TrainerState) -> String? {
        (try? JSONDecoder().decode(StoredProgress.self, from: Data(trainer.state.utf8)))?.run
    }

    package var progress: RunProgress {
        var ranking: [RunProgress.Best] = []
        if let bestTransition, let bestSteps, let bestScore {
            for words in [[bestTransition, bestSteps, bestScore]] + (nextBest ?? []) where words.count == 3 {
                ranking.append(
                    RunProgress.Best(
                        transition: words[0],
                        completedSteps: words[1],
                        score: Double(bitPattern: words[2])
                    )
                )
            }
        }
        return RunProgress(
            completedSteps: completedSteps,
            transition: transition,
            validatedAt: validatedAt,
            ranking: ranking,
            roundsSinceBest: roundsSinceBest,
            stoppedEarly: stoppedEarly,
            scheduleState: scheduleState
        )
    }
}

extension RunProgress {
    /// The progress as the text of a JSON object.
    package func encoded(
        isComplete: Bool,
        run: String? = nil,
        records: [String: FileSeal]? = nil
    ) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        return String(
            decoding: try encoder.encode(StoredProgress(self, isComplete: isComplete, run: run, records: records)),
            as: UTF8.self
        )
    }

    /// The progress that a checkpoint holds.
    package init(_ trainer: TrainerState, path: String) throws {
        do {
            let stored = try JSONDecoder().decode(StoredProgress.self, from: Data(trainer.state.utf8))
            guard stored.completedSteps == UInt64(exactly: trainer.step) else {
                throw RunError.damaged("it stands at step \(trainer.step) and says \(stored.completedSteps)")
            }
            // Far below where counting on would overflow.
            guard stored.completedSteps <= 1 << 48, stored.transition <= 1 << 48, stored.roundsSinceBest <= 1 << 30
            else {
                throw RunError.damaged("its counts are those of no run")
            }
            self = stored.progress
        } catch {
            throw RunError.damaged("The trainer's state in \(path) cannot be read: \(error)")
        }
    }
}

/// A line of the run's journal.
package struct JournalLine: Codable, Sendable {
    /// Coordinators have numbers below: times in seconds are among them, and no run has so many.
    package static let mostFencing = RunHistory.mostFencing

    package var time: Double
    package var event: String
    package var fencing: UInt64?
    package var step: UInt64?
    package var members: [String]?
    /// Of a membership: its version, and the members' numbers, hosts and processes in the same order.
    package var version: UInt32?
    package var workers: [UInt32]?
    package var hosts: [String]?
    package var incarnations: [UInt64]?
    /// And the names of the keys that their connections were made with; absent in a run without keys.
    package var keys: [String]?
    package var text: String?
    package var progress: StoredProgress?
    /// Of a beginning: which run it is.
    package var run: String?

    package init(_ entry: JournalEntry, time: Double, run: String? = nil) {
        self.time = time
        if case .began = entry { self.run = run }
        switch entry {
        case .began(let fencing, let steps):
            event = "began"
            self.fencing = fencing
            step = steps
        case .membership(let membership, let incarnations, let keys):
            event = "membership"
            members = membership.members.map { "\($0.worker) \($0.hostName) \($0.threads)" }
            version = membership.version
            workers = membership.members.map(\.worker)
            hosts = membership.members.map(\.hostName)
            self.incarnations = incarnations
            self.keys = keys.allSatisfy(\.isEmpty) ? nil : keys
        case .transition(let progress):
            event = "transition"
            step = progress.completedSteps
            self.progress = StoredProgress(progress)
        case .checkpoint(let steps, _):
            event = "checkpoint"
            step = steps
        case .lost(let worker, let sentence):
            event = "lost"
            members = ["\(worker)"]
            workers = [worker]
            text = sentence
        case .ended(let outcome):
            event = "ended"
            step = outcome.completedSteps
            text = outcome.message
        }
    }
}
