#include "CHash.h"

#define VARIANT baseline
#include "variant.inc"

typedef struct {
    const char *name;
    uint64_t (*once)(const void *, size_t);
    void (*update)(void *, const void *, size_t);
    uint64_t (*digest)(const void *);
} functions;

static const functions baseline = {"baseline", hash_xxh3_baseline, hash_update_baseline, hash_digest_baseline};

#if defined(__x86_64__)
uint64_t hash_xxh3_avx2(const void *, size_t);
void hash_update_avx2(void *, const void *, size_t);
uint64_t hash_digest_avx2(const void *);
uint64_t hash_xxh3_avx512(const void *, size_t);
void hash_update_avx512(void *, const void *, size_t);
uint64_t hash_digest_avx512(const void *);
static const functions avx2 = {"avx2", hash_xxh3_avx2, hash_update_avx2, hash_digest_avx2};
static const functions avx512 = {"avx512", hash_xxh3_avx512, hash_update_avx512, hash_digest_avx512};
#endif

static const functions *chosen = &baseline;

// Before any thread starts. The compiler's builtins ask the operating system too whether it saves the registers.
__attribute__((constructor)) static void choose(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f")) {
        chosen = &avx512;
    } else if (__builtin_cpu_supports("avx2")) {
        chosen = &avx2;
    }
#endif
}

const char *hash_variant(void) { return chosen->name; }

uint64_t hash_xxh3(const void *bytes, size_t length) { return chosen->once(bytes, length); }

struct hash_stream {
    XXH3_state_t state;
};

hash_stream *hash_stream_create(void) {
    hash_stream *stream = aligned_alloc(64, sizeof *stream);
    if (stream) hash_stream_reset(stream);
    return stream;
}

void hash_stream_free(hash_stream *stream) { free(stream); }

void hash_stream_reset(hash_stream *stream) { XXH3_64bits_reset(&stream->state); }

void hash_stream_update(hash_stream *stream, const void *bytes, size_t length) {
    chosen->update(&stream->state, bytes, length);
}

uint64_t hash_stream_digest(const hash_stream *stream) { return chosen->digest(&stream->state); }
