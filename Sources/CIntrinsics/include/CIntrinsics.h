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

/// Sixteen floats at any address. Swift's own load is a generic, which the optimizer leaves as a weak function in places.
static inline pleura_float32x16 pleura_load(const void *address) {
    pleura_float32x16 value;
    memcpy(&value, address, sizeof value);
    return value;
}

/// The float at any address, sixteen times.
static inline pleura_float32x16 pleura_repeat(const void *address) {
    float value;
    memcpy(&value, address, sizeof value);
    return (pleura_float32x16)(value);
}

/// Square roots, correctly rounded. Swift's `squareRoot()` of a vector takes one root after the other.
static inline pleura_float32x16 pleura_square_roots(pleura_float32x16 x) { return __builtin_elementwise_sqrt(x); }

/// `ScalarMath.logisticDenominator` on sixteen floats: the same operations in the same order.
static inline __attribute__((always_inline)) pleura_float32x16 pleura_logistic_denominator(pleura_float32x16 x) {
#pragma clang fp contract(off)
    pleura_float32x16 y = -x;
#if defined(__AVX512F__)
    // The second operand where one is NaN, as below; in one instruction, where the compiler makes three of the first.
    y = (pleura_float32x16)_mm512_min_ps(_mm512_set1_ps(88.8f), (__m512)y);
    y = (pleura_float32x16)_mm512_max_ps(_mm512_set1_ps(-87.0f), (__m512)y);
#else
    y = y > 88.8f ? (pleura_float32x16)(88.8f) : y;
    y = y < -87.0f ? (pleura_float32x16)(-87.0f) : y;
#endif
    const pleura_float32x16 magic = 12582912.0f;
    const pleura_float32x16 shifted = __builtin_elementwise_fma(y, (pleura_float32x16)(1.442695041f), magic);
    const pleura_float32x16 k = shifted - magic;
    const pleura_float32x16 r = __builtin_elementwise_fma(
        k, (pleura_float32x16)(-1.42860677e-06f),
        __builtin_elementwise_fma(k, (pleura_float32x16)(-0.693145751953125f), y));
    pleura_float32x16 p = 1.9875691500e-4f;
    p = __builtin_elementwise_fma(p, r, (pleura_float32x16)(1.3981999507e-3f));
    p = __builtin_elementwise_fma(p, r, (pleura_float32x16)(8.3334519073e-3f));
    p = __builtin_elementwise_fma(p, r, (pleura_float32x16)(4.1665795894e-2f));
    p = __builtin_elementwise_fma(p, r, (pleura_float32x16)(1.6666665459e-1f));
    p = __builtin_elementwise_fma(p, r, (pleura_float32x16)(5.0000001201e-1f));
    p = __builtin_elementwise_fma(p, r * r, r) + 1.0f;
    typedef uint32_t uint32x16 __attribute__((ext_vector_type(16)));
    const pleura_float32x16 factor = (pleura_float32x16)(((uint32x16)shifted << 23) + 0x3F800000u);
    return 1.0f + p * factor;
}

/// `ScalarMath.exp` on sixteen floats: the same operations in the same order.
static inline __attribute__((always_inline)) pleura_float32x16 pleura_exp(pleura_float32x16 input) {
#pragma clang fp contract(off)
    pleura_float32x16 x = input > 89.0f ? (pleura_float32x16)(89.0f) : input;
    x = x < -104.0f ? (pleura_float32x16)(-104.0f) : x;
    const pleura_float32x16 magic = 12582912.0f;
    const pleura_float32x16 shifted = __builtin_elementwise_fma(x, (pleura_float32x16)(1.442695041f), magic);
    const pleura_float32x16 k = shifted - magic;
    const pleura_float32x16 r = __builtin_elementwise_fma(
        k, (pleura_float32x16)(-1.42860677e-06f),
        __builtin_elementwise_fma(k, (pleura_float32x16)(-0.693145751953125f), x));
    pleura_float32x16 p = 1.9875691500e-4f;
    p = __builtin_elementwise_fma(p, r, (pleura_float32x16)(1.3981999507e-3f));
    p = __builtin_elementwise_fma(p, r, (pleura_float32x16)(8.3334519073e-3f));
    p = __builtin_elementwise_fma(p, r, (pleura_float32x16)(4.1665795894e-2f));
    p = __builtin_elementwise_fma(p, r, (pleura_float32x16)(1.6666665459e-1f));
    p = __builtin_elementwise_fma(p, r, (pleura_float32x16)(5.0000001201e-1f));
    p = __builtin_elementwise_fma(p, r * r, r) + 1.0f;
    const pleura_int32x16 exponent = (pleura_int32x16)shifted - (pleura_int32x16)magic;
    const pleura_int32x16 half = exponent >> 1;
    const pleura_float32x16 first = (pleura_float32x16)((half + 127) << 23);
    const pleura_float32x16 second = (pleura_float32x16)((exponent - half + 127) << 23);
    return p * first * second;
}

static inline void pleura_store(pleura_float32x16 x, float *elements) { memcpy(elements, &x, sizeof x); }

/// Stores the first `count` floats, at least 0 and at most 15.
static inline void pleura_store_some(pleura_float32x16 x, float *elements, long count) {
#if defined(__AVX512F__)
    _mm512_mask_storeu_ps(elements, (__mmask16)((1u << count) - 1), (__m512)x);
#elif defined(__AVX2__)
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i limit = _mm256_set1_epi32((int)count);
    __m256 halves[2];
    memcpy(halves, &x, sizeof x);
    _mm256_maskstore_ps(elements, _mm256_cmpgt_epi32(limit, lanes), halves[0]);
    _mm256_maskstore_ps(
        elements + 8, _mm256_cmpgt_epi32(limit, _mm256_add_epi32(lanes, _mm256_set1_epi32(8))), halves[1]);
#else
    for (long lane = 0; lane < count; lane += 1) elements[lane] = x[lane];
#endif
}

/// Sixteen bfloat16 as floats.
static inline pleura_float32x16 pleura_widen_bf16(const uint16_t *elements) {
    typedef uint16_t words16 __attribute__((ext_vector_type(16)));
    typedef uint32_t uint32x16 __attribute__((ext_vector_type(16)));
    words16 value;
    memcpy(&value, elements, sizeof value);
    return (pleura_float32x16)(__builtin_convertvector(value, uint32x16) << 16);
}

/// Sixteen bfloat16 by their bits.
typedef uint16_t pleura_words16 __attribute__((ext_vector_type(16)));
typedef uint32_t pleura_uint32x16 __attribute__((ext_vector_type(16)));

/// words <- x, sixteen floats rounded to bfloat16: to nearest even, denormals to zeros of their sign, NaN to NaN, as
/// VCVTNEPS2BF16 does. A macro: a call would pass a vector, which needs its instruction set in every caller.
#ifdef __AVX512BF16__
#define PLEURA_ROUND_BF16(words, x)                                                                                    \
    do {                                                                                                               \
        __m256bh rounded_ = _mm512_cvtneps_pbh((__m512)(x));                                                           \
        memcpy(&(words), &rounded_, sizeof(words));                                                                    \
    } while (0)
#else
#define PLEURA_ROUND_BF16(words, x)                                                                                    \
    do {                                                                                                               \
        pleura_float32x16 x_ = (x);                                                                                    \
        pleura_uint32x16 bits_ = (pleura_uint32x16)x_;                                                                 \
        pleura_uint32x16 rounded_ = (bits_ + 0x7FFF + ((bits_ >> 16) & 1)) >> 16;                                      \
        pleura_int32x16 isNaN_ = x_ != x_;                                                                             \
        pleura_int32x16 isSmall_ = (bits_ & 0x7F800000) == 0;                                                          \
        rounded_ = isNaN_ ? (bits_ >> 16 | 0x40) : rounded_;                                                           \
        rounded_ = isSmall_ ? (bits_ >> 16 & 0x8000) : rounded_;                                                       \
        words = __builtin_convertvector(rounded_, pleura_words16);                                                     \
    } while (0)
#endif

/// Sixteen floats rounded to bfloat16, as floats.
static inline pleura_float32x16 pleura_nearest_bf16(pleura_float32x16 x) {
    pleura_words16 value;
    PLEURA_ROUND_BF16(value, x);
    return (pleura_float32x16)(__builtin_convertvector(value, pleura_uint32x16) << 16);
}

/// Rounds sixteen floats to bfloat16 and stores the first `count`.
static inline void pleura_round_bf16(pleura_float32x16 x, uint16_t *elements, long count) {
    pleura_words16 value;
    PLEURA_ROUND_BF16(value, x);
    if (count >= 16) {
        memcpy(elements, &value, sizeof value);
        return;
    }
#if defined(__AVX512BW__) && defined(__AVX512VL__)
    _mm256_mask_storeu_epi16(elements, (__mmask16)((1u << count) - 1), (__m256i)value);
#else
    uint16_t words[16];
    memcpy(words, &value, sizeof words);
    const uint16_t *next = words;
    if (count & 8) {
        memcpy(elements, next, 16);
        elements += 8;
        next += 8;
    }
    if (count & 4) {
        memcpy(elements, next, 8);
        elements += 4;
        next += 4;
    }
    for (long lane = 0; lane < (count & 3); lane += 1) elements[lane] = next[lane];
#endif
}

/// Pairs of bfloat16: the low half of each integer from `even`, the high half from `odd`, rounded as above.
static inline pleura_int32x16 pleura_round_pairs(pleura_float32x16 even, pleura_float32x16 odd) {
    pleura_words16 low, high;
    PLEURA_ROUND_BF16(low, even);
    PLEURA_ROUND_BF16(high, odd);
    return (pleura_int32x16)(__builtin_convertvector(low, pleura_uint32x16)
                             | __builtin_convertvector(high, pleura_uint32x16) << 16);
}

/// The pairs (a[i], b[i]) of sixteen elements each.
static inline pleura_int32x16 pleura_join_pairs(const uint16_t *a, const uint16_t *b) {
    typedef uint16_t words16 __attribute__((ext_vector_type(16)));
    typedef uint32_t uint32x16 __attribute__((ext_vector_type(16)));
    words16 x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (pleura_int32x16)(__builtin_convertvector(x, uint32x16) | __builtin_convertvector(y, uint32x16) << 16);
}

/// Asks for the cache lines of `bytes` bytes, to be read, or written, soon.
static inline void pleura_prefetch_range(const void *address, long bytes) {
    for (long offset = 0; offset < bytes; offset += 64) __builtin_prefetch((const char *)address + offset, 0, 2);
}

static inline void pleura_prefetch_range_to_write(const void *address, long bytes) {
    for (long offset = 0; offset < bytes; offset += 64) __builtin_prefetch((const char *)address + offset, 1, 3);
}

static inline void pleura_copy(const void *source, void *target, long bytes) { memcpy(target, source, bytes); }

// Transposition of 16 rows of 8 words, where a row is the pairs of 16 channels of a pixel, into 8 rows of 16 words and
// back. Macros, as vectors must not pass through a call.

/// The lower (`k` = 0) or upper (2) words of each four of `a` and `b` in turn.
#define PLEURA_UNPACK_WORDS(a, b, k)                                                                                   \
    __builtin_shufflevector(a, b, 0 + k, 16 + k, 1 + k, 17 + k, 4 + k, 20 + k, 5 + k, 21 + k, 8 + k, 24 + k, 9 + k,   \
                            25 + k, 12 + k, 28 + k, 13 + k, 29 + k)
/// The same of pairs of words.
#define PLEURA_UNPACK_PAIRS(a, b, k)                                                                                   \
    __builtin_shufflevector(a, b, 0 + k, 1 + k, 16 + k, 17 + k, 4 + k, 5 + k, 20 + k, 21 + k, 8 + k, 9 + k, 24 + k,   \
                            25 + k, 12 + k, 13 + k, 28 + k, 29 + k)
/// The fours `k` and `k` + 2 of `a`, then of `b`.
#define PLEURA_JOIN_FOURS(a, b, k)                                                                                     \
    __builtin_shufflevector(a, b, 0 + 4 * k, 1 + 4 * k, 2 + 4 * k, 3 + 4 * k, 8 + 4 * k, 9 + 4 * k, 10 + 4 * k,       \
                            11 + 4 * k, 16 + 4 * k, 17 + 4 * k, 18 + 4 * k, 19 + 4 * k, 24 + 4 * k, 25 + 4 * k,       \
                            26 + 4 * k, 27 + 4 * k)
/// The fours `k` of `a` and of `b`, then `k` + 1 of both.
#define PLEURA_PAIR_FOURS(a, b, k)                                                                                     \
    __builtin_shufflevector(a, b, 0 + 4 * k, 1 + 4 * k, 2 + 4 * k, 3 + 4 * k, 16 + 4 * k, 17 + 4 * k, 18 + 4 * k,     \
                            19 + 4 * k, 4 + 4 * k, 5 + 4 * k, 6 + 4 * k, 7 + 4 * k, 20 + 4 * k, 21 + 4 * k, 22 + 4 * k, \
                            23 + 4 * k)

/// planes[c · planeStride + p] <- pair c (0 ..< 8) of pixel p (0 ..< 16): `step` elements between pixels, of which the
/// last, number `last`, stands for those past it. Stores the first `planes` of the eight.
static inline void pleura_split_planes(const uint16_t *pixels, long step, long last, int32_t *planes, long planeStride,
                                       long count) {
    pleura_uint32x16 r[8];
    // Pixels i and i + 4 of the first eight, then of the second.
    if (last >= 15) {
        const uint16_t *fours[4] = {pixels, pixels + 4 * step, pixels + 8 * step, pixels + 12 * step};
        for (long i = 0; i < 4; i += 1) {
            memcpy(&r[i], fours[0] + i * step, 32);
            memcpy((char *)&r[i] + 32, fours[1] + i * step, 32);
            memcpy(&r[i + 4], fours[2] + i * step, 32);
            memcpy((char *)&r[i + 4] + 32, fours[3] + i * step, 32);
        }
    } else {
        for (long i = 0; i < 8; i += 1) {
            long p = i < 4 ? i : i + 4, q = p + 4;
            memcpy(&r[i], pixels + (p < last ? p : last) * step, 32);
            memcpy((char *)&r[i] + 32, pixels + (q < last ? q : last) * step, 32);
        }
    }
    pleura_uint32x16 u[8];
    for (long i = 0; i < 8; i += 4) {
        pleura_uint32x16 a = PLEURA_UNPACK_WORDS(r[i], r[i + 1], 0), b = PLEURA_UNPACK_WORDS(r[i + 2], r[i + 3], 0);
        pleura_uint32x16 c = PLEURA_UNPACK_WORDS(r[i], r[i + 1], 2), d = PLEURA_UNPACK_WORDS(r[i + 2], r[i + 3], 2);
        u[i] = PLEURA_UNPACK_PAIRS(a, b, 0);
        u[i + 1] = PLEURA_UNPACK_PAIRS(a, b, 2);
        u[i + 2] = PLEURA_UNPACK_PAIRS(c, d, 0);
        u[i + 3] = PLEURA_UNPACK_PAIRS(c, d, 2);
    }
    for (long i = 0; i < 4; i += 1) {
        pleura_uint32x16 low = PLEURA_JOIN_FOURS(u[i], u[i + 4], 0), high = PLEURA_JOIN_FOURS(u[i], u[i + 4], 1);
        if (i < count) memcpy(planes + i * planeStride, &low, sizeof low);
        if (i + 4 < count) memcpy(planes + (i + 4) * planeStride, &high, sizeof high);
    }
}

/// Rounds `inputs` rows of sixteen floats and stores their `pairs` pairs of neighbours as columns: target[16 · pair + row];
/// rows past `inputs` are zeros.
static inline void pleura_transpose_pairs(const float *source, long inputs, int32_t *target, long pairs) {
    uint16_t rows[16][16];
    for (long row = 0; row < 16; row += 1) {
        if (row < inputs) {
            pleura_float32x16 x;
            pleura_words16 rounded;
            memcpy(&x, source + 16 * row, sizeof x);
            PLEURA_ROUND_BF16(rounded, x);
            memcpy(rows[row], &rounded, sizeof rounded);
        } else {
            memset(rows[row], 0, sizeof rows[row]);
        }
    }
    pleura_split_planes(rows[0], 16, 15, target, 16, pairs);
}

/// The inverse: pixels[p · step ..< p · step + 16] <- the eight planes' words p, for p < `count`.
static inline void pleura_join_planes(const int32_t *planes, uint16_t *pixels, long step, long count) {
    pleura_uint32x16 r[8], u[8];
    memcpy(r, planes, sizeof r);
    for (long i = 0; i < 8; i += 4) {
        pleura_uint32x16 a = PLEURA_UNPACK_WORDS(r[i], r[i + 1], 0), b = PLEURA_UNPACK_WORDS(r[i + 2], r[i + 3], 0);
        pleura_uint32x16 c = PLEURA_UNPACK_WORDS(r[i], r[i + 1], 2), d = PLEURA_UNPACK_WORDS(r[i + 2], r[i + 3], 2);
        u[i] = PLEURA_UNPACK_PAIRS(a, b, 0);
        u[i + 1] = PLEURA_UNPACK_PAIRS(a, b, 2);
        u[i + 2] = PLEURA_UNPACK_PAIRS(c, d, 0);
        u[i + 3] = PLEURA_UNPACK_PAIRS(c, d, 2);
    }
    for (long i = 0; i < 4; i += 1) {
        pleura_uint32x16 low = PLEURA_PAIR_FOURS(u[i], u[i + 4], 0), high = PLEURA_PAIR_FOURS(u[i], u[i + 4], 2);
        if (i < count) memcpy(pixels + i * step, &low, 32);
        if (i + 4 < count) memcpy(pixels + (i + 4) * step, (char *)&low + 32, 32);
        if (i + 8 < count) memcpy(pixels + (i + 8) * step, &high, 32);
        if (i + 12 < count) memcpy(pixels + (i + 12) * step, (char *)&high + 32, 32);
    }
}

/// One dot step of sixteen sums with pairs of bfloat16: fma of the odd elements, then of the even ones.
///
/// VDPBF16PS where the processor has it. It flushes denormals in and out; without it `pleura_flush_denormals` must be
/// in force.
static inline pleura_float32x16 pleura_dot_bf16(pleura_float32x16 sum, pleura_int32x16 a, pleura_int32x16 b) {
#ifdef __AVX512BF16__
    return (pleura_float32x16)_mm512_dpbf16_ps((__m512)sum, (__m512bh)a, (__m512bh)b);
#else
    typedef uint32_t uint32x16 __attribute__((ext_vector_type(16)));
    uint32x16 x = (uint32x16)a, y = (uint32x16)b;
    pleura_float32x16 odd = __builtin_elementwise_fma(
        (pleura_float32x16)(x & 0xFFFF0000), (pleura_float32x16)(y & 0xFFFF0000), sum);
    return __builtin_elementwise_fma((pleura_float32x16)(x << 16), (pleura_float32x16)(y << 16), odd);
#endif
}

/// Lets this thread's vector arithmetic flush denormals in and out; returns what was in force before.
static inline unsigned pleura_flush_denormals(void) {
#ifdef __x86_64__
    unsigned before = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(before | 0x8040);
    return before;
#else
    return 0;
#endif
}

static inline void pleura_restore_denormals(unsigned before) {
#ifdef __x86_64__
    __builtin_ia32_ldmxcsr(before);
#endif
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

/// Channels whose sums over pixels are kept in memory at once.
#define PLEURA_SUMMED_CHANNELS 512

/// Sums of two quantities for them within a block of pixels, then those over all blocks as doubles.
static inline float *pleura_block_sums(void) {
    static _Thread_local _Alignas(64) float sums[6 * PLEURA_SUMMED_CHANNELS];
    return sums;
}

/// Sums of two quantities for a group of 64 channels.
static inline double *pleura_group_sums(void) {
    static _Thread_local double sums[2 * 64 + 16];
    return sums;
}

/// Asks for the cache line at `address` in the second-level cache, for reading.
static inline void pleura_prefetch(const void *address) { __builtin_prefetch(address, 0, 2); }

/// Asks for the cache line at `address`, for writing.
static inline void pleura_prefetch_to_write(const void *address) { __builtin_prefetch(address, 1, 3); }

/// Transposes 16 × 16 floats: row i of the source (`sourceStride` floats apart) becomes column i of the target.
static inline void pleura_transpose(const float *source, long sourceStride, float *target, long targetStride) {
    typedef float v __attribute__((ext_vector_type(16)));
    v r[16], t[16];
    for (int i = 0; i < 16; i++) memcpy(&r[i], source + i * sourceStride, sizeof(v));
    // Pairs of rows, then pairs of pairs within each quarter of a register, then the quarters.
    for (int i = 0; i < 8; i++) {
        t[2 * i] = __builtin_shufflevector(r[2 * i], r[2 * i + 1], 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28,
                                           13, 29);
        t[2 * i + 1] = __builtin_shufflevector(r[2 * i], r[2 * i + 1], 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27,
                                               14, 30, 15, 31);
    }
    for (int i = 0; i < 4; i++) {
        for (int j = 0; j < 2; j++) {
            r[4 * i + 2 * j] = __builtin_shufflevector(t[4 * i + j], t[4 * i + 2 + j], 0, 1, 16, 17, 4, 5, 20, 21, 8, 9,
                                                       24, 25, 12, 13, 28, 29);
            r[4 * i + 2 * j + 1] = __builtin_shufflevector(t[4 * i + j], t[4 * i + 2 + j], 2, 3, 18, 19, 6, 7, 22, 23,
                                                           10, 11, 26, 27, 14, 15, 30, 31);
        }
    }
    // r[4i + j]: column j of each quarter, rows 4i ... 4i + 3.
    for (int j = 0; j < 4; j++) {
        v low02 = __builtin_shufflevector(r[j], r[4 + j], 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27);
        v low13 = __builtin_shufflevector(r[j], r[4 + j], 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31);
        v high02 = __builtin_shufflevector(r[8 + j], r[12 + j], 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26,
                                           27);
        v high13 = __builtin_shufflevector(r[8 + j], r[12 + j], 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30,
                                           31);
        t[j] = __builtin_shufflevector(low02, high02, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23);
        t[8 + j] = __builtin_shufflevector(low02, high02, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
        t[4 + j] = __builtin_shufflevector(low13, high13, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23);
        t[12 + j] = __builtin_shufflevector(low13, high13, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30,
                                            31);
    }
    for (int i = 0; i < 16; i++) memcpy(target + i * targetStride, &t[i], sizeof(v));
}

#pragma clang assume_nonnull end

