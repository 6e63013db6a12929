package import Diagnostics
internal import Glibc

/// Something that the operating system refuses to this process.
package enum SystemError: ReportableError, Hashable {
    /// A thread.
    case thread(code: Int32)
    /// A program as a child process.
    case spawn(program: String, reason: String)
    /// So many open files more.
    case descriptors(needed: Int, left: Int, purpose: String)
    /// Memory of whole pages.
    case memory(bytes: Int, code: Int32)
    /// A descriptor by which threads wake each other.
    case wakeUp(code: Int32)
    /// That this process ends with the one that started it.
    case deathWithParent(code: Int32)
    /// Anything else: what was asked for, as "a pipe for signals".
    case call(String, code: Int32)

    package var description: String {
        switch self {
        case .thread(let code): Self.threadSentence(code)
        case .spawn(let program, let reason): "\(program) could not be started: \(reason)."
        case .descriptors(let needed, let left, let purpose):
            "\(purpose) needs \(needed) open files more, and this process may have \(left). Raise the limit on open files "
                + "(ulimit -n), to 256 for a start."
        case .memory(let bytes, let code):
            "\(bytes) bytes of memory were asked for and refused (\(String(cString: strerror(code)))): lower "
                + "training.microbatch_size or workers.threads."
        case .wakeUp(let code):
            code == EMFILE
                ? "a wake-up descriptor cannot be opened: \(String(cString: strerror(code))) in this process. Raise the limit on "
                    + "open files (ulimit -n)."
                : "eventfd failed for a wake-up descriptor: \(String(cString: strerror(code)))."
        case .deathWithParent(let code):
            "The kernel refuses prctl(PR_SET_PDEATHSIG): \(String(cString: strerror(code))). A run's processes end with their "
                + "launcher by this call: allow it in this container or job."
        case .call(let what, let code): "Cannot get \(what): \(String(cString: strerror(code)))."
        }
    }

    package var exitStatus: ExitStatus { .temporary }

    /// Why a thread could not be started, with the limits that may be the cause.
    private static func threadSentence(_ code: Int32) -> String {
        var limits: [String] = []
        if let most = limit(__rlimit_resource_t(__RLIMIT_NPROC.rawValue)) {
            limits.append("\(most) processes and threads of this user (ulimit -u)")
        }
        if let most = limit(__rlimit_resource_t(RLIMIT_AS.rawValue)) {
            limits.append("\(most >> 20) MiB of addresses for a process (ulimit -v)")
        }
        let group = ControlGroups.current.least("pids.max", of: "pids")
        if let group { limits.append("\(group) processes and threads of the control group (pids.max)") }
        let list =
            limits.isEmpty
            ? "there is no limit of this user or of a control group: the machine's own is reached"
            : "the limits here are \(limits.joined(separator: ", "))"
        return
            "A thread could not be started: \(String(cString: strerror(code))); \(list). Raise what is too low, or use "
            + "fewer workers and threads."
    }

    private static func limit(_ resource: __rlimit_resource_t) -> UInt64? {
        var limits = rlimit()
        guard getrlimit(resource, &limits) == 0, limits.rlim_cur != rlim_t.max else { return nil }
        return UInt64(limits.rlim_cur)
    }
}
