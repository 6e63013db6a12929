import Coordination
import Diagnostics
import Foundation
import Glibc
import Messaging
import Platform
import RunFolder
import Storage
import TestSupport
import Testing

/// What belongs to a run, and what belongs to another.
@Suite struct RunIdentityTests {
    let folder: TemporaryFolder
    var run: RunDirectory { RunDirectory(folder.file("run")) }

    init() throws {
        folder = try TemporaryFolder()
        try FileSystem.createDirectory(folder.file("run"))
    }

    // MARK: Requests

    @Test func aRequestOfAnEarlierSessionIsRemovedAndToldOf() throws {
        try RunRequest(drain: [], by: "anna", run: "r", session: "before").send(to: run)
        try RunRequest(drain: [1], by: "anna", run: "r", session: "now").send(to: run)
        try RunRequest(drain: [2], by: "anna", run: "other", session: "now").send(to: run)
        let inbox = RunRequestInbox(run)
        let (requests, defects) = inbox.take(run: "r", session: "now")
        #expect(requests.map(\.drain) == [[1]])
        #expect(defects.count == 2 && defects.allSatisfy { $0.contains("is removed") }, "\(defects)")
        #expect(folder.names(in: "run/requests").isEmpty)
    }

    @Test func aStartRemovesWhatWasAskedBefore() throws {
        try RunRequest(drain: [], by: "anna").send(to: run)
        try folder.write("no JSON", to: "run/requests/a.request")
        let sentences = RunRequest.removeStale(from: run)
        #expect(
            sentences.count == 2 && sentences.contains { $0.contains("the whole run was made before") },
            "\(sentences)"
        )
        #expect(folder.names(in: "run/requests").isEmpty)
        #expect(RunRequest.removeStale(from: run).isEmpty)
    }

    @Test func onlyRegularFilesAreRequests() throws {
        try folder.write("{}", to: "elsewhere")
        try FileSystem.createDirectory(folder.file("run/requests/folder.request"))
        #expect(mkfifo(folder.file("run/requests/pipe.request"), 0o600) == 0)
        #expect(symlink(folder.file("elsewhere"), folder.file("run/requests/link.request")) == 0)
        let inbox = RunRequestInbox(run)
        let first = inbox.take(run: nil, session: nil)
        #expect(first.requests.isEmpty && first.defects.count == 3, "\(first.defects)")
        // Told of once, and left alone.
        #expect(inbox.take(run: nil, session: nil).defects.isEmpty)
        #expect(folder.names(in: "run/requests").count == 3 && folder.names().contains("elsewhere"))
    }

    @Test func aRequestThatIsTooLargeIsNamedWithItsSize() throws {
        try folder.write(String(repeating: " ", count: 100_000), to: "run/requests/a.request")
        let defects = RunRequestInbox(run).take(run: nil, session: nil).defects
        #expect(defects.count == 1 && defects[0].contains("it has 100000 bytes"), "\(defects)")
        #expect(!defects[0].contains("Free some space"))
    }

    // MARK: The lock

    @Test func theLockTellsWhetherTheRunIsLed() throws {
        #expect(RunLock.state(of: run) == .free)
        var lock: RunLock? = try run.lock()
        let holder = try #require(lock?.holder)
        #expect(lock?.warning == nil)
        #expect(RunLock.state(of: run) == .held(holder))
        #expect(holder.process == getpid() && holder.isAlive == true)
        let error = #expect(throws: RunError.self) { _ = try run.lock() }
        #expect(error?.description.contains("\(getpid()) on \(holder.host)") == true)
        lock = nil
        #expect(RunLock.state(of: run) == .free)
        // Each taking is a session of its own.
        #expect(try run.lock().holder.session != holder.session)
    }

    @Test func noLockServiceIsNotInUse() {
        for code in [ENOLCK, ENOSYS, EOPNOTSUPP, 524] { #expect(RunLock.saysNoLocks(code)) }
        for code in [EWOULDBLOCK, EBADF, EINTR] { #expect(!RunLock.saysNoLocks(code)) }
    }

    @Test func withoutLocksAFileStandsForOneAndSaysSo() throws {
        let path = folder.file("run/.lock-holder")
        var lock: RunLock? = try RunLock(run.path, taking: { _ in ENOLCK })
        #expect(lock?.warning?.contains("has no locks") == true && lock?.warning?.contains("-o flock") == true)
        let error = #expect(throws: RunError.self) { _ = try RunLock(run.path, taking: { _ in EOPNOTSUPP }) }
        #expect(error?.exitStatus == .temporary && error?.description.contains(path) == true)
        // Locks of the kernel's work here, and nobody holds one: the file tells.
        #expect(RunLock.state(of: run) == .held(lock?.holder))
        lock = nil
        #expect(!FileSystem.exists(path) && RunLock.state(of: run) == .free)
        // One whose process has ended is taken over; one of another host is not.
        var holder = RunLock.Holder.current()
        holder.started += 1
        try AtomicFile.write(Array(try JSONEncoder().encode(holder)), to: path)
        _ = try RunLock(run.path, taking: { _ in ENOSYS })
        holder.host = "elsewhere"
        try AtomicFile.write(Array(try JSONEncoder().encode(holder)), to: path)
        let other = #expect(throws: RunError.self) { _ = try RunLock(run.path, taking: { _ in ENOSYS }) }
        #expect(other?.description.contains("on host elsewhere") == true)
        #expect(folder.names(in: "run").filter { $0.hasSuffix(".tmp") }.isEmpty)
    }

    @Test func aHolderThatHasEndedIsKnownByItsStart() {
        var holder = RunLock.Holder.current()
        #expect(holder.isAlive == true)
        holder.started += 1
        #expect(holder.isAlive == false)
        holder.host = "elsewhere"
        #expect(holder.isAlive == nil)
    }

    @Test func statusOfADeadRunSaysSoAtOnce() throws {
        let status = RunStatus(
            time: 0,
            coordinator: 17,
            job: "job",
            completedSteps: 3,
            totalSteps: 9,
            waitsFor: "worker 0",
            waitsSeconds: 0.3,
            workers: []
        )
        let dead = status.table(.dead, of: run)
        #expect(dead.contains("was stopped or killed") && dead.contains("pleura resume \(run.path)"))
        #expect(!dead.contains("waits for worker 0"))
        #expect(status.isOver(.dead) && !status.isOver(.running(silence: nil)))
        // The clock of whoever looks has no say.
        #expect(status.table(.running(silence: nil), of: run).contains("waits for worker 0"))
        #expect(status.table(.unknown(silence: 30), of: run).contains("cannot be told from this host"))
        #expect(RunStatus.Liveness.of(run) == .dead)
        let lock = try run.lock()
        #expect(withExtendedLifetime(lock) { RunStatus.Liveness.of(run) } == .running(silence: nil))
    }

    // MARK: Names

    @Test func theJobsNameAlwaysFits() {
        for name in ["a\tb\nc", String(repeating: "ä", count: 400), "", "../x"] {
            let job = RunIdentity.job(named: name, run: RunIdentity.fresh())
            #expect(job.utf8.count <= 81 && job.utf8.allSatisfy { $0 > 32 && $0 < 127 }, "\(job)")
        }
        #expect(RunIdentity.fresh() != RunIdentity.fresh() && RunIdentity.fresh().count == 32)
        #expect(
            HostName.plain("a\tb\u{7}") == "a_b_" && HostName.plain(String(repeating: "x", count: 300)).count == 253
        )
    }

    @Test func aPathIsOneHoweverItIsTyped() throws {
        #expect(RunDirectory(run.path + "//").path == run.path)
        #expect(symlink(run.path, folder.file("link")) == 0)
        let real = FileSystem.canonical(run.path)
        for way in ["run/", "run/.", "./run", "run/../run", "link", "absent/../run"] {
            #expect(FileSystem.canonical(folder.file(way)) == real, "\(way)")
        }
        #expect(FileSystem.canonical(folder.file("link/new/one/")) == "\(real)/new/one")
        #expect(FileSystem.canonical("/") == "/")
    }

    @Test func theRunIsKeptInACheckpointsState() throws {
        let state = try RunProgress(
            completedSteps: 2,
            transition: 0,
            validatedAt: nil,
            ranking: [],
            roundsSinceBest: 0,
            stoppedEarly: false,
            scheduleState: []
        ).encoded(isComplete: false, run: "abc")
        func trainer(_ state: String) -> TrainerState {
            TrainerState(
                network: "n",
                step: 2,
                epoch: 0,
                cursor: 0,
                configuration: "",
                numericsProfile: "fp32",
                datasetDigest: "d",
                state: state
            )
        }
        #expect(StoredProgress.run(of: trainer(state)) == "abc")
        // Earlier versions kept none.
        #expect(StoredProgress.run(of: trainer(state.replacingOccurrences(of: ",\"run\":\"abc\"", with: ""))) == nil)
    }
}

/// The digest by which coordinator and workers know that they are one program.
@Suite struct ProgramDigestTests {
    @Test func everyByteAndItsPlaceCount() throws {
        let folder = try TemporaryFolder()
        var bytes = [UInt8](repeating: 7, count: 3 << 20)
        func digest() throws -> String {
            try Data(bytes).write(to: URL(fileURLWithPath: folder.file("program")))
            return try ProgramVersion.digest(of: OpenFile(folder.file("program"), .read))
        }
        let first = try digest()
        #expect(try digest() == first && first.count == 16)
        var seen: Set = [first]
        for place in [0, 1 << 20, bytes.count - 1] {
            bytes[place] ^= 1
            #expect(try seen.insert(digest()).inserted)
            bytes[place] ^= 1
        }
        bytes.removeLast()
        #expect(try seen.insert(digest()).inserted)
    }
}
