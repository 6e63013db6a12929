#pragma once
// XXH3-64 at the width of the processor. Debian's libxxhash is compiled for SSE2, where hashing takes as long as adding.

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// XXH3-64 of `length` bytes.
uint64_t hash_xxh3(const void *bytes, size_t length);

// The state of a hash that is fed piece by piece; used by one thread at a time.
typedef struct hash_stream hash_stream;

// NULL where there is no memory.
hash_stream *hash_stream_create(void);
void hash_stream_free(hash_stream *stream);
void hash_stream_reset(hash_stream *stream);
void hash_stream_update(hash_stream *stream, const void *bytes, size_t length);
uint64_t hash_stream_digest(const hash_stream *stream);

// The name of the code in use: avx512, avx2 or baseline.
const char *hash_variant(void);

#ifdef __cplusplus
}
#endif
