import CSystem
import Configuration
import Coordination
import Diagnostics
import Foundation
import Glibc
import ModelSetup
import Platform
import RunFolder
import RunLinks
import Storage
import Synchronization

/// A coordinator in a process of its own, which its launcher starts, watches, and starts anew where it dies.
///
/// The launcher is at the other end of standard input, a socket: it sends the order first, then what it sees of workers
/// and users. The terminal is the coordinator's.
package enum CoordinatorProcess {
    /// Takes the order and leads the run to its end; the launcher hears how it ended.
    package static func run() throws {
        // Standard input goes to others of this process; a child must not hold the link open.
        let link = LineChannel(fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3))
        let inbox = try EventQueue<CoordinatorOrder?>()
        let receiver = Receiver()
        let reader = try OwnedThread(name: "pleura-link") {
            link.receive(ToCoordinator.self) { message in
                if case .order(let order) = message {
                    inbox.push(order)
                    return
                }
                receiver.take(message)
            }
            inbox.push(nil)
            // The launcher is gone, and its workers with it.
            _exit(ExitStatus.temporary.rawValue)
        }
        reader.detach()
        guard let order = inbox.take(milliseconds: 60_000).first ?? nil else {
            throw CoordinatorError.noOrder
        }
        let refusal = system_die_with_parent(SIGKILL, order.parent)
        // Without its launcher there is nobody to tell.
        if refusal == ESRCH { _exit(ExitStatus.temporary.rawValue) }
        let signals = try SignalWatch(SignalWatch.requests) { number in
            receiver.take(.drain(reason: SignalWatch.name(of: number)))
        }
        defer { signals.cancel() }
        defer { link.finish() }
        do {
            if refusal != 0 { throw SystemError.deathWithParent(code: refusal) }
            let outcome = try lead(order, link) { receiver.begin(with: $0) }
            link.send(RunEvent.ended(EndedRun(outcome)))
        } catch {
            let known = error as? any ReportableError
            link.send(
                RunEvent.failed(
                    message: known?.description ?? "\(error)",
                    status: (known?.exitStatus ?? .internal).rawValue
                )
            )
        }
    }

    /// Hands messages on in their order; those that come before the coordinator is there wait for it.
    private final class Receiver: Sendable {
        private let state = Mutex<(shell: CoordinatorShell?, early: [ToCoordinator])>((nil, []))

        func take(_ message: ToCoordinator) {
            state.withLock { state in
                if let shell = state.shell {
                    Self.deliver(message, to: shell)
                } else {
                    state.early.append(message)
                }
            }
        }

        func begin(with shell: CoordinatorShell) {
            state.withLock { state in
                state.shell = shell
                for message in state.early { Self.deliver(message, to: shell) }
                state.early = []
            }
        }

        private static func deliver(_ message: ToCoordinator, to shell: CoordinatorShell) {
            switch message {
            case .order: break
            case .exited(let exit):
                shell.workerExited(
                    incarnation: exit.incarnation,
                    process: exit.process,
                    exit.cause,
                    note: exit.note,
                    isReplaced: exit.isReplaced
                )
            case .drain(let reason): shell.drain(reason: reason)
            case .say(let sentence): shell.say(sentence)
            }
        }
    }

    private static func lead(
        _ order: CoordinatorOrder,
        _ link: LineChannel,
        onReady: (CoordinatorShell) -> Void
    ) throws -> RunOutcome {
        let configuration = try RunConfiguration.parse(order.configuration, file: "the launcher's configuration")
        let directory = RunDirectory(order.directory)
        let setup = try RunSetup(configuration, dataset: Dataset.open(configuration.data.shards))
        let console = Console(isVerbose: order.isVerbose, isQuiet: order.isQuiet)
        let options = CoordinatorShell.Options(
            directory: directory,
            job: order.job,
            fencing: order.fencing,
            expectedWorkers: order.expectedWorkers,
            bind: [order.bind],
            bulkBind: order.bulkBind,
            resume: try resumePoint(order, configuration, directory, console),
            reattachment: order.reattaches ? try RunHistory(directory).reattachment : nil,
            console: console,
            tensors: try ModelState(setup).tensors.map(\.signature),
            keys: try order.keys.map { try KeyFolder($0).serverKeys() },
            run: order.run,
            session: order.session,
            hears: { link.send($0, isFleeting: $0.isFleeting) }
        )
        let shell = try CoordinatorShell(setup, options)
        defer { shell.close() }
        link.send(RunEvent.listening(RunEndpoints(control: shell.endpoint, bulk: shell.bulkEndpoint)))
        onReady(shell)
        return try shell.run()
    }

    /// Where the run goes on if nobody holds it in memory: the ordered checkpoint, or, after a coordinator's death, the
    /// newest that is intact.
    private static func resumePoint(
        _ order: CoordinatorOrder,
        _ configuration: RunConfiguration,
        _ directory: RunDirectory,
        _ console: Console
    ) throws -> ResumePoint? {
        var path = order.checkpoint.map { "\(directory.checkpoints)/\($0)" }
        if order.reattaches {
            try directory.store.removeTemporaries()
            let found = try directory.store.newestIntact { try RunIdentity.require(order.run, of: $0) }
            for skipped in found.skipped {
                console.log(.warning, "The checkpoint \(skipped.record.path) is not used: \(skipped)")
            }
            path = found.contents?.path ?? path
        }
        guard let path else { return nil }
        let checkpoint = try CheckpointStore.open(path)
        return ResumePoint(
            progress: try ResumedProgress.read(checkpoint, configuration, directory),
            file: path.split(separator: "/").last.map(String.init) ?? path
        )
    }
}
