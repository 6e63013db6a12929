// fallocate stands behind _GNU_SOURCE, which Swift's Glibc does not define.
#define _GNU_SOURCE
#include "CSystem.h"

#include <fcntl.h>
#include <linux/falloc.h>

int system_reserve(int descriptor, long long bytes) {
    return fallocate(descriptor, FALLOC_FL_KEEP_SIZE, 0, bytes);
}
