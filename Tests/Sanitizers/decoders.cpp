// Decodes images of every kind that the program reads, whole, in fragments and damaged, and looks at every byte that
// comes out: under AddressSanitizer what is read or written out of bounds ends it, under valgrind what depends on memory
// that was never written. `.ci/sanitize` builds and runs it.
//
//     decoders FOLDER ROUNDS [SEED]
//
// FOLDER takes the images; ROUNDS is the number of damaged variants of each.

#include "CDICOM.h"
#include "CHash.h"
#include "CRaster.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

using Bytes = std::vector<uint8_t>;

/// SplitMix64.
struct Random {
    uint64_t state;
    uint64_t next() {
        uint64_t value = state += 0x9E3779B97F4A7C15;
        value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9;
        value = (value ^ (value >> 27)) * 0x94D049BB133111EB;
        return value ^ (value >> 31);
    }
    size_t below(size_t limit) { return limit == 0 ? 0 : next() % limit; }
};

unsigned long accepted = 0, refused = 0, seen = 0;

[[noreturn]] void fail(const std::string &what) {
    fprintf(stderr, "decoders: %s\n", what.c_str());
    exit(1);
}

/// Looks at every byte: a branch on one that was never written is what valgrind reports.
void look(const void *bytes, size_t count) {
    const uint8_t *place = static_cast<const uint8_t *>(bytes);
    for (size_t index = 0; index < count; index += 1) {
        if (place[index] >= 128) seen += 1;
    }
}

Bytes read(const std::string &path) {
    FILE *file = fopen(path.c_str(), "rb");
    if (file == nullptr) fail("cannot read " + path);
    Bytes bytes(1 << 22);
    bytes.resize(fread(bytes.data(), 1, bytes.size(), file));
    fclose(file);
    return bytes;
}

void write(const std::string &path, const Bytes &bytes) {
    FILE *file = fopen(path.c_str(), "wb");
    if (file == nullptr || fwrite(bytes.data(), 1, bytes.size(), file) != bytes.size()) fail("cannot write " + path);
    fclose(file);
}

// MARK: Decoding, as the program does

/// The pixels, or nothing where the file is refused.
Bytes decode_dicom(const std::string &path) {
    char message[256] = "";
    char uid[80];
    if (cdicom_instance(path.c_str(), uid, sizeof uid)) look(uid, strlen(uid));
    cdicom_file *file = nullptr;
    if (cdicom_open(path.c_str(), &file, message, sizeof message) != CDICOM_OK) {
        look(message, strlen(message));
        refused += 1;
        return {};
    }
    cdicom_header header;
    cdicom_describe(file, &header);
    look(&header.rows, sizeof header.rows);
    look(&header.has_window, sizeof header.has_window);
    for (const cdicom_table *table : {&header.modality_table, &header.voi_table}) {
        if (table->values != nullptr) look(table->values, table->count * sizeof *table->values);
    }
    for (int field = CDICOM_TEXT_SOP_INSTANCE_UID; field <= CDICOM_TEXT_TRANSFER_SYNTAX_NAME; field += 1) {
        const char *text = cdicom_text(file, static_cast<cdicom_text_field>(field));
        look(text, strlen(text));
    }
    const uint8_t *fragments = nullptr;
    size_t count = 0;
    if (cdicom_fragments(file, &fragments, &count) == CDICOM_OK) look(fragments, count);
    const uint64_t values = static_cast<uint64_t>(header.rows) * header.columns * header.samples_per_pixel;
    const uint64_t bytes = values * (header.bits_allocated > 8 ? 2 : 1);
    Bytes pixels;
    // The caller refuses what is larger or of another kind before it asks for pixels.
    if (bytes > 0 && bytes <= 1 << 20 && header.bits_allocated <= 16 && header.samples_per_pixel <= 3) {
        // From malloc and not cleared, of the very size: what is not written, or written behind it, is found.
        const size_t capacity = (bytes + 1) / 2 * 2;
        uint8_t *room = static_cast<uint8_t *>(malloc(capacity));
        if (cdicom_decode(file, room, static_cast<uint32_t>(capacity), message, sizeof message) == CDICOM_OK) {
            look(room, bytes);
            pixels.assign(room, room + bytes);
        } else {
            look(message, strlen(message));
        }
        free(room);
    }
    cdicom_close(file);
    (pixels.empty() ? refused : accepted) += 1;
    return pixels;
}

void decode_raster(const Bytes &bytes, bool is_png) {
    // A copy of the very size: what is read behind it is found.
    uint8_t *room = static_cast<uint8_t *>(malloc(bytes.size() == 0 ? 1 : bytes.size()));
    if (!bytes.empty()) memcpy(room, bytes.data(), bytes.size());
    craster_image image;
    const int done = (is_png ? craster_decode_png : craster_decode_jpeg)(room, bytes.size(), 1 << 20, &image);
    if (done) {
        look(image.pixels, static_cast<size_t>(image.width) * image.height * image.channels);
        craster_free(image.pixels);
    } else {
        look(image.message, strlen(image.message));
    }
    (done ? accepted : refused) += 1;
    free(room);
}

// MARK: Damage

Bytes damaged(const Bytes &whole, Random &random) {
    Bytes bytes = whole;
    const size_t changes = 1 + random.below(4);
    for (size_t change = 0; change < changes && !bytes.empty(); change += 1) {
        // Headers are where lengths stand: half of the changes go there.
        const size_t place = random.below(random.below(2) ? bytes.size() : std::min<size_t>(bytes.size(), 1024));
        const size_t length = 1 + random.below(std::min<size_t>(bytes.size() - place, 64));
        switch (random.below(6)) {
        case 0: bytes[place] ^= static_cast<uint8_t>(1 << random.below(8)); break;
        case 1: bytes[place] = static_cast<uint8_t>(random.next()); break;
        case 2: bytes.resize(place); break;
        case 3: bytes.erase(bytes.begin() + place, bytes.begin() + place + length); break;
        case 4: std::fill(bytes.begin() + place, bytes.begin() + place + length, random.below(2) ? 0xFF : 0); break;
        default: {
            const Bytes part(bytes.begin() + place, bytes.begin() + place + length);
            bytes.insert(bytes.begin() + place, part.begin(), part.end());
        }
        }
    }
    return bytes;
}

// MARK: Images

const uint32_t side = 64;

std::vector<uint16_t> ramp(uint32_t bits) {
    std::vector<uint16_t> values(side * side);
    for (uint32_t index = 0; index < values.size(); index += 1) {
        // Neighbours that differ and some that do not: runs and literals.
        values[index] = static_cast<uint16_t>((index / 3 * 37 + index % side / 8) & ((1u << bits) - 1));
    }
    return values;
}

/// The pixel data of an encapsulated file, of one fragment, cut into fragments of `length` bytes.
Bytes in_fragments(const Bytes &whole, size_t length) {
    static const uint8_t pixel_data[] = {0xE0, 0x7F, 0x10, 0x00, 'O', 'B', 0, 0, 0xFF, 0xFF, 0xFF, 0xFF};
    const auto found = std::search(whole.begin(), whole.end(), std::begin(pixel_data), std::end(pixel_data));
    if (found == whole.end()) fail("an encapsulated file has no encapsulated pixels");
    size_t place = static_cast<size_t>(found - whole.begin()) + sizeof pixel_data;
    const auto number = [&](size_t at) {
        return static_cast<size_t>(whole[at]) | static_cast<size_t>(whole[at + 1]) << 8 |
            static_cast<size_t>(whole[at + 2]) << 16 | static_cast<size_t>(whole[at + 3]) << 24;
    };
    Bytes result(whole.begin(), whole.begin() + place);
    const auto item = [&](const uint8_t *bytes, size_t count) {
        const uint8_t head[] = {
            0xFE, 0xFF, 0x00, 0xE0, static_cast<uint8_t>(count), static_cast<uint8_t>(count >> 8),
            static_cast<uint8_t>(count >> 16), static_cast<uint8_t>(count >> 24)};
        result.insert(result.end(), std::begin(head), std::end(head));
        result.insert(result.end(), bytes, bytes + count);
    };
    place += 8 + number(place + 4);
    item(nullptr, 0);
    const size_t count = number(place + 4);
    const uint8_t *fragment = whole.data() + place + 8;
    for (size_t start = 0; start < count; start += length) item(fragment + start, std::min(length, count - start));
    const uint8_t end[] = {0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0};
    result.insert(result.end(), std::begin(end), std::end(end));
    return result;
}

struct Syntax {
    const char *uid;
    const char *name;
    uint32_t bits;
    bool is_encapsulated;
    bool is_lossless;
};

const Syntax syntaxes[] = {
    {"1.2.840.10008.1.2", "implicit", 12, false, true},
    {"1.2.840.10008.1.2.1", "explicit", 12, false, true},
    {"1.2.840.10008.1.2.2", "bigendian", 12, false, true},
    {"1.2.840.10008.1.2.1.99", "deflated", 12, false, true},
    {"1.2.840.10008.1.2.5", "rle", 12, true, true},
    {"1.2.840.10008.1.2.5", "rle8", 8, true, true},
    {"1.2.840.10008.1.2.4.50", "jpeg", 8, true, false},
    {"1.2.840.10008.1.2.4.51", "jpeg12", 12, true, false},
    {"1.2.840.10008.1.2.4.57", "lossless", 12, true, true},
    {"1.2.840.10008.1.2.4.70", "lossless1", 12, true, true},
    {"1.2.840.10008.1.2.4.80", "jpegls", 12, true, true},
};

std::vector<std::string> make_dicoms(const std::string &folder) {
    std::vector<std::string> paths;
    for (const Syntax &syntax : syntaxes) {
        const std::vector<uint16_t> wide = ramp(syntax.bits);
        const Bytes narrow(wide.begin(), wide.end());
        const char *elements[] = {
            "PatientID=1", "SOPInstanceUID=1.2.3", "WindowCenter=100", "WindowWidth=200",
            "VOILUTSequence[0].LUTDescriptor=4\\0\\16", "VOILUTSequence[0].LUTData=0\\1\\2\\3"};
        cdicom_source source = {};
        source.pixels = syntax.bits == 8 ? static_cast<const void *>(narrow.data()) : wide.data();
        source.rows = source.columns = side;
        source.samples_per_pixel = source.frames = 1;
        source.bits_allocated = syntax.bits == 8 ? 8 : 16;
        source.bits_stored = syntax.bits;
        source.photometric = "MONOCHROME2";
        source.transfer_syntax_uid = syntax.uid;
        source.jpeg_quality = 90;
        source.elements = elements;
        source.element_count = 4;
        char message[256] = "";
        const std::string path = folder + "/" + syntax.name + ".dcm";
        if (cdicom_write(path.c_str(), &source, message, sizeof message) != CDICOM_OK) fail(path + ": " + message);
        paths.push_back(path);
        const Bytes pixels = decode_dicom(path);
        const uint8_t *expected = static_cast<const uint8_t *>(source.pixels);
        const size_t count = wide.size() * (syntax.bits == 8 ? 1 : 2);
        if (pixels.size() != count) fail(path + " cannot be decoded");
        if (syntax.is_lossless && memcmp(pixels.data(), expected, count) != 0) fail(path + " has other pixels");
        if (!syntax.is_encapsulated) continue;
        for (const size_t length : {64, 1024, 2048}) {
            const std::string cut = folder + "/" + syntax.name + "-" + std::to_string(length) + ".dcm";
            write(cut, in_fragments(read(path), length));
            paths.push_back(cut);
            // The same pixels, however many fragments they are in. JPEG in small ones may be refused.
            const Bytes joined = decode_dicom(cut);
            if (joined.empty() && strncmp(syntax.name, "rle", 3) != 0) continue;
            if (joined != pixels) fail(cut + " is refused or has other pixels than in one fragment");
        }
    }
    return paths;
}

void hash_everything() {
    Random random{1};
    for (size_t length = 0; length < 2200; length += length < 300 ? 1 : 37) {
        uint8_t *room = static_cast<uint8_t *>(malloc(length == 0 ? 1 : length));
        for (size_t index = 0; index < length; index += 1) room[index] = static_cast<uint8_t>(random.next());
        const uint64_t once = hash_xxh3(room, length);
        hash_stream *stream = hash_stream_create();
        hash_stream_reset(stream);
        const size_t first = random.below(length + 1);
        hash_stream_update(stream, room, first);
        hash_stream_update(stream, room + first, length - first);
        if (hash_stream_digest(stream) != once) fail("a hash depends on how it is fed");
        hash_stream_free(stream);
        free(room);
    }
}

}  // namespace

int main(int count, char **arguments) {
    if (count < 3) fail("takes FOLDER ROUNDS [SEED]");
    const std::string folder = arguments[1];
    const long rounds = strtol(arguments[2], nullptr, 10);
    Random random{count > 3 ? strtoull(arguments[3], nullptr, 10) : 1};
    if (!cdicom_prepare()) fail("DCMTK's dictionary is missing");
    hash_everything();
    const std::string scratch = folder + "/damaged";
    for (const std::string &path : make_dicoms(folder)) {
        const Bytes whole = read(path);
        for (long round = 0; round < rounds; round += 1) {
            write(scratch, damaged(whole, random));
            decode_dicom(scratch);
        }
    }
    for (const uint32_t channels : {1u, 3u}) {
        const std::vector<uint16_t> wide = ramp(8);
        Bytes pixels(side * side * channels);
        for (size_t index = 0; index < pixels.size(); index += 1) {
            pixels[index] = static_cast<uint8_t>(wide[index % wide.size()]);
        }
        for (const bool is_png : {true, false}) {
            craster_bytes encoded;
            const int done = is_png ? craster_encode_png(pixels.data(), side, side, channels, 6, &encoded)
                                    : craster_encode_jpeg(pixels.data(), side, side, channels, 90, &encoded);
            if (!done) fail(encoded.message);
            look(encoded.bytes, encoded.count);
            const Bytes whole(encoded.bytes, encoded.bytes + encoded.count);
            craster_free(encoded.bytes);
            decode_raster(whole, is_png);
            // Each is given to the other's decoder too.
            for (long round = 0; round < 4 * rounds; round += 1) {
                decode_raster(damaged(whole, random), random.below(16) == 0 ? !is_png : is_png);
            }
        }
    }
    printf("%lu images were decoded, %lu refused; hashes by %s (%lu)\n", accepted, refused, hash_variant(), seen);
    return 0;
}
