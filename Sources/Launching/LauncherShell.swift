import Coordination
import Platform
import RunLinks
import Synchronization

/// Runs a `LauncherMachine`: hands it what happens to the processes of a run, and does what it decides.
///
/// Any thread may deliver an event; events and their actions come one after the other. No action that is run here blocks,
/// and none delivers an event itself; starting a coordinator and ending the run are left to the thread that leads it.
final class LauncherShell: Sendable {
    /// What the actions are done to, once it is there.
    private struct Hands: Sendable {
        var crew: WorkerCrew?
        var coordinator: (any RunCoordinator)?
    }

    private struct State: Sendable {
        var machine: LauncherMachine
        var hands = Hands()
    }

    private let state: Mutex<State>

    init(_ configuration: LauncherMachine.Configuration) {
        state = Mutex(State(machine: LauncherMachine(configuration)))
    }

    /// Whether a coordinator in a process of its own has said that the run has begun.
    var hasBegun: Bool { state.withLock { $0.machine.hasBegun } }

    /// The workers that are started and ended from now on.
    func command(_ crew: WorkerCrew) { state.withLock { $0.hands.crew = crew } }

    /// The coordinator that is told from now on.
    func follow(_ coordinator: any RunCoordinator) { state.withLock { $0.hands.coordinator = coordinator } }

    /// Lets go of what the actions are done to.
    func release() { state.withLock { $0.hands = Hands() } }

    /// Delivers an event.
    ///
    /// - Returns: the actions that are left to the thread that leads the run.
    @discardableResult
    func deliver(_ event: LauncherMachine.Event) -> [LauncherMachine.Action] {
        state.withLock { state in
            var left: [LauncherMachine.Action] = []
            for action in state.machine.handle(event, at: MonotonicClock.now) {
                switch action {
                case .startWorker(let seat, let delay): state.hands.crew?.fill(seat, after: delay)
                case .killWorker(let incarnation): state.hands.crew?.kill(incarnation: incarnation)
                case .tell(let order): state.hands.coordinator?.tell(order)
                case .say(let sentence): state.hands.coordinator?.say(sentence)
                case .warn(let sentence): StandardStream.error.say("warning: \(sentence)\n")
                case .killCoordinator, .startCoordinator, .end: left.append(action)
                }
            }
            return left
        }
    }
}
