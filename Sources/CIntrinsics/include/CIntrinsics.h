#pragma once
// Header-only helpers of the kernel modules: inline functions, compiled into each of them for its instruction set.

#include <stdint.h>
#include <string.h>
#ifdef __AVX2__
#include <immintrin.h>
#endif

#pragma clang assume_nonnull begin

/// Sixteen 32-bit integers: `SIMD16<Int32>` in Swift.
typedef int32_t pleura_int32x16 __attribute__((ext_vector_type(16)));

/// Sixteen bytes as integers. Swift's own conversion is a generic whose specialisation would be a weak symbol.
static inline pleura_int32x16 pleura_widen(const uint8_t *bytes) {
    typedef uint8_t bytes16 __attribute__((ext_vector_type(16)));
    bytes16 value;
    memcpy(&value, bytes, sizeof value);
    return __builtin_convertvector(value, pleura_int32x16);
}

/// Sixteen floats: `SIMD16<Float>` in Swift.
typedef float pleura_float32x16 __attribute__((ext_vector_type(16)));

/// Lane i of the result is lane index[i] of x. With AVX2 lanes of the two halves do not mix: index[i] stands for
/// 8 · (i / 8) + index[i] mod 8.
static inline pleura_float32x16 pleura_permute(pleura_float32x16 x, pleura_int32x16 index) {
#if defined(__AVX512F__)
    return (pleura_float32x16)_mm512_permutexvar_ps((__m512i)index, (__m512)x);
#elif defined(__AVX2__)
    __m256 halves[2];
    __m256i indices[2];
    memcpy(halves, &x, sizeof x);
    memcpy(indices, &index, sizeof index);
    halves[0] = _mm256_permutevar8x32_ps(halves[0], indices[0]);
    halves[1] = _mm256_permutevar8x32_ps(halves[1], indices[1]);
    memcpy(&x, halves, sizeof x);
    return x;
#else
    pleura_float32x16 result;
    for (int lane = 0; lane < 16; lane += 1) result[lane] = x[index[lane]];
    return result;
#endif
}

/// For each lane the first lane of its group of `size` (a power of two up to 8), plus `offset`.
static inline pleura_int32x16 pleura_group_lanes(long size, long offset) {
    pleura_int32x16 lanes = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return (lanes & (int32_t)-size) + (int32_t)offset;
}

/// Square roots, correctly rounded. Swift's `squareRoot()` of a vector takes one root after the other.
static inline pleura_float32x16 pleura_square_roots(pleura_float32x16 x) { return __builtin_elementwise_sqrt(x); }

/// Sixteen bfloat16 as floats.
static inline pleura_float32x16 pleura_widen_bf16(const uint16_t *elements) {
    typedef uint16_t words16 __attribute__((ext_vector_type(16)));
    typedef uint32_t uint32x16 __attribute__((ext_vector_type(16)));
    words16 value;
    memcpy(&value, elements, sizeof value);
    return (pleura_float32x16)(__builtin_convertvector(value, uint32x16) << 16);
}

/// Rounds sixteen floats to bfloat16 and stores the first `count`: to nearest even, denormals to zeros of their sign,
/// NaN to NaN, as VCVTNEPS2BF16 does.
static inline void pleura_round_bf16(pleura_float32x16 x, uint16_t *elements, long count) {
    typedef uint16_t words16 __attribute__((ext_vector_type(16)));
    words16 value;
#ifdef __AVX512BF16__
    __m256bh rounded = _mm512_cvtneps_pbh((__m512)x);
    memcpy(&value, &rounded, sizeof value);
#else
    typedef uint32_t uint32x16 __attribute__((ext_vector_type(16)));
    typedef int32_t int32x16 __attribute__((ext_vector_type(16)));
    uint32x16 bits = (uint32x16)x;
    uint32x16 rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16;
    int32x16 isNaN = x != x;
    int32x16 isSmall = (bits & 0x7F800000) == 0;
    rounded = isNaN ? (bits >> 16 | 0x40) : rounded;
    rounded = isSmall ? (bits >> 16 & 0x8000) : rounded;
    value = __builtin_convertvector(rounded, words16);
#endif
    if (count >= 16) {
        memcpy(elements, &value, sizeof value);
    } else {
        for (long lane = 0; lane < count; lane += 1) elements[lane] = value[lane];
    }
}

/// The low bytes of sixteen integers.
static inline void pleura_narrow(pleura_int32x16 x, uint8_t *bytes) {
    typedef uint8_t bytes16 __attribute__((ext_vector_type(16)));
    bytes16 value = __builtin_convertvector(x, bytes16);
    memcpy(bytes, &value, sizeof value);
}

/// The most channels that a convolution reads from the zeros below.
#define PLEURA_ZERO_CHANNELS 8192

/// A pixel of zeros: what a tap outside the image reads.
static inline const float *pleura_zeros(void) {
    static const float zeros[PLEURA_ZERO_CHANNELS + 16] = {0};
    return zeros;
}

// Scratch memory of a convolution, one for each thread: kernels allocate nothing.

/// The most taps of a kernel.
#define PLEURA_TAPS 256
/// Source pointers of a block of tiles: 24 KiB.
#define PLEURA_POINTERS 3072
/// The most tiles of a block, and output pixels of a tile.
#define PLEURA_TILES 16
#define PLEURA_TILE_PIXELS 12

/// Three integers for each tap.
static inline long *pleura_tap_table(void) {
    static _Thread_local long taps[3 * PLEURA_TAPS];
    return taps;
}

static inline void *pleura_sources(void) {
    static _Thread_local void *_Nullable sources[PLEURA_POINTERS];
    return sources;
}

static inline void *pleura_outputs(void) {
    static _Thread_local void *_Nullable outputs[PLEURA_TILES * PLEURA_TILE_PIXELS];
    return outputs;
}

/// Sums of two quantities for a group of 64 channels.
static inline double *pleura_group_sums(void) {
    static _Thread_local double sums[2 * 64 + 16];
    return sums;
}

#pragma clang assume_nonnull end
