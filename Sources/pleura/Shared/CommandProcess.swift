import ArgumentParser
import CSystem
import Diagnostics
import Foundation
import Glibc
import Platform

/// Has the kernel end this process with the one that started it; ends the command where that has ended already.
func endWithParent(_ parent: Int32) throws {
    switch system_die_with_parent(SIGKILL, parent) {
    case 0: return
    case ESRCH: throw ExitCode(ExitStatus.temporary.rawValue)
    case let code: throw SystemError.deathWithParent(code: code)
    }
}

/// This program's file, for Foundation's processes: they close all descriptors before they become the program, so it is
/// reached through this process's.
func ownExecutable() throws -> URL {
    guard let path = OwnProgram.shared.path else {
        throw SystemError.spawn(program: OwnProgram.shared.name, reason: "its file is not found")
    }
    let own = "/proc/self/"
    return URL(fileURLWithPath: path.hasPrefix(own) ? "/proc/\(getpid())/\(path.dropFirst(own.count))" : path)
}
