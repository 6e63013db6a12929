// libpng and libjpeg behind functions that return: both report errors with longjmp, which must not cross Swift frames.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// A grey image, row-major: of 8 bits in `pixels`, or of 16 in `words`. Both are from malloc; the other is null, and both
/// on failure.
typedef struct {
    uint8_t *pixels;
    uint16_t *words;
    uint32_t width;
    uint32_t height;
    uint32_t channels;
    /// The channels of the file, before anything was turned into grey.
    uint32_t source_channels;
    /// Whether a JPEG could be decoded in part, or with values that are wrong.
    int32_t is_damaged;
    /// Why there is no image.
    char message[240];
} craster_image;

/// Encoded bytes from malloc; null on failure.
typedef struct {
    uint8_t *bytes;
    size_t count;
    char message[240];
} craster_bytes;

/// Decodes a PNG of any kind to grey, of 16 bits where its values have 16, else of 8: palettes are looked up, alpha ignored,
/// colours turned into luma (299 R + 587 G + 114 B + 500) / 1000. Returns 1, or 0 with a message. More than `max_pixels` are refused.
int craster_decode_png(const uint8_t *bytes, size_t count, uint64_t max_pixels, craster_image *image);

/// Decodes a JPEG to 8-bit grey; of a colour JPEG the luma. One that is cut off or damaged is refused.
int craster_decode_jpeg(const uint8_t *bytes, size_t count, uint64_t max_pixels, craster_image *image);

/// Encodes 8-bit grey (1 channel) or RGB (3 channels) as PNG at zlib's `level`.
int craster_encode_png(
    const uint8_t *pixels, uint32_t width, uint32_t height, uint32_t channels, int level, craster_bytes *result);

/// Encodes 8-bit grey or RGB as baseline JPEG.
int craster_encode_jpeg(
    const uint8_t *pixels, uint32_t width, uint32_t height, uint32_t channels, int quality, craster_bytes *result);

/// The values of an image as they stand in its file, row-major, one a pixel; null on failure.
typedef struct {
    uint16_t *values;
    uint32_t width;
    uint32_t height;
    /// Why there are none.
    char message[240];
} craster_values;

/// Decodes a PNG for what its pixels say and not for how they look: grey values of any depth unscaled, the index of a
/// palette of colours, the grey of a palette of greys, and of colours the largest channel. Alpha is ignored.
int craster_decode_png_values(const uint8_t *bytes, size_t count, uint64_t max_pixels, craster_values *result);

void craster_free(void *memory);

#ifdef __cplusplus
}
#endif
