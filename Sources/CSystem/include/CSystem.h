#pragma once
// Linux calls that Swift cannot import, each with its reason. Functions return what the call returns: -1 and errno.

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

// MARK: Atomics. The standard library's `Atomic` owns its word; these work on words in memory shared between processes.

static inline uint64_t system_load_acquire(const uint64_t *word) { return __atomic_load_n(word, __ATOMIC_ACQUIRE); }

static inline void system_store_release(uint64_t *word, uint64_t value) {
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
}

static inline uint32_t system_load_acquire_32(const uint32_t *word) { return __atomic_load_n(word, __ATOMIC_ACQUIRE); }

static inline uint32_t system_add_32(uint32_t *word, uint32_t value) {
    return __atomic_add_fetch(word, value, __ATOMIC_ACQ_REL);
}

// MARK: Futex. A variadic system call.

// Sleeps while `*word` is `expected`, for `nanoseconds` at most. Returns 0 when woken, -1 with errno EAGAIN (the word
// had changed), ETIMEDOUT or EINTR. `shared`: whether wakers live in other processes.
int system_futex_wait(const uint32_t *word, uint32_t expected, int64_t nanoseconds, bool shared);

// Wakes every thread that sleeps on `word`; returns their number.
int system_futex_wake(const uint32_t *word, bool shared);

// MARK: Shared memory without a name. memfd_create stands behind _GNU_SOURCE, fcntl is variadic.

// An empty file in memory that can be sealed; close-on-exec.
int system_memory_file(const char *name);

// Forbids for ever: changing the size of `descriptor`, writing to it except through mappings that exist by now, and
// changing this.
int system_seal_single_writer(int descriptor);

// Whether `descriptor` is sealed as above.
bool system_is_sealed_single_writer(int descriptor);

// Asks for huge pages for a mapping; false where the kernel has none.
bool system_advise_huge(void *address, size_t length);

// Faults the pages of a mapping in, for writing or reading: 0, or -1 with ENOMEM, EFAULT (no memory left: touching the
// pages would have been a SIGBUS) or EINVAL (kernel before 5.14).
int system_populate(void *address, size_t length, bool for_writing);

// A pipe, close-on-exec: ends[0] is read, ends[1] written. Swift's Glibc lacks pipe2, and Foundation's `Pipe` leaks its
// ends to every process that another thread happens to start, which then hold it open.
int system_pipe(int ends[2], bool blocking);

// Lets the allocator keep up to `bytes` of freed memory in each of its arenas, large blocks too, in place of returning
// them to the kernel at once and faulting them in again at the next allocation.
void system_keep_freed_memory(int bytes);

// Returns the allocator's free memory to the kernel.
void system_return_freed_memory(void);

// MARK: Processes

// A descriptor that becomes readable when the process ends. glibc before 2.36 lacks the wrapper.
int system_process_descriptor(pid_t process);

// Asks the kernel to send `signal` to this process when the THREAD that started it ends (prctl is variadic). Returns
// 0, or the reason: ESRCH where that thread had already ended (the parent is not `expected_parent` any more), else why the
// kernel refuses.
int system_die_with_parent(int signal, pid_t expected_parent);

// Whether the kernel drops, without an answer, what reaches a listening socket: no connection is made any more, those
// that exist are not touched, and who tries goes on trying. Structures of linux/filter.h.
int system_drop_newcomers(int listening, bool drops);

// The bytes that this process has read from a TCP connection since it was made, as the kernel counts them, or -1 where it
// does not say (no TCP connection; Linux before 4.1). Structures of linux/tcp.h.
int64_t system_bytes_taken(int descriptor);

// An eventfd, close-on-exec and non-blocking: Swift's Glibc lacks its header.
int system_wake_up_descriptor(void);

// Names the calling thread, 15 bytes at most, for debuggers and `top -H`; the first thread's name is the process's.
void system_name_thread(const char *name);

// Starts a thread with a stack of 8 MiB, whatever the shell's limit on stacks is: pthread_attr_t's size differs between
// the platforms' imports. Returns 0 or an error number.
int system_start_thread(pthread_t *thread, void *(*body)(void *), void *argument);

// The number of processors on which this process may run (sched_setaffinity, taskset, cpusets): cpu_set_t has 1,024 of
// them, and a kernel may have more. 0 where that cannot be told.
int system_affinity_count(void);

// MARK: The process's start

// The command line as the kernel gave it to the program, of `system_argument_count` words. Swift reads it from
// /proc/self/cmdline, which is not there in a bare chroot, and then finds no words at all.
int system_argument_count(void);
const char *system_argument(int index);

// Gives the process states that do not depend on who started it; see process.c. Call before any other thread exists.
void system_set_known_states(void);

// A descriptor of this program's own file, close-on-exec: what it names stays the same where the file is replaced or
// deleted. -1 where /proc is absent. O_PATH stands behind _GNU_SOURCE.
int system_own_program(void);

// MARK: Signals

// Where signals that are caught can be read, a byte for each; made once, -1 with errno where it cannot be.
int system_signal_descriptor(void);

// Catches a signal: it becomes a byte at the descriptor above, which must be there. 0, or -1 with errno.
int system_catch_signal(int number);

// Gives a signal its default action.
void system_default_signal(int number);

// Whether a signal is ignored.
bool system_is_signal_ignored(int number);

// Lets a process that is about to die by a fault of its own wait a moment, 0.3 s at most, until `*word` is 0: until
// what was said last is written.
void system_wait_before_crash(const uint32_t *word);

// MARK: Processor. CPUID and XGETBV are instructions; each answer includes that the operating system saves the
// registers.

// x86-64-v3: AVX2, FMA, BMI1, BMI2, F16C, LZCNT, MOVBE.
bool system_has_x86_64_v3(void);
// x86-64-v4: v3 and AVX-512 F, BW, CD, DQ, VL.
bool system_has_x86_64_v4(void);
// AVX-512 BF16: VDPBF16PS.
bool system_has_avx512_bf16(void);
// The processor's name as it gives it, at most 48 bytes and a zero; empty where it gives none.
void system_processor_name(char name[49]);

// MARK: Arithmetic. Swift has no names for the processor's floating-point control register.

// The calling thread's MXCSR, which says how it rounds and what it does with denormal numbers.
uint32_t system_arithmetic(void);
// Whether that is not the standard's arithmetic, whatever its flags say has happened: to nearest, denormal numbers kept, no
// traps. Sets it to that.
static inline bool system_restore_arithmetic(void) {
    enum { flags = 0x3F, standard = 0x1F80 };
    if ((__builtin_ia32_stmxcsr() & ~(uint32_t)flags & 0xFFFF) == standard) return false;
    __builtin_ia32_ldmxcsr(standard);
    return true;
}

// MARK: Faults of tests

// Breaks all of this process's TCP connections to `port`, wherever they lead, as a reset from the network does.
void system_reset_connections(uint16_t port);

// MARK: Disk

// Takes disk space for the first `bytes` bytes of a file without changing its size. Returns 0, or -1 with errno.
int system_reserve(int descriptor, long long bytes);

#ifdef __cplusplus
}
#endif
