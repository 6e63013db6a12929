import Foundation
import Testing

/// A place in which a user may start a run: limits, masks, streams, languages, file systems, namespaces.
struct EnvironmentCase: CustomTestStringConvertible, Sendable {
    enum Expectation: Sendable {
        /// The run completes with the bits of an undisturbed one; its words hold all of these.
        case sameBits(saying: [String] = [])
        /// The run completes so, or ends with this status and these words: the system decides which.
        case sameBitsOr(Int32, [String])
        /// The run does not begin: the status, and words that its message holds.
        case refused(Int32, [String])
    }

    var name: String
    /// A line of bash in which `"$@"` is the program with its arguments; `$W` is a folder of the case's own.
    var shell: String
    var environment: [String: String] = [:]
    /// More arguments of `launch`.
    var arguments: [String] = []
    var expectation: Expectation = .sameBits()
    /// Words that must not be in what the run says.
    var silence: [String] = []
    /// Namespaces and mounts are made by root only.
    var needsRoot = false

    var testDescription: String { name }

    init(
        _ name: String,
        _ shell: String = #"exec "$@""#,
        environment: [String: String] = [:],
        arguments: [String] = [],
        _ expectation: Expectation = .sameBits(),
        silence: [String] = [],
        needsRoot: Bool = false
    ) {
        self.name = name
        self.shell = shell
        self.environment = environment
        self.arguments = arguments
        self.expectation = expectation
        self.silence = silence
        self.needsRoot = needsRoot
    }

    static let all: [EnvironmentCase] = limits + signals + streams + terminals + words + files + namespaces

    // MARK: What a shell or a service manager limits

    private static let limits: [EnvironmentCase] = [
        .init("64 descriptors", #"ulimit -n 64; exec "$@""#),
        .init("16 descriptors", #"ulimit -n 16; exec "$@""#, .refused(75, ["open files", "ulimit -n"])),
        .init("a stack of 512 KiB", #"ulimit -s 512; exec "$@""#),
        .init("a stack without a limit", #"ulimit -s unlimited; exec "$@""#),
        .init("an address space of 250 MB", #"ulimit -v 250000; exec "$@""#, .refused(75, ["ulimit -v"])),
        .init("no locked memory", #"ulimit -l 0; exec "$@""#),
        .init("no core files", #"ulimit -c 0; exec "$@""#),
        .init("the lowest priority", #"exec nice -n 19 "$@""#),
        .init("one processor", #"exec taskset -c 0 "$@""#, .sameBits(saying: ["this process may use 1"])),
        .init("a umask that leaves others nothing", #"umask 077; exec "$@""#),
        .init("a umask that leaves all everything", #"umask 000; exec "$@""#),
        .init("fixed addresses", #"exec setarch -R "$@""#),
    ]

    // MARK: What a parent leaves behind

    private static let signals: [EnvironmentCase] = [
        .init("ended children are nobody's business", #"exec env --ignore-signal=CHLD "$@""#),
        .init("all signals are blocked", #"exec env --block-signal "$@""#),
        .init("a broken pipe kills", #"exec env --default-signal=PIPE "$@""#),
        .init("hang-ups are ignored", #"exec nohup "$@""#),
        .init("user signals are ignored", #"exec env --ignore-signal=USR1 --ignore-signal=USR2 "$@""#),
        .init("a session of its own", #"exec setsid --wait "$@""#),
        .init("under a time limit", #"exec timeout 60 "$@""#),
    ]

    // MARK: Standard streams

    private static let streams: [EnvironmentCase] = [
        .init("no standard input", #"exec "$@" <&-"#),
        .init("no standard output", #"exec "$@" >&-"#),
        .init("no standard error", #"exec "$@" 2>&-"#),
        .init("no standard streams", #"exec "$@" <&- >&- 2>&-"#),
        .init("streams that cannot be written", #"exec "$@" >/dev/null 2</dev/null"#),
        .init("a full disk behind the log", #"exec "$@" >/dev/full 2>&1"#),
        .init("a reader that leaves", #""$@" 2>&1 | head -n 1 >&2; exit "${PIPESTATUS[0]}""#),
        .init(
            "a pipe that nobody reads",
            // The pipe holds 64 KiB at most, and is full before the run begins.
            #"""
            mkfifo "$W/pipe"; exec 3<>"$W/pipe"
            python3 -c 'import os; os.set_blocking(3, False)
            while True:
                try: os.write(3, b"x" * 4096)
                except BlockingIOError: break
            os.set_blocking(3, True)'
            exec "$@" --verbose 2>&3 3>&-
            """#
        ),
    ]

    // MARK: Terminals

    private static let terminals: [EnvironmentCase] = [
        .init(
            "a terminal of no size",
            #"exec script -qec "stty cols 0 rows 0; $(printf '%q ' "$@")" "$W/typed" >/dev/null"#
        ),
        .init(
            "a terminal of one column",
            #"exec script -qec "stty cols 1 rows 1; $(printf '%q ' "$@")" "$W/typed" >/dev/null"#
        ),
        .init(
            "a terminal that knows no control codes",
            #"script -qec "$(printf '%q ' "$@")" "$W/typed" >/dev/null; s=$?; cat "$W/typed" >&2; exit $s"#,
            environment: ["TERM": "dumb"],
            .sameBits(saying: ["The run is complete"]),
            silence: ["\u{1B}[", "━"]
        ),
        .init(
            "a terminal of an unknown kind",
            #"unset TERM; script -qec "$(printf '%q ' "$@")" "$W/typed" >/dev/null; s=$?; cat "$W/typed" >&2; exit $s"#,
            .sameBits(saying: ["The run is complete"]),
            silence: ["\u{1B}[", "━"]
        ),
        .init(
            "a terminal of another character set",
            #"script -qec "$(printf '%q ' "$@")" "$W/typed" >/dev/null; s=$?; cat "$W/typed" >&2; exit $s"#,
            environment: ["TERM": "xterm", "LC_ALL": "C"],
            .sameBits(saying: ["The run is complete"]),
            silence: ["━"]
        ),
    ]

    // MARK: Variables

    private static let words: [EnvironmentCase] = [
        .init("no variables", #"exec env -i "$@""#),
        .init("no home", #"unset HOME; exec "$@""#),
        .init("a home that is not there", environment: ["HOME": "/nonexistent/home"]),
        .init("no folder for temporary files", environment: ["TMPDIR": "/nonexistent/tmp"]),
        .init(
            "a long folder for temporary files",
            environment: ["TMPDIR": "/tmp/" + String(repeating: "t", count: 200)]
        ),
        .init("Turkish", environment: ["LANG": "tr_TR.UTF-8", "LC_ALL": "tr_TR.UTF-8"]),
        .init("decimal commas", environment: ["LC_ALL": "de_DE.UTF-8", "LC_NUMERIC": "de_DE.UTF-8"]),
        .init("POSIX", environment: ["LC_ALL": "POSIX"]),
        .init("a strange time zone", environment: ["TZ": "Nowhere/Never+25"]),
        .init(
            "variables of an earlier job",
            environment: [
                "SLURM_JOB_ID": "77", "SLURM_PROCID": "3", "SLURM_NTASKS": "8", "RANK": "5", "WORLD_SIZE": "9",
            ]
        ),
        .init(
            "variables of other tools",
            environment: ["OMP_NUM_THREADS": "64", "MALLOC_ARENA_MAX": "1", "LD_BIND_NOW": "1"]
        ),
        .init("HDF5 without locks", environment: ["HDF5_USE_FILE_LOCKING": "FALSE"]),
        .init(
            "keys that are not there",
            environment: ["PLEURA_KEYS": "/nonexistent/keys"],
            .refused(66, ["/nonexistent/keys"])
        ),
    ]

    // MARK: Files and folders

    private static let files: [EnvironmentCase] = [
        .init("a working folder that is gone", #"mkdir "$W/here"; cd "$W/here"; rmdir "$W/here"; exec "$@""#),
        .init("the program by a link", #"ln -s "$1" "$W/link"; shift; exec "$W/link" "$@""#),
        .init("a program without a name", #"exec -a "" "$@""#),
        .init(
            "a program that is replaced while it runs",
            #"cp "$1" "$W/program"; shift; "$W/program" "$@" & sleep 0.1; rm "$W/program"; wait $!"#
        ),
    ]

    // MARK: Containers

    /// Becomes the program with a filter that answers the system call of that number (x86-64) as one that is not there.
    private static func without(call number: Int) -> String {
        #"""
        exec python3 -c '
        import ctypes, os, struct, sys
        steps = [(0x20, 0, 0, 0), (0x15, 0, 1, \#(number)), (0x06, 0, 0, 0x50026), (0x06, 0, 0, 0x7FFF0000)]
        code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
        program = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(steps), ctypes.addressof(code)))
        libc = ctypes.CDLL(None)
        assert libc.prctl(38, 1, 0, 0, 0) == 0
        assert libc.prctl(22, 2, ctypes.c_void_p(ctypes.addressof(program)), 0, 0) == 0
        os.execv(sys.argv[1], sys.argv[1:])' "$@"
        """#
    }

    private static let namespaces: [EnvironmentCase] = [
        .init("a filter that refuses madvise", without(call: 28)),
        .init("a filter that refuses memfd_create", without(call: 319)),
        .init("a filter that refuses flock", without(call: 73)),
        .init(
            "no /proc",
            #"exec unshare -m bash -c 'mount -t tmpfs none /proc; exec "$@"' bash "$@""#,
            needsRoot: true
        ),
        .init(
            "a full /dev/shm",
            #"exec unshare -m bash -c 'mount -t tmpfs -o size=4k none /dev/shm; exec "$@"' bash "$@""#,
            needsRoot: true
        ),
        .init(
            "a /dev/shm to read only",
            #"exec unshare -m bash -c 'mount -t tmpfs -o ro none /dev/shm; exec "$@"' bash "$@""#,
            needsRoot: true
        ),
        .init("loopback is down", #"exec unshare -n "$@""#, .refused(75, ["loopback"]), needsRoot: true),
        .init("the first process of a container", #"exec unshare -p -f --mount-proc "$@""#, needsRoot: true),
        .init(
            "a host name of its own",
            #"exec unshare -u bash -c 'hostname nowhere.invalid; exec "$@"' bash "$@""#,
            needsRoot: true
        ),
        .init(
            "another user",
            #"chmod 755 "$W/.." ; chmod 777 "$W"; exec setpriv --reuid 65534 --regid 65534 --clear-groups "$@""#,
            needsRoot: true
        ),
        .init(
            "no privileges",
            #"exec setpriv --bounding-set=-all --inh-caps=-all --no-new-privs "$@""#,
            needsRoot: true
        ),
    ]
}
