import Foundation
import Glibc
import Platform
import RunFolder
import Synchronization

/// Writes a run's status on a thread of its own, so that a slow disk holds nothing up; what cannot be written is not.
final class StatusWriter: Sendable {
    private let directory: RunDirectory
    private let thread: SerialThread
    private let isBusy = Atomic<Bool>(false)
    private let requireFolder: @Sendable () throws -> Void

    /// `requireFolder` throws where the folder is the run's no more: nothing is written there then.
    init(_ directory: RunDirectory, requireFolder: @escaping @Sendable () throws -> Void = {}) throws {
        self.requireFolder = requireFolder
        self.directory = directory
        thread = try SerialThread(name: "pleura-status")
    }

    /// Replaces the file; skipped while the last one is still being written, unless it `isLast`.
    func write(_ status: RunStatus, isLast: Bool = false) {
        if isBusy.exchange(true, ordering: .acquiringAndReleasing), !isLast { return }
        thread.submit { [self] in
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
            // One name for the new file, so that nothing gathers where a coordinator is killed. Readers see all or nothing;
            // what fails is tried again in a second, and nobody resumes from this file.
            let new = "\(directory.path)/.status.json.tmp"
            if (try? requireFolder()) != nil, let data = try? encoder.encode(status),
                (try? data.write(to: URL(fileURLWithPath: new))) != nil
            {
                rename(new, directory.status)
            }
            isBusy.store(false, ordering: .releasing)
        }
    }

    /// Does something else with the run's folder, after what was written before.
    func perform(_ work: @escaping @Sendable () -> Void) { thread.submit(work) }

    /// Waits for what was given to it, but not for ever: a disk that stands still must not keep a run from ending.
    func close() { thread.close(within: .seconds(5)) }
}
