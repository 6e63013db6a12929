import Coordination
import Foundation
import Glibc
import Platform
import Synchronization

/// Faults that a worker does to itself, at points of its work that a signal from outside would hit by luck alone; for
/// tests and benchmarks.
///
/// `PLEURA_FAULTS` holds them, separated by commas, each as `ACTION:POINT:STEP` or `ACTION:POINT:STEP:WORKER`: the first
/// time that the worker of this number, or any, comes to the point in this step or a later one, it sends itself the
/// signal, `kill` or `stop`, or breaks its bulk connection (`reset`; where it is `streaming`). The file that
/// `PLEURA_FAULTS_LOG` names takes a line before:
/// `SECONDS-SINCE-1970 PROCESS WORKER POINT STEP ACTION`.
package final class PlannedFaults: Sendable {
    /// Where a worker can be.
    package enum Point: String, Sendable, CaseIterable {
        /// Data and programs are being loaded.
        case preparing
        /// The state of the run that it joins is there, and not loaded yet.
        case restoring
        /// It has its microbatches, and has begun none.
        case assigned
        /// A microbatch is in its backward pass: a bucket is full, others are not.
        case computing
        /// All microbatches are done, and sums are not.
        case reducing
        /// The sums are reported.
        case reduced
        /// The weights are those of the next step, and nobody knows.
        case applying
        case validating
        /// A part of its share of a checkpoint has been sent.
        case streaming
    }

    /// What is done at a point.
    package enum Action: String, Sendable {
        case kill
        case stop
        /// The caller breaks its bulk connection.
        case reset
    }

    private struct Fault: Sendable {
        var action: Action
        var point: Point
        var step: UInt64
        var worker: UInt32?
    }

    private let faults: Mutex<[Fault]>
    private let log: String?

    /// The faults in `environment`; nil where there are none. Throws where they cannot be read.
    package static func planned(in environment: [String: String]) throws -> PlannedFaults? {
        guard let text = environment["PLEURA_FAULTS"], !text.isEmpty else { return nil }
        return try PlannedFaults(text, log: environment["PLEURA_FAULTS_LOG"])
    }

    package init(_ text: String, log: String?) throws {
        let faults = try text.split(separator: ",").map { part in
            let words = part.split(separator: ":", omittingEmptySubsequences: false)
            guard (3...4).contains(words.count), let action = Action(rawValue: String(words[0])),
                let point = Point(rawValue: String(words[1])), let step = UInt64(words[2])
            else {
                throw WorkerError.fault("PLEURA_FAULTS takes ACTION:POINT:STEP[:WORKER], found \(part).")
            }
            let worker = words.count == 4 ? UInt32(words[3]) : nil
            guard words.count == 3 || worker != nil else {
                throw WorkerError.fault("PLEURA_FAULTS takes ACTION:POINT:STEP[:WORKER], found \(part).")
            }
            return Fault(action: action, point: point, step: step, worker: worker)
        }
        self.faults = Mutex(faults)
        self.log = log
    }

    /// The worker has come to `point` in `step`; does not return where it is to die there, and returns what the caller
    /// is to do.
    @discardableResult
    func reach(_ point: Point, step: UInt64, worker: UInt32) -> Action? {
        let due = faults.withLock { faults -> Fault? in
            let index = faults.firstIndex {
                $0.point == point && step >= $0.step && ($0.worker ?? worker) == worker
            }
            return index.map { faults.remove(at: $0) }
        }
        guard let due else { return nil }
        if let log, let file = try? OpenFile(log, .append) {
            let line = "\(Date().timeIntervalSince1970) \(getpid()) \(worker) \(point) \(step) \(due.action)\n"
            try? Array(line.utf8).withUnsafeBytes { try file.append($0) }
        }
        switch due.action {
        case .kill: kill(getpid(), SIGKILL)
        case .stop: kill(getpid(), SIGSTOP)
        case .reset: break
        }
        return due.action
    }
}
