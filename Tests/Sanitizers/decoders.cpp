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

#include <png.h>

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

/// The bits of a value in a JPEG or JPEG-LS stream; 0 where it has no frame header.
uint32_t precision(const uint8_t *bytes, size_t count) {
    if (count < 4 || bytes[0] != 0xFF || bytes[1] != 0xD8) return 0;
    for (size_t place = 2; place + 5 <= count && bytes[place] == 0xFF;) {
        const uint8_t marker = bytes[place + 1];
        if (marker == 0xDA) return 0;
        const bool is_frame = (marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC) ||
            marker == 0xF7;
        if (is_frame) return bytes[place + 4];
        place += 2 + static_cast<size_t>(bytes[place + 2] << 8 | bytes[place + 3]);
    }
    return 0;
}

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
    look(&header.pixel_representation, sizeof header.pixel_representation);
    look(&header.native_bytes, sizeof header.native_bytes);
    for (const cdicom_table *table : {&header.modality_table, &header.voi_table}) {
        if (table->values != nullptr) look(table->values, table->count * sizeof *table->values);
    }
    for (int field = CDICOM_TEXT_SOP_INSTANCE_UID; field <= CDICOM_TEXT_TRANSFER_SYNTAX_NAME; field += 1) {
        const char *text = cdicom_text(file, static_cast<cdicom_text_field>(field));
        if (text != nullptr) look(text, strlen(text));
    }
    const uint8_t *fragments = nullptr;
    size_t count = 0;
    if (cdicom_fragments(file, &fragments, &count) == CDICOM_OK) look(fragments, count);
    const uint64_t values = static_cast<uint64_t>(header.rows) * header.columns * header.samples_per_pixel;
    // A compressed stream says itself how deep it is; the program asks for what that needs.
    const uint32_t depth = header.is_encapsulated ? precision(fragments, count) : 0;
    const uint32_t bytes_per_value = depth == 0 ? (header.bits_allocated > 8 ? 2 : 1) : (depth > 8 ? 2 : 1);
    const uint64_t bytes = values * bytes_per_value;
    Bytes pixels;
    // The caller refuses what is larger or of another kind before it asks for pixels.
    if (bytes > 0 && bytes <= 1 << 20 && header.bits_allocated <= 16 && header.samples_per_pixel <= 3) {
        // From malloc and not cleared, of the very size: what is not written, or written behind it, is found.
        const size_t capacity = (bytes + 1) / 2 * 2;
        uint8_t *room = static_cast<uint8_t *>(malloc(capacity));
        if (cdicom_decode(file, bytes_per_value, room, static_cast<uint32_t>(capacity), message, sizeof message) ==
            CDICOM_OK) {
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
        const size_t values = static_cast<size_t>(image.width) * image.height;
        if (image.pixels != nullptr) look(image.pixels, values);
        if (image.words != nullptr) look(image.words, values * sizeof *image.words);
        craster_free(image.pixels);
        craster_free(image.words);
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

/// A PNG of 16 bits, grey or RGB.
Bytes png_of_16_bits(uint32_t channels) {
    const std::vector<uint16_t> grey = ramp(16);
    std::vector<uint16_t> values(grey.size() * channels);
    for (size_t index = 0; index < values.size(); index += 1) values[index] = grey[index / channels];
    png_image image = {};
    image.version = PNG_IMAGE_VERSION;
    image.width = image.height = side;
    image.format = channels == 1 ? PNG_FORMAT_LINEAR_Y : PNG_FORMAT_LINEAR_RGB;
    Bytes bytes(1 << 18);
    png_alloc_size_t length = bytes.size();
    if (!png_image_write_to_memory(&image, bytes.data(), &length, 0, values.data(), 0, nullptr)) fail(image.message);
    bytes.resize(length);
    return bytes;
}

/// A short of the header, explicit little-endian, set to another value.
Bytes with_short(Bytes bytes, uint16_t group, uint16_t element, uint16_t value) {
    const uint8_t tag[] = {
        static_cast<uint8_t>(group), static_cast<uint8_t>(group >> 8), static_cast<uint8_t>(element),
        static_cast<uint8_t>(element >> 8), 'U', 'S', 2, 0};
    const auto found = std::search(bytes.begin(), bytes.end(), std::begin(tag), std::end(tag));
    if (found == bytes.end()) fail("a file lacks an element");
    found[8] = static_cast<uint8_t>(value);
    found[9] = static_cast<uint8_t>(value >> 8);
    return bytes;
}

/// Without the element of its meta header that names the transfer syntax.
Bytes without_syntax(Bytes bytes) {
    const uint8_t tag[] = {2, 0, 0x10, 0, 'U', 'I'};
    const auto found = std::search(bytes.begin(), bytes.end(), std::begin(tag), std::end(tag));
    if (found == bytes.end()) fail("a file names no transfer syntax");
    const uint8_t length = found[6];
    bytes.erase(found, found + 8 + length);
    bytes[140] = static_cast<uint8_t>(bytes[140] - 8 - length);
    return bytes;
}

/// Files whose header does not fit their data, as devices and converters leave them (what lies about its size, the program
/// refuses before it decodes): all are decoded or refused, and give
/// the same each time.
std::vector<std::string> make_odd(const std::string &folder, const std::vector<std::string> &sound) {
    std::vector<std::string> paths;
    const auto keep = [&](const std::string &of, const char *kind, const Bytes &bytes) {
        const std::string name = of.substr(of.rfind('/') + 1);
        const std::string path = folder + "/" + kind + "-" + name;
        write(path, bytes);
        const Bytes once = decode_dicom(path);
        if (decode_dicom(path) != once) fail(path + " gives other pixels at each time");
        paths.push_back(path);
    };
    for (const std::string &path : sound) {
        const Bytes whole = read(path);
        const std::string name = path.substr(path.rfind('/') + 1);
        const bool is_explicit = name.find("implicit") != 0 && name.find("bigendian") != 0 && name.find("deflated") != 0;
        keep(path, "nameless", without_syntax(whole));
        if (!is_explicit) continue;
        keep(path, "allocated8", with_short(whole, 0x28, 0x100, 8));
        keep(path, "allocated16", with_short(whole, 0x28, 0x100, 16));
        keep(path, "stored5", with_short(with_short(whole, 0x28, 0x101, 5), 0x28, 0x102, 4));
        keep(path, "signed", with_short(whole, 0x28, 0x103, 1));
        Bytes longer = whole;
        longer.insert(longer.end(), 512, 0xFE);
        keep(path, "longer", longer);
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
    std::vector<std::string> paths = make_dicoms(folder);
    const std::vector<std::string> odd = make_odd(folder, paths);
    paths.insert(paths.end(), odd.begin(), odd.end());
    for (const std::string &path : paths) {
        const Bytes whole = read(path);
        for (long round = 0; round < rounds; round += 1) {
            write(scratch, damaged(whole, random));
            decode_dicom(scratch);
        }
    }
    for (const uint32_t channels : {1u, 3u}) {
        const Bytes whole = png_of_16_bits(channels);
        decode_raster(whole, true);
        for (long round = 0; round < 4 * rounds; round += 1) decode_raster(damaged(whole, random), true);
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
