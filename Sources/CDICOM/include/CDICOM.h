// DCMTK behind C: reads the header and the raw stored pixels of single-frame images, and writes images.
// What the pixels mean (rescale, window, inversion) is the caller's business. No function lets an exception out.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
    CDICOM_OK = 0,
    /// The file could not be opened; errno-like text in the message.
    CDICOM_CANNOT_OPEN,
    /// The bytes are not DICOM.
    CDICOM_NOT_DICOM,
    /// DICOM, but cut off or inconsistent.
    CDICOM_DAMAGED,
    /// DICOM without pixel data.
    CDICOM_NO_PIXELS,
    /// DICOM that is no picture, such as a report or a presentation state; the message says what.
    CDICOM_OTHER_OBJECT,
    /// A transfer syntax that DCMTK has no decoder for.
    CDICOM_UNSUPPORTED_SYNTAX,
    /// The program asked for something impossible.
    CDICOM_MISUSE,
} cdicom_status;

/// An open file.
typedef struct cdicom_file cdicom_file;

/// A look-up table of the header; `values` belongs to the file and is null where there is no table.
typedef struct {
    const uint16_t *values;
    uint32_t count;
    /// The entries that its descriptor claims; not below `count`.
    uint32_t claimed;
    /// The stored value that the first entry is for.
    int32_t first;
    /// The bits of an entry.
    uint32_t bits;
    /// Whether the header has a table that cannot be used.
    int32_t is_damaged;
} cdicom_table;

typedef struct {
    uint32_t rows;
    uint32_t columns;
    uint32_t samples_per_pixel;
    uint32_t bits_allocated;
    uint32_t bits_stored;
    uint32_t high_bit;
    /// 0 for plain, 1 for signed values.
    uint32_t pixel_representation;
    /// The name of the first of these that is there and cannot be read whole, or null.
    const char *unreadable;
    /// Whether overlays stand in the bits above the pixels'.
    int32_t has_overlays_in_pixels;
    cdicom_table modality_table;
    cdicom_table voi_table;
    /// Whether the pixel data is compressed.
    int32_t is_encapsulated;
    /// The bytes of pixel data that is not compressed.
    uint64_t native_bytes;
    /// Whether the bytes behind those that the image takes are all the same; 0 where there are none.
    int32_t is_excess_blank;
} cdicom_header;

typedef enum {
    CDICOM_TEXT_SOP_INSTANCE_UID,
    CDICOM_TEXT_PATIENT_ID,
    CDICOM_TEXT_PATIENT_SEX,
    CDICOM_TEXT_PATIENT_AGE,
    CDICOM_TEXT_VIEW_POSITION,
    CDICOM_TEXT_MODALITY,
    CDICOM_TEXT_PIXEL_SPACING,
    CDICOM_TEXT_IMAGER_PIXEL_SPACING,
    CDICOM_TEXT_PATIENT_ORIENTATION,
    CDICOM_TEXT_PIXEL_ASPECT_RATIO,
    CDICOM_TEXT_PHOTOMETRIC,
    CDICOM_TEXT_PRESENTATION_SHAPE,
    CDICOM_TEXT_VOI_FUNCTION,
    CDICOM_TEXT_WINDOW_CENTER,
    CDICOM_TEXT_WINDOW_WIDTH,
    CDICOM_TEXT_RESCALE_SLOPE,
    CDICOM_TEXT_RESCALE_INTERCEPT,
    CDICOM_TEXT_FRAMES,
    CDICOM_TEXT_PADDING_VALUE,
    CDICOM_TEXT_PADDING_LIMIT,
    /// What was assumed for the file to be read at all.
    CDICOM_TEXT_NOTE,
    CDICOM_TEXT_TRANSFER_SYNTAX_UID,
    CDICOM_TEXT_TRANSFER_SYNTAX_NAME,
} cdicom_text_field;

/// Registers the decoders and encoders, once for the process, and turns DCMTK's log off. Any thread.
/// Returns 0 where DCMTK's data dictionary is missing from this machine.
int cdicom_prepare(void);

/// Reads a file but for large values. On failure `*file` is null and `message` says why.
cdicom_status cdicom_open(const char *path, cdicom_file **file, char *message, size_t message_capacity);

/// The UID of the image that the file's meta header names, for files that cannot be read further; returns 0 where it
/// names none.
int cdicom_instance(const char *path, char *uid, size_t capacity);

/// What the header says; absent numbers are 0, absent samples 1.
void cdicom_describe(cdicom_file *file, cdicom_header *header);

/// A text of the header, as its device wrote it: empty where absent, null where it is there and is no text. Of lists
/// (windows, spacings) all values, with backslashes between. It belongs to the file.
const char *cdicom_text(cdicom_file *file, cdicom_text_field field);

/// Decodes the first frame into `pixels`: stored values as they are in the file, of 1 or 2 bytes each in this machine's
/// order. `bytes_per_value` is what the data has, which a compressed stream says itself; `capacity` is even and at least
/// rows · columns · samples · `bytes_per_value`.
cdicom_status cdicom_decode(
    cdicom_file *file, uint32_t bytes_per_value, void *pixels, uint32_t capacity, char *message,
    size_t message_capacity);

/// The compressed bytes of a single-frame file, its fragments joined; they belong to the file. Fails where the pixel
/// data is not compressed.
cdicom_status cdicom_fragments(cdicom_file *file, const uint8_t **bytes, size_t *count);

void cdicom_close(cdicom_file *file);

/// An image to write.
typedef struct {
    const void *pixels;
    uint32_t rows;
    uint32_t columns;
    uint32_t samples_per_pixel;
    /// 8 or 16.
    uint32_t bits_allocated;
    uint32_t bits_stored;
    int32_t is_signed;
    uint32_t frames;
    /// MONOCHROME1, MONOCHROME2 or RGB.
    const char *photometric;
    const char *transfer_syntax_uid;
    /// The quality of lossy JPEG, 1 to 100.
    uint32_t jpeg_quality;
    /// Further elements, as "PatientID=…" or "VOILUTSequence[0].LUTDescriptor=…": DCMTK's path notation.
    const char *const *elements;
    size_t element_count;
} cdicom_source;

/// Writes a file. The same source gives the same bytes with the same version of DCMTK.
cdicom_status cdicom_write(const char *path, const cdicom_source *source, char *message, size_t message_capacity);

/// Confines this process to decoding: no descriptors but 0, 1 and 2, no core dumps, no file growth, at most
/// `memory_bytes` of address space, no new privileges; and has the kernel kill it when the thread that started it ends. Returns 0 or an errno.
int cdicom_confine(uint64_t memory_bytes);

/// Limits the processor time of this process to what it has used so far plus `seconds`. Returns 0 or an errno.
int cdicom_limit_time(uint32_t seconds);

#ifdef __cplusplus
}
#endif
