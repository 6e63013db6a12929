// Every call goes to the kernel directly, so that nothing here can call itself.
#define _GNU_SOURCE
#include "FaultInjection.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

enum { most_descriptors = 4096, most_path = 512 };
enum action { NONE, BEFORE, AFTER, TORN, ERROR, SHORT, FLIP };

static const char *folder;
static const char *kinds;
static enum action action;
static int error_number;
static long first, count;
static uint64_t seed;
static int record = -1;
static unsigned arithmetic;
static atomic_long calls;
/// The path of each descriptor that counts, or an empty text.
static char paths[most_descriptors][most_path];

static long number(const char *name, long otherwise) {
    const char *text = getenv(name);
    return text ? strtol(text, NULL, 10) : otherwise;
}

__attribute__((constructor)) static void set_up(void) {
    const char *text = getenv("FAULT_ACTION");
    if (text) {
        if (!strcmp(text, "before")) action = BEFORE;
        if (!strcmp(text, "after")) action = AFTER;
        if (!strcmp(text, "torn")) action = TORN;
        if (!strcmp(text, "short")) action = SHORT;
        if (!strcmp(text, "flip")) action = FLIP;
        if (!strncmp(text, "error:", 6)) {
            action = ERROR;
            error_number = atoi(text + 6);
        }
    }
    first = number("FAULT_CALL", 0);
    count = number("FAULT_COUNT", 1);
    seed = (uint64_t)number("FAULT_SEED", 0);
    kinds = getenv("FAULT_KINDS");
    const char *log = getenv("FAULT_LOG");
    if (log) {
        int opened = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
        // Out of the way of the descriptors that the process gets.
        record = opened < 0 ? -1 : fcntl(opened, F_DUPFD_CLOEXEC, 1000);
        if (opened >= 0) syscall(SYS_close, opened);
    }
    folder = getenv("FAULT_FOLDER");
    const char *mode = getenv("FAULT_ARITHMETIC");
    if (mode) {
        if (!strcmp(mode, "up")) arithmetic = 0x4000;
        if (!strcmp(mode, "zero")) arithmetic = 0x6000;
        if (!strcmp(mode, "flush")) arithmetic = 0x8040;
        __builtin_ia32_ldmxcsr(0x1F80 | arithmetic);
    }
}

static void change_arithmetic(void) {
    if (arithmetic) __builtin_ia32_ldmxcsr(0x1F80 | arithmetic);
}

static int is_in_folder(const char *path) {
    if (!folder || !path) return 0;
    size_t length = strlen(folder);
    return !strncmp(path, folder, length) && (path[length] == '/' || path[length] == 0);
}

static const char *path_of(int descriptor) {
    if (descriptor < 0 || descriptor >= most_descriptors || !paths[descriptor][0]) return NULL;
    return paths[descriptor];
}

static int is_chosen(const char *kind) {
    if (!kinds || !*kinds) return 1;
    size_t length = strlen(kind);
    for (const char *place = kinds; (place = strstr(place, kind)); place += length) {
        int starts = place == kinds || place[-1] == ',';
        if (starts && (place[length] == ',' || place[length] == 0)) return 1;
    }
    return 0;
}

/// Counts a call and tells what is to happen to it.
static enum action meet(const char *kind, const char *path, long *mine) {
    *mine = atomic_fetch_add(&calls, 1) + 1;
    if (record >= 0) {
        char line[most_path + 64];
        int length = snprintf(line, sizeof line, "%ld %s %s\n", *mine, kind, path);
        if (length > 0) syscall(SYS_write, record, line, (size_t)length < sizeof line ? (size_t)length : sizeof line - 1);
    }
    if (first <= 0 || *mine < first || *mine - first >= count || !is_chosen(kind)) return NONE;
    return action;
}

static void die(void) { syscall(SYS_exit_group, 137); }

/// For calls that are done or not: `run` is evaluated unless the call is to fail.
#define WHOLE(kind, path, type, run)                                \
    do {                                                            \
        long mine;                                                  \
        enum action fate = meet(kind, path, &mine);                 \
        if (fate == BEFORE || fate == TORN) die();                  \
        if (fate == ERROR) {                                        \
            errno = error_number;                                   \
            return (type)-1;                                        \
        }                                                           \
        type result = (type)(run);                                  \
        if (fate == AFTER) die();                                   \
        return result;                                              \
    } while (0)

// MARK: Names

static int opened(const char *path, int flags, mode_t mode) {
    int descriptor = (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
    if (descriptor >= 0 && descriptor < most_descriptors) {
        if (is_in_folder(path)) {
            snprintf(paths[descriptor], most_path, "%s", path);
        } else {
            paths[descriptor][0] = 0;
        }
    }
    return descriptor;
}

int open(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    if (!is_in_folder(path)) return opened(path, flags, mode);
    WHOLE(flags & O_CREAT ? "create" : "open", path, int, opened(path, flags, mode));
}

int open64(const char *path, int flags, ...) __attribute__((alias("open")));

int rename(const char *from, const char *to) {
    if (!is_in_folder(to)) return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
    WHOLE("rename", to, int, syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0));
}

int unlink(const char *path) {
    if (!is_in_folder(path)) return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
    WHOLE("remove", path, int, syscall(SYS_unlinkat, AT_FDCWD, path, 0));
}

int mkdir(const char *path, mode_t mode) {
    if (!is_in_folder(path)) return (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
    WHOLE("folder", path, int, syscall(SYS_mkdirat, AT_FDCWD, path, mode));
}

int truncate(const char *path, off_t size) {
    if (!is_in_folder(path)) return (int)syscall(SYS_truncate, path, size);
    WHOLE("truncate", path, int, syscall(SYS_truncate, path, size));
}

int truncate64(const char *path, off_t size) __attribute__((alias("truncate")));

// MARK: Descriptors

int ftruncate(int descriptor, off_t size) {
    const char *path = path_of(descriptor);
    if (!path) return (int)syscall(SYS_ftruncate, descriptor, size);
    WHOLE("truncate", path, int, syscall(SYS_ftruncate, descriptor, size));
}

int ftruncate64(int descriptor, off_t size) __attribute__((alias("ftruncate")));

int fallocate(int descriptor, int mode, off_t offset, off_t size) {
    const char *path = path_of(descriptor);
    if (!path) return (int)syscall(SYS_fallocate, descriptor, mode, offset, size);
    WHOLE("reserve", path, int, syscall(SYS_fallocate, descriptor, mode, offset, size));
}

int fallocate64(int descriptor, int mode, off_t offset, off_t size) __attribute__((alias("fallocate")));

int fsync(int descriptor) {
    const char *path = path_of(descriptor);
    if (!path) return (int)syscall(SYS_fsync, descriptor);
    WHOLE("sync", path, int, syscall(SYS_fsync, descriptor));
}

int fdatasync(int descriptor) {
    const char *path = path_of(descriptor);
    if (!path) return (int)syscall(SYS_fdatasync, descriptor);
    WHOLE("sync", path, int, syscall(SYS_fdatasync, descriptor));
}

int close(int descriptor) {
    const char *path = path_of(descriptor);
    if (!path) return (int)syscall(SYS_close, descriptor);
    long mine;
    enum action fate = meet("close", path, &mine);
    if (fate == BEFORE || fate == TORN) die();
    paths[descriptor][0] = 0;
    int result = (int)syscall(SYS_close, descriptor);
    if (fate == AFTER) die();
    if (fate != ERROR) return result;
    errno = error_number;
    return -1;
}

// MARK: Bytes

enum { CURRENT = -1 };

static ssize_t pass(int writes, int descriptor, void *bytes, size_t size, off_t offset) {
    change_arithmetic();
    if (offset == CURRENT) return syscall(writes ? SYS_write : SYS_read, descriptor, bytes, size);
    return syscall(writes ? SYS_pwrite64 : SYS_pread64, descriptor, bytes, size, offset);
}

static uint64_t mixed(uint64_t value) {
    value += 0x9E3779B97F4A7C15;
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9;
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB;
    return value ^ (value >> 31);
}

static ssize_t move(int writes, int descriptor, void *bytes, size_t size, off_t offset) {
    const char *path = path_of(descriptor);
    if (!path) return pass(writes, descriptor, bytes, size, offset);
    long mine;
    enum action fate = meet(writes ? "write" : "read", path, &mine);
    size_t half = (size + 1) / 2;
    ssize_t result;
    uint64_t random = mixed(seed ^ mixed((uint64_t)mine));
    switch (fate) {
    case BEFORE: die(); break;
    case TORN:
        if (writes) pass(writes, descriptor, bytes, half, offset);
        die();
        break;
    case ERROR: errno = error_number; return -1;
    case SHORT: return pass(writes, descriptor, bytes, half, offset);
    case FLIP:
        if (size == 0) break;
        if (!writes) {
            result = pass(writes, descriptor, bytes, size, offset);
            if (result > 0) ((uint8_t *)bytes)[random % (uint64_t)result] ^= 1 << (random >> 32) % 8;
            return result;
        }
        uint8_t *copy = malloc(size);
        if (!copy) break;
        memcpy(copy, bytes, size);
        copy[random % size] ^= 1 << (random >> 32) % 8;
        result = pass(writes, descriptor, copy, size, offset);
        free(copy);
        return result;
    case NONE: case AFTER: break;
    }
    result = pass(writes, descriptor, bytes, size, offset);
    if (fate == AFTER) die();
    return result;
}

ssize_t write(int descriptor, const void *bytes, size_t size) {
    return move(1, descriptor, (void *)bytes, size, CURRENT);
}

ssize_t read(int descriptor, void *bytes, size_t size) { return move(0, descriptor, bytes, size, CURRENT); }

ssize_t pwrite(int descriptor, const void *bytes, size_t size, off_t offset) {
    return move(1, descriptor, (void *)bytes, size, offset);
}

ssize_t pwrite64(int descriptor, const void *bytes, size_t size, off_t offset) __attribute__((alias("pwrite")));

ssize_t pread(int descriptor, void *bytes, size_t size, off_t offset) {
    return move(0, descriptor, bytes, size, offset);
}

ssize_t pread64(int descriptor, void *bytes, size_t size, off_t offset) __attribute__((alias("pread")));
