#if defined(__x86_64__)
#include <assert.h>
#include <immintrin.h>
#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#pragma clang attribute push(__attribute__((target("avx512f"))), apply_to = function)
#define XXH_VECTOR 3
#define VARIANT avx512
#include "variant.inc"
#pragma clang attribute pop
#endif
