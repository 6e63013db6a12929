import Diagnostics
import Glibc
import Platform
import Testing

@Suite(.timeLimit(.minutes(15))) struct ChildProcessTests {
    @Test func endsAreToldApart() throws {
        let exited = try ChildProcess.spawn(.file("/bin/sh"), ["-c", "exit 7"]) { _ in }
        #expect(ChildProcess.wait(for: exited) == .exited(7))
        let killed = try ChildProcess.spawn(.file("/bin/sh"), ["-c", "kill -9 $$"]) { _ in }
        #expect(ChildProcess.wait(for: killed) == .signal(SIGKILL))
        // Nobody's child: never a good end.
        #expect(ChildProcess.wait(for: killed) == .unknown)
    }

    @Test func aProgramThatIsNotThereIsNamed() throws {
        #expect {
            _ = try ChildProcess.spawn(.file("/nonexistent/program"), []) { _ in }
        } throws: {
            "\($0)" == "/nonexistent/program could not be started: No such file or directory."
        }
    }

    @Test func ownProgramRunsFromItsDescriptorUnderItsName() throws {
        let path = try #require(OwnProgram.shared.path)
        #expect(path.hasPrefix("/proc/self/fd/"))
        #expect(OwnProgram.shared.name.hasPrefix("/") && !OwnProgram.shared.name.hasSuffix("(deleted)"))
    }

    @Test func aProgramIsFoundAsAShellFindsIt() throws {
        #expect(OwnProgram.find("sh", in: "/nonexistent:/bin")?.hasPrefix("/") == true)
        #expect(OwnProgram.find("/bin/sh", in: "")?.hasPrefix("/") == true)
        #expect(OwnProgram.find("no-such-program", in: "/bin") == nil)
        #expect(OwnProgram.find("", in: "/bin") == nil)
    }

    @Test func aThreadThatIsRefusedIsNoUsageError() {
        let error = SystemError.thread(code: EAGAIN)
        #expect(error.exitStatus == .temporary)
        #expect(error.description.contains("limit"))
    }
}
