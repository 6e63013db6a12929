#define _GNU_SOURCE
#include "CDICOM.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

static int set_limit(int which, rlim_t value) {
    struct rlimit limit;
    if (getrlimit(which, &limit) != 0) return errno;
    if (limit.rlim_max != RLIM_INFINITY && limit.rlim_max < value) value = limit.rlim_max;
    limit.rlim_cur = value;
    limit.rlim_max = value;
    return setrlimit(which, &limit) == 0 ? 0 : errno;
}

int cdicom_confine(uint64_t memory_bytes) {
    // Image after image needs the same megabytes: keep them, rather than have the kernel clear new pages each time.
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
    mallopt(M_TRIM_THRESHOLD, 256 << 20);
    // What the parent has open, shards among it, is none of this process's business.
    if (close_range(3, ~0u, 0) != 0) return errno;
    // prctl is variadic, so Swift cannot call it.
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return errno;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return errno;
    int failure = set_limit(RLIMIT_CORE, 0);
    if (failure == 0) failure = set_limit(RLIMIT_FSIZE, 0);
    if (failure == 0) failure = set_limit(RLIMIT_AS, memory_bytes);
    return failure;
}

int cdicom_limit_time(uint32_t seconds) {
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0) return errno;
    struct rlimit limit;
    if (getrlimit(RLIMIT_CPU, &limit) != 0) return errno;
    // Only the soft limit moves: the hard one could never be raised again.
    rlim_t value = (rlim_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + seconds + 1;
    if (limit.rlim_max != RLIM_INFINITY && value > limit.rlim_max) value = limit.rlim_max;
    limit.rlim_cur = value;
    return setrlimit(RLIMIT_CPU, &limit) == 0 ? 0 : errno;
}
