// How the process begins, and what signals do to it.
#define _GNU_SOURCE
#include "CSystem.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

// MARK: The command line

static int argument_count;
static char **arguments;

// glibc hands the command line to constructors; the words live as long as the process.
__attribute__((constructor)) static void keep_command_line(int count, char **words) {
    argument_count = count;
    arguments = words;
}

int system_argument_count(void) { return argument_count; }

const char *system_argument(int index) {
    return index >= 0 && index < argument_count ? arguments[index] : NULL;
}

// MARK: Known states

static const size_t thread_stack = 8 << 20;

static bool is_ignored(int number) {
    struct sigaction action;
    return sigaction(number, NULL, &action) == 0 && !(action.sa_flags & SA_SIGINFO) && action.sa_handler == SIG_IGN;
}

static void set_action(int number, void (*handler)(int)) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(number, &action, NULL);
}

void system_set_known_states(void) {
    // A file that is opened next would take the number of a closed standard stream, and the text meant for that stream.
    // Opened the wrong way round, so that whoever uses it is told, as with a closed one.
    for (int descriptor = 0; descriptor <= 2; descriptor++) {
        if (fcntl(descriptor, F_GETFD) >= 0 || errno != EBADF) continue;
        if (open("/dev/null", descriptor == 0 ? O_WRONLY : O_RDONLY) < 0) open("/", O_RDONLY | O_DIRECTORY);
    }
    // What the starting process had blocked would never arrive.
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    // With SIGCHLD ignored nobody learns how a child ended; requests to end must reach their watch. SIGHUP, SIGINT,
    // SIGQUIT and the terminal's stop stay ignored where whoever started the program wants that, as `nohup` does.
    static const int defaults[] = {SIGCHLD, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM, SIGCONT, SIGXCPU};
    for (size_t index = 0; index < sizeof defaults / sizeof *defaults; index++) {
        if (is_ignored(defaults[index])) set_action(defaults[index], SIG_DFL);
    }
    // The handler of Swift's runtime has another process read this one's memory. That waits for threads which block signals, as
    // libzmq's do, sometimes for ever, holds this process's connections open meanwhile, and so hides a crash from those who
    // would go on without it. Who wants a backtrace says so by the runtime's own variable.
    static const int crashes[] = {SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV};
    if (getenv("SWIFT_BACKTRACE") == NULL) {
        for (size_t index = 0; index < sizeof crashes / sizeof *crashes; index++) {
            if (!is_ignored(crashes[index])) set_action(crashes[index], SIG_DFL);
        }
    }
    // A reader that ends early, a limit on the size of files, and a terminal that lets only its foreground write: each
    // is an error of the call and no end of the program, or nothing at all.
    static const int ignored[] = {SIGPIPE, SIGXFSZ, SIGTTOU};
    for (size_t index = 0; index < sizeof ignored / sizeof *ignored; index++) set_action(ignored[index], SIG_IGN);
    // Threads of libraries get the stack that the shell's limit names, which may be far too small, or wastefully large.
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) == 0) {
        if (pthread_attr_setstacksize(&attributes, thread_stack) == 0) pthread_setattr_default_np(&attributes);
        pthread_attr_destroy(&attributes);
    }
}

int system_own_program(void) {
    // Never one of the standard streams: children get those replaced.
    int descriptor = open("/proc/self/exe", O_PATH | O_CLOEXEC);
    return descriptor;
}

// MARK: Threads and processors

int system_start_thread(pthread_t *thread, void *(*body)(void *), void *argument) {
    pthread_attr_t attributes;
    int status = pthread_attr_init(&attributes);
    if (status != 0) return status;
    status = pthread_attr_setstacksize(&attributes, thread_stack);
    if (status == 0) status = pthread_create(thread, &attributes, body, argument);
    pthread_attr_destroy(&attributes);
    return status;
}

int system_affinity_count(void) {
    for (int processors = 1024; processors <= 1 << 17; processors *= 2) {
        cpu_set_t *set = CPU_ALLOC(processors);
        if (!set) return 0;
        size_t size = CPU_ALLOC_SIZE(processors);
        CPU_ZERO_S(size, set);
        int count = sched_getaffinity(0, size, set) == 0 ? CPU_COUNT_S(size, set) : errno == EINVAL ? -1 : 0;
        CPU_FREE(set);
        if (count >= 0) return count;
    }
    return 0;
}

// MARK: Signals

static int signal_ends[2] = {-1, -1};

int system_signal_descriptor(void) {
    if (signal_ends[0] < 0 && pipe2(signal_ends, O_CLOEXEC) == 0) {
        // The handler must never wait: of more than fill a pipe nobody needs to hear.
        fcntl(signal_ends[1], F_SETFL, fcntl(signal_ends[1], F_GETFL) | O_NONBLOCK);
    }
    return signal_ends[0];
}

static void note_signal(int number) {
    int saved = errno;
    unsigned char byte = (unsigned char)number;
    ssize_t ignored = write(signal_ends[1], &byte, 1);
    (void)ignored;
    errno = saved;
}

int system_catch_signal(int number) {
    struct sigaction action = {.sa_handler = note_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    return sigaction(number, &action, NULL);
}

void system_default_signal(int number) { set_action(number, SIG_DFL); }

bool system_is_signal_ignored(int number) { return is_ignored(number); }

// MARK: Crashes

static const uint32_t *unwritten;
static struct sigaction former[65];

static void wait_and_die(int number, siginfo_t *info, void *context) {
    (void)context;
    struct timespec moment = {0, 5000000};
    for (int round = 0; round < 60 && __atomic_load_n(unwritten, __ATOMIC_ACQUIRE) != 0; round++) {
        nanosleep(&moment, NULL);
    }
    sigaction(number, &former[number], NULL);
    // A fault happens again when this returns, and then does what it would have done; what was sent is sent again.
    if (info->si_code <= 0) raise(number);
}

void system_wait_before_crash(const uint32_t *word) {
    unwritten = word;
    static const int crashes[] = {SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV};
    for (size_t index = 0; index < sizeof crashes / sizeof *crashes; index++) {
        struct sigaction action = {.sa_sigaction = wait_and_die, .sa_flags = SA_SIGINFO | SA_ONSTACK};
        sigemptyset(&action.sa_mask);
        sigaction(crashes[index], &action, &former[crashes[index]]);
    }
}
