#include "CRaster.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>
#include <png.h>

void craster_free(void *memory) { free(memory); }

static uint8_t luma(const uint8_t *rgb) {
    return (uint8_t)((299u * rgb[0] + 587u * rgb[1] + 114u * rgb[2] + 500u) / 1000u);
}

static uint16_t luma16(const uint16_t *rgb) {
    return (uint16_t)((299u * rgb[0] + 587u * rgb[1] + 114u * rgb[2] + 500u) / 1000u);
}

// MARK: - PNG

typedef struct {
    jmp_buf escape;
    char *message;
    const uint8_t *bytes;
    size_t count;
    size_t position;
    craster_bytes *output;
    size_t capacity;
} png_state;

static void png_fail(png_structp png, png_const_charp text) {
    png_state *state = png_get_error_ptr(png);
    snprintf(state->message, 240, "%s", text);
    longjmp(state->escape, 1);
}

static void png_ignore(png_structp png, png_const_charp text) {
    (void)png;
    (void)text;
}

static void png_take(png_structp png, png_bytep target, size_t count) {
    png_state *state = png_get_io_ptr(png);
    if (count > state->count - state->position) png_error(png, "the file is cut off");
    memcpy(target, state->bytes + state->position, count);
    state->position += count;
}

int craster_decode_png(const uint8_t *bytes, size_t count, uint64_t max_pixels, craster_image *image) {
    memset(image, 0, sizeof *image);
    png_state state = {.message = image->message, .bytes = bytes, .count = count};
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &state, png_fail, png_ignore);
    if (png == NULL) {
        snprintf(image->message, sizeof image->message, "libpng could not be started");
        return 0;
    }
    png_infop info = NULL;
    // Set between setjmp and longjmp, so volatile.
    uint8_t *volatile rows = NULL;
    uint16_t *volatile words = NULL;
    uint8_t **volatile pointers = NULL;
    if (setjmp(state.escape) != 0) {
        png_destroy_read_struct(&png, &info, NULL);
        free(rows);
        free(words);
        free(pointers);
        return 0;
    }
    info = png_create_info_struct(png);
    if (info == NULL) png_error(png, "not enough memory");
    png_set_user_limits(png, 1u << 16, 1u << 16);
    png_set_read_fn(png, &state, png_take);
    png_read_info(png, info);
    const uint32_t width = png_get_image_width(png, info);
    const uint32_t height = png_get_image_height(png, info);
    if ((uint64_t)width * height > max_pixels) {
        snprintf(image->message, sizeof image->message, "%u×%u pixels are more than are accepted", width, height);
        longjmp(state.escape, 1);
    }
    // Everything to grey or RGB of 8 bits, or of 16 in this machine's order: what 16 bits mean, the caller sees from
    // their values. Alpha goes: composition would need a background.
    const uint32_t bytes_per_value = png_get_bit_depth(png, info) == 16 ? 2 : 1;
    png_set_expand(png);
    png_set_strip_alpha(png);
    if (bytes_per_value == 2) png_set_swap(png);
    png_set_interlace_handling(png);
    image->source_channels = png_get_channels(png, info);
    png_read_update_info(png, info);
    const uint32_t channels = png_get_channels(png, info);
    const size_t stride = png_get_rowbytes(png, info);
    if ((channels != 1 && channels != 3) || stride != (size_t)width * channels * bytes_per_value) {
        png_error(png, "an unexpected pixel layout");
    }
    // Cleared: what a decoder leaves out is black, and the same at each run.
    rows = calloc(height, stride);
    pointers = malloc(sizeof(uint8_t *) * height);
    if (rows == NULL || pointers == NULL) png_error(png, "not enough memory");
    for (uint32_t y = 0; y < height; y += 1) pointers[y] = rows + stride * y;
    png_read_image(png, pointers);
    png_read_end(png, NULL);
    const size_t pixels = (size_t)width * height;
    if (bytes_per_value == 2) {
        words = malloc(pixels * sizeof(uint16_t));
        if (words == NULL) png_error(png, "not enough memory");
        for (size_t index = 0; index < pixels; index += 1) {
            uint16_t values[3];
            memcpy(values, rows + index * channels * 2, (size_t)channels * 2);
            words[index] = channels == 1 ? values[0] : luma16(values);
        }
        free(rows);
        rows = NULL;
    } else if (channels == 3) {
        for (size_t index = 0; index < pixels; index += 1) rows[index] = luma(rows + 3 * index);
    }
    png_destroy_read_struct(&png, &info, NULL);
    free(pointers);
    image->pixels = rows;
    image->words = words;
    image->width = width;
    image->height = height;
    image->channels = 1;
    return 1;
}

int craster_decode_png_values(const uint8_t *bytes, size_t count, uint64_t max_pixels, craster_values *result) {
    memset(result, 0, sizeof *result);
    png_state state = {.message = result->message, .bytes = bytes, .count = count};
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &state, png_fail, png_ignore);
    if (png == NULL) {
        snprintf(result->message, sizeof result->message, "libpng could not be started");
        return 0;
    }
    png_infop info = NULL;
    // Set between setjmp and longjmp, so volatile.
    uint8_t *volatile rows = NULL;
    uint8_t **volatile pointers = NULL;
    uint16_t *volatile values = NULL;
    if (setjmp(state.escape) != 0) {
        png_destroy_read_struct(&png, &info, NULL);
        free(rows);
        free(pointers);
        free(values);
        return 0;
    }
    info = png_create_info_struct(png);
    if (info == NULL) png_error(png, "not enough memory");
    png_set_user_limits(png, 1u << 16, 1u << 16);
    png_set_read_fn(png, &state, png_take);
    png_read_info(png, info);
    const uint32_t width = png_get_image_width(png, info);
    const uint32_t height = png_get_image_height(png, info);
    if ((uint64_t)width * height > max_pixels) {
        snprintf(result->message, sizeof result->message, "%u×%u pixels are more than are accepted", width, height);
        longjmp(state.escape, 1);
    }
    // A palette of greys is as good as its greys, in whatever order it has them; of colours the index is the class.
    uint8_t greys[256] = {0};
    int has_greys = 0;
    if (png_get_color_type(png, info) == PNG_COLOR_TYPE_PALETTE) {
        png_colorp palette = NULL;
        int colours = 0;
        png_get_PLTE(png, info, &palette, &colours);
        has_greys = palette != NULL;
        for (int index = 0; index < colours && index < 256 && has_greys; index += 1) {
            has_greys = palette[index].red == palette[index].green && palette[index].red == palette[index].blue;
            greys[index] = palette[index].red;
        }
    }
    png_set_packing(png);
    png_set_strip_alpha(png);
    png_set_interlace_handling(png);
    png_read_update_info(png, info);
    const uint32_t channels = png_get_channels(png, info);
    const uint32_t depth = png_get_bit_depth(png, info);
    const size_t stride = png_get_rowbytes(png, info);
    if ((channels != 1 && channels != 3) || (depth != 8 && depth != 16)
        || stride != (size_t)width * channels * (depth / 8)) {
        png_error(png, "an unexpected pixel layout");
    }
    const size_t pixels = (size_t)width * height;
    rows = calloc(height, stride);
    pointers = malloc(sizeof(uint8_t *) * height);
    values = malloc(sizeof(uint16_t) * pixels);
    if (rows == NULL || pointers == NULL || values == NULL) png_error(png, "not enough memory");
    for (uint32_t y = 0; y < height; y += 1) pointers[y] = rows + stride * y;
    png_read_image(png, pointers);
    png_read_end(png, NULL);
    png_destroy_read_struct(&png, &info, NULL);
    free(pointers);
    const uint8_t *source = rows;
    for (size_t index = 0; index < pixels; index += 1) {
        uint16_t largest = 0;
        for (uint32_t channel = 0; channel < channels; channel += 1) {
            uint16_t value = *source++;
            if (depth == 16) value = (uint16_t)(value << 8 | *source++);
            if (value > largest) largest = value;
        }
        values[index] = has_greys ? greys[largest & 255] : largest;
    }
    free(rows);
    result->values = values;
    result->width = width;
    result->height = height;
    return 1;
}

static void png_give(png_structp png, png_bytep source, size_t count) {
    png_state *state = png_get_io_ptr(png);
    craster_bytes *output = state->output;
    if (count > state->capacity - output->count) {
        size_t capacity = state->capacity * 2;
        while (capacity - output->count < count) capacity *= 2;
        uint8_t *grown = realloc(output->bytes, capacity);
        if (grown == NULL) png_error(png, "not enough memory");
        output->bytes = grown;
        state->capacity = capacity;
    }
    memcpy(output->bytes + output->count, source, count);
    output->count += count;
}

static void png_flush_nothing(png_structp png) { (void)png; }

int craster_encode_png(
    const uint8_t *pixels, uint32_t width, uint32_t height, uint32_t channels, int level, craster_bytes *result) {
    memset(result, 0, sizeof *result);
    if (channels != 1 && channels != 3) {
        snprintf(result->message, sizeof result->message, "%u channels; a PNG is made from 1 or 3", channels);
        return 0;
    }
    png_state state = {.message = result->message, .output = result, .capacity = 1 << 16};
    result->bytes = malloc(state.capacity);
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &state, png_fail, png_ignore);
    if (png == NULL || result->bytes == NULL) {
        png_destroy_write_struct(&png, NULL);
        free(result->bytes);
        result->bytes = NULL;
        snprintf(result->message, sizeof result->message, "not enough memory");
        return 0;
    }
    png_infop info = NULL;
    if (setjmp(state.escape) != 0) {
        png_destroy_write_struct(&png, &info);
        free(result->bytes);
        result->bytes = NULL;
        result->count = 0;
        return 0;
    }
    info = png_create_info_struct(png);
    if (info == NULL) png_error(png, "not enough memory");
    png_set_write_fn(png, &state, png_give, png_flush_nothing);
    png_set_compression_level(png, level);
    png_set_IHDR(
        png, info, width, height, 8, channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
        PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    for (uint32_t y = 0; y < height; y += 1) {
        png_write_row(png, (png_const_bytep)(pixels + (size_t)y * width * channels));
    }
    png_write_end(png, NULL);
    png_destroy_write_struct(&png, &info);
    return 1;
}

// MARK: - JPEG

typedef struct {
    struct jpeg_error_mgr base;
    jmp_buf escape;
    char *message;
    int is_damaged;
} jpeg_state;

static void jpeg_fail(j_common_ptr codec) {
    jpeg_state *state = (jpeg_state *)codec->err;
    char text[JMSG_LENGTH_MAX];
    codec->err->format_message(codec, text);
    snprintf(state->message, 240, "%s", text);
    longjmp(state->escape, 1);
}

// Level -1 is a warning. libjpeg goes on with grey pixels where data is missing; we want to know.
static void jpeg_note(j_common_ptr codec, int level) {
    jpeg_state *state = (jpeg_state *)codec->err;
    if (level >= 0) return;
    const int code = codec->err->msg_code;
    if (code == JWRN_EXTRANEOUS_DATA || code == JWRN_ADOBE_XFORM || code == JWRN_JFIF_MAJOR) return;
    if (!state->is_damaged) {
        char text[JMSG_LENGTH_MAX];
        codec->err->format_message(codec, text);
        snprintf(state->message, 240, "%s", text);
    }
    state->is_damaged = 1;
}

int craster_decode_jpeg(const uint8_t *bytes, size_t count, uint64_t max_pixels, craster_image *image) {
    memset(image, 0, sizeof *image);
    jpeg_state state = {.message = image->message};
    struct jpeg_decompress_struct codec;
    memset(&codec, 0, sizeof codec);
    codec.err = jpeg_std_error(&state.base);
    state.base.error_exit = jpeg_fail;
    state.base.emit_message = jpeg_note;
    uint8_t *volatile pixels = NULL;
    if (setjmp(state.escape) != 0) {
        jpeg_destroy_decompress(&codec);
        free(pixels);
        return 0;
    }
    jpeg_create_decompress(&codec);
    jpeg_mem_src(&codec, bytes, count);
    jpeg_read_header(&codec, TRUE);
    if ((uint64_t)codec.image_width * codec.image_height > max_pixels) {
        snprintf(
            image->message, sizeof image->message, "%u×%u pixels are more than are accepted", codec.image_width,
            codec.image_height);
        longjmp(state.escape, 1);
    }
    const int is_rgb = codec.jpeg_color_space == JCS_RGB;
    if (!is_rgb && codec.jpeg_color_space != JCS_GRAYSCALE && codec.jpeg_color_space != JCS_YCbCr) {
        snprintf(image->message, sizeof image->message, "its colour space is neither grey nor RGB (CMYK?)");
        longjmp(state.escape, 1);
    }
    codec.out_color_space = is_rgb ? JCS_RGB : JCS_GRAYSCALE;
    codec.dct_method = JDCT_ISLOW;
    // A progressive file may hold any number of scans, each as dear as a whole image.
    if (jpeg_has_multiple_scans(&codec)) {
        codec.buffered_image = TRUE;
        jpeg_start_decompress(&codec);
        while (!jpeg_input_complete(&codec)) {
            if (codec.input_scan_number > 100) {
                snprintf(image->message, sizeof image->message, "it has more than 100 scans");
                longjmp(state.escape, 1);
            }
            jpeg_consume_input(&codec);
        }
        jpeg_start_output(&codec, codec.input_scan_number);
    } else {
        jpeg_start_decompress(&codec);
    }
    const uint32_t width = codec.output_width;
    const uint32_t height = codec.output_height;
    const uint32_t channels = (uint32_t)codec.output_components;
    pixels = calloc(height, (size_t)width * channels);
    if (pixels == NULL) {
        snprintf(image->message, sizeof image->message, "not enough memory");
        longjmp(state.escape, 1);
    }
    while (codec.output_scanline < height) {
        JSAMPROW row = pixels + (size_t)codec.output_scanline * width * channels;
        jpeg_read_scanlines(&codec, &row, 1);
    }
    if (codec.buffered_image) jpeg_finish_output(&codec);
    jpeg_finish_decompress(&codec);
    image->is_damaged = state.is_damaged;
    image->source_channels = (uint32_t)codec.num_components;
    if (state.is_damaged) longjmp(state.escape, 1);
    jpeg_destroy_decompress(&codec);
    if (channels == 3) {
        const size_t total = (size_t)width * height;
        for (size_t index = 0; index < total; index += 1) pixels[index] = luma(pixels + 3 * index);
    }
    image->pixels = pixels;
    image->width = width;
    image->height = height;
    image->channels = 1;
    return 1;
}

int craster_encode_jpeg(
    const uint8_t *pixels, uint32_t width, uint32_t height, uint32_t channels, int quality, craster_bytes *result) {
    memset(result, 0, sizeof *result);
    if (channels != 1 && channels != 3) {
        snprintf(result->message, sizeof result->message, "%u channels; a JPEG is made from 1 or 3", channels);
        return 0;
    }
    jpeg_state state = {.message = result->message};
    struct jpeg_compress_struct codec;
    memset(&codec, 0, sizeof codec);
    codec.err = jpeg_std_error(&state.base);
    state.base.error_exit = jpeg_fail;
    unsigned char *bytes = NULL;
    unsigned long size = 0;
    if (setjmp(state.escape) != 0) {
        jpeg_destroy_compress(&codec);
        free(bytes);
        return 0;
    }
    jpeg_create_compress(&codec);
    jpeg_mem_dest(&codec, &bytes, &size);
    codec.image_width = width;
    codec.image_height = height;
    codec.input_components = (int)channels;
    codec.in_color_space = channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_set_defaults(&codec);
    jpeg_set_quality(&codec, quality, TRUE);
    codec.dct_method = JDCT_ISLOW;
    jpeg_start_compress(&codec, TRUE);
    while (codec.next_scanline < height) {
        JSAMPROW row = (JSAMPROW)(pixels + (size_t)codec.next_scanline * width * channels);
        jpeg_write_scanlines(&codec, &row, 1);
    }
    jpeg_finish_compress(&codec);
    jpeg_destroy_compress(&codec);
    result->bytes = bytes;
    result->count = size;
    return 1;
}
