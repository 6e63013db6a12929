#define _GNU_SOURCE
#include "CSystem.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <malloc.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

// MARK: Futex

int system_futex_wait(const uint32_t *word, uint32_t expected, int64_t nanoseconds, bool shared) {
    struct timespec timeout = {nanoseconds / 1000000000, nanoseconds % 1000000000};
    int operation = FUTEX_WAIT | (shared ? 0 : FUTEX_PRIVATE_FLAG);
    return (int)syscall(SYS_futex, word, operation, expected, &timeout, NULL, 0);
}

int system_futex_wake(const uint32_t *word, bool shared) {
    int operation = FUTEX_WAKE | (shared ? 0 : FUTEX_PRIVATE_FLAG);
    return (int)syscall(SYS_futex, word, operation, INT32_MAX, NULL, NULL, 0);
}

// MARK: Shared memory

int system_memory_file(const char *name) { return memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING); }

static const int single_writer = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;

int system_seal_single_writer(int descriptor) { return fcntl(descriptor, F_ADD_SEALS, single_writer); }

bool system_is_sealed_single_writer(int descriptor) {
    int seals = fcntl(descriptor, F_GET_SEALS);
    return seals >= 0 && (seals & single_writer) == single_writer;
}

bool system_advise_huge(void *address, size_t length) { return madvise(address, length, MADV_HUGEPAGE) == 0; }

int system_populate(void *address, size_t length, bool for_writing) {
    int result;
    do {
        result = madvise(address, length, for_writing ? MADV_POPULATE_WRITE : MADV_POPULATE_READ);
    } while (result != 0 && (errno == EINTR || errno == EAGAIN));
    return result;
}

int system_pipe(int ends[2], bool blocking) { return pipe2(ends, O_CLOEXEC | (blocking ? 0 : O_NONBLOCK)); }

void system_keep_freed_memory(int bytes) {
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
    mallopt(M_TRIM_THRESHOLD, bytes);
}

void system_return_freed_memory(void) { malloc_trim(0); }

// MARK: Processes

int system_process_descriptor(pid_t process) { return (int)syscall(SYS_pidfd_open, process, 0); }

int system_die_with_parent(int signal, pid_t expected_parent) {
    if (prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0) != 0) return errno;
    return getppid() == expected_parent ? 0 : ESRCH;
}

void system_name_thread(const char *name) {
    char bounded[16] = {0};
    strncpy(bounded, name, sizeof bounded - 1);
    prctl(PR_SET_NAME, bounded, 0, 0, 0);
}

int system_wake_up_descriptor(void) { return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); }

// MARK: Processor

#if defined(__x86_64__)
#include <cpuid.h>

static bool bits(unsigned value, unsigned mask) { return (value & mask) == mask; }

// The state components that the operating system saves; 0 where it saves none.
static unsigned saved_state(void) {
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !bits(c, bit_OSXSAVE)) return 0;
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

bool system_has_x86_64_v3(void) {
    unsigned a, b, c, d;
    if (!bits(saved_state(), 0x6) || !__get_cpuid(1, &a, &b, &c, &d)) return false;
    if (!bits(c, bit_AVX | bit_FMA | bit_F16C | bit_MOVBE)) return false;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !bits(b, bit_AVX2 | bit_BMI | bit_BMI2)) return false;
    return __get_cpuid(0x80000001, &a, &b, &c, &d) && bits(c, 1u << 5 /* LZCNT */);
}

bool system_has_x86_64_v4(void) {
    unsigned a, b, c, d;
    if (!system_has_x86_64_v3() || !bits(saved_state(), 0xe6)) return false;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
    return bits(b, bit_AVX512F | bit_AVX512BW | bit_AVX512CD | bit_AVX512DQ | bit_AVX512VL);
}

bool system_has_avx512_bf16(void) {
    unsigned a, b, c, d;
    return system_has_x86_64_v4() && __get_cpuid_count(7, 1, &a, &b, &c, &d) && bits(a, 1u << 5);
}

void system_processor_name(char name[49]) {
    memset(name, 0, 49);
    unsigned words[12];
    for (unsigned leaf = 0; leaf < 3; leaf++) {
        unsigned *part = words + 4 * leaf;
        if (!__get_cpuid(0x80000002 + leaf, part, part + 1, part + 2, part + 3)) return;
    }
    memcpy(name, words, sizeof words);
}
#else
bool system_has_x86_64_v3(void) { return false; }
bool system_has_x86_64_v4(void) { return false; }
bool system_has_avx512_bf16(void) { return false; }
void system_processor_name(char name[49]) { memset(name, 0, 49); }
#endif

// MARK: Sockets

int system_drop_newcomers(int listening, bool drops) {
    if (!drops) {
        int unused = 0;
        return setsockopt(listening, SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof unused);
    }
    struct sock_filter nothing = {BPF_RET | BPF_K, 0, 0, 0};
    struct sock_fprog program = {1, &nothing};
    return setsockopt(listening, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}

int64_t system_bytes_taken(int descriptor) {
    struct tcp_info info;
    socklen_t length = sizeof info;
    memset(&info, 0, sizeof info);
    if (getsockopt(descriptor, IPPROTO_TCP, TCP_INFO, &info, &length) != 0) return -1;
    if (length < offsetof(struct tcp_info, tcpi_bytes_received) + sizeof info.tcpi_bytes_received) return -1;
    // What waits in the kernel was received and not taken. Asked second, so that what comes between the two counts as taken
    // too late and never too early.
    int waiting = 0;
    if (ioctl(descriptor, SIOCINQ, &waiting) != 0) return -1;
    return (int64_t)info.tcpi_bytes_received - waiting;
}

// MARK: Arithmetic

uint32_t system_arithmetic(void) { return __builtin_ia32_stmxcsr(); }

// MARK: Faults of tests

void system_reset_connections(uint16_t port) {
    enum { most_descriptors = 1 << 16 };
    for (int descriptor = 0; descriptor < most_descriptors; descriptor++) {
        struct sockaddr_in6 peer;
        socklen_t length = sizeof peer;
        if (getpeername(descriptor, (struct sockaddr *)&peer, &length) != 0) continue;
        // The port stands at the same place in an address of either family.
        if (peer.sin6_family != AF_INET && peer.sin6_family != AF_INET6) continue;
        if (ntohs(peer.sin6_port) != port) continue;
        // To connect a socket with nothing ends its connection with a reset.
        struct sockaddr nothing = {.sa_family = AF_UNSPEC};
        (void)connect(descriptor, &nothing, sizeof nothing);
    }
}
