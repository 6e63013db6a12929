#include "CDICOM.h"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include <dcmtk/config/osconfig.h>

#include <dcmtk/dcmdata/dccodec.h>
#include <dcmtk/dcmdata/dcdict.h>
#include <dcmtk/dcmdata/dcfilefo.h>
#include <dcmtk/dcmdata/dcistrmf.h>
#include <dcmtk/dcmdata/dcmetinf.h>
#include <dcmtk/dcmdata/dcdeftag.h>
#include <dcmtk/dcmdata/dcpath.h>
#include <dcmtk/dcmdata/dcpixel.h>
#include <dcmtk/dcmdata/dcpixseq.h>
#include <dcmtk/dcmdata/dcpxitem.h>
#include <dcmtk/dcmdata/dcrledrg.h>
#include <dcmtk/dcmdata/dcrleerg.h>
#include <dcmtk/dcmdata/dcuid.h>
#include <dcmtk/dcmdata/dcvr.h>
#include <dcmtk/dcmjpeg/djdecode.h>
#include <dcmtk/dcmjpeg/djencode.h>
#include <dcmtk/dcmjpeg/djrplol.h>
#include <dcmtk/dcmjpeg/djrploss.h>
#include <dcmtk/dcmjpls/djdecode.h>
#include <dcmtk/dcmjpls/djencode.h>
#include <dcmtk/dcmjpls/djrparam.h>
#include <dcmtk/oflog/oflog.h>

struct cdicom_file {
    DcmFileFormat format;
    std::vector<uint16_t> modality_values;
    std::vector<uint16_t> voi_values;
    std::vector<uint8_t> fragments;
    OFString text;
    /// What was assumed for the file to be read at all; empty where nothing was.
    std::string note;
};

namespace {

void say(char *message, size_t capacity, const std::string &text) {
    if (capacity > 0) snprintf(message, capacity, "%s", text.c_str());
}

/// Runs `body` and turns what it throws into a status.
template <typename Body>
cdicom_status guarded(char *message, size_t capacity, Body body) {
    try {
        return body();
    } catch (const std::bad_alloc &) {
        say(message, capacity, "it asks for more memory than is allowed");
    } catch (const std::exception &error) {
        say(message, capacity, error.what());
    } catch (...) {
        say(message, capacity, "DCMTK threw an unknown exception");
    }
    return CDICOM_DAMAGED;
}

/// A short of the header; `absent` where the element is not there or has no value.
///
/// One that is there and cannot be read whole is told in `unreadable`: what a default makes of it is another image.
uint32_t number(
    DcmItem &item, const DcmTagKey &tag, uint32_t absent, const char *name = "", const char **unreadable = nullptr) {
    DcmElement *element = nullptr;
    if (item.findAndGetElement(tag, element).bad() || element == nullptr || element->getLength() == 0) return absent;
    Uint16 value = 0;
    if (element->getUint16(value, 0).good()) return value;
    // Other representations, such as UL or IS, are read where their text is a number of 16 bits.
    OFString text;
    if (element->getLength() <= 16 && element->ident() != EVR_OB && element->ident() != EVR_OW &&
        element->ident() != EVR_UN && element->getOFString(text, 0).good()) {
        uint32_t whole = 0;
        const bool is_number = !text.empty() && text.size() <= 5 &&
            std::all_of(text.begin(), text.end(), [](char digit) { return digit >= '0' && digit <= '9'; });
        if (is_number) {
            for (const char digit : text) whole = whole * 10 + static_cast<uint32_t>(digit - '0');
            if (whole <= 0xFFFF) return whole;
        }
    }
    if (unreadable != nullptr && *unreadable == nullptr) *unreadable = name;
    return absent;
}

/// Reads the first item of a sequence of look-up tables.
///
/// A table that is there and cannot be used is told: without it the image would have other greys than its maker meant.
cdicom_table table(DcmDataset &dataset, const DcmTagKey &sequence, std::vector<uint16_t> &values) {
    cdicom_table result = {};
    DcmItem *item = nullptr;
    if (dataset.findAndGetSequenceItem(sequence, item, 0).bad() || item == nullptr) return result;
    DcmElement *descriptor = nullptr;
    DcmElement *data = nullptr;
    // An item whose elements have no values is no table.
    const bool is_empty = !item->tagExistsWithValue(DCM_LUTDescriptor) && !item->tagExistsWithValue(DCM_LUTData);
    if (is_empty) return result;
    result.is_damaged = 1;
    if (item->findAndGetElement(DCM_LUTDescriptor, descriptor).bad() || descriptor == nullptr) return result;
    if (item->findAndGetElement(DCM_LUTData, data).bad() || data == nullptr) return result;
    // The descriptor is US or SS, and its middle value is signed where the pixels are.
    long fields[3] = {0, 0, 0};
    for (unsigned long index = 0; index < 3; index += 1) {
        Uint16 plain = 0;
        Sint16 with_sign = 0;
        if (descriptor->getUint16(plain, index).good()) {
            fields[index] = plain;
        } else if (descriptor->getSint16(with_sign, index).good()) {
            fields[index] = index == 1 ? with_sign : static_cast<Uint16>(with_sign);
        } else {
            return result;
        }
    }
    const size_t count = fields[0] == 0 ? 65536 : static_cast<size_t>(fields[0]);
    Uint16 *words = nullptr;
    Sint16 *signed_words = nullptr;
    size_t available = data->getLength() / sizeof(Uint16);
    if (data->getUint16Array(words).bad() || words == nullptr) {
        if (data->getSint16Array(signed_words).bad() || signed_words == nullptr) return result;
        words = reinterpret_cast<Uint16 *>(signed_words);
    }
    if (available == 0) return result;
    if (available < count && fields[2] <= 8 && available >= (count + 1) / 2) {
        // Entries of 8 bits may be packed two to a word, the first in the low byte.
        values.resize(count);
        for (size_t index = 0; index < count; index += 1) {
            values[index] = (words[index / 2] >> (index % 2 == 0 ? 0 : 8)) & 0xFF;
        }
    } else {
        // Where entries are missing, the caller sees whether the image needs them.
        values.assign(words, words + std::min(available, count));
    }
    Uint16 is_signed = 0;
    dataset.findAndGetUint16(DCM_PixelRepresentation, is_signed);
    result.values = values.data();
    result.count = static_cast<uint32_t>(values.size());
    result.claimed = static_cast<uint32_t>(count);
    result.first = is_signed && fields[1] > 32767 ? static_cast<int32_t>(fields[1] - 65536)
                                                  : static_cast<int32_t>(fields[1]);
    result.bits = static_cast<uint32_t>(fields[2]);
    result.is_damaged = result.bits < 1 || result.bits > 16;
    return result;
}

/// A text of the meta header, which is written the same way in every file; empty where it cannot be read.
std::string meta_text(const char *path, const DcmTagKey &tag) {
    DcmInputFileStream stream(path);
    if (stream.status().bad()) return "";
    DcmFileFormat format;
    format.setReadMode(ERM_metaOnly);
    format.transferInit();
    // Its status is that of what follows too, such as an unknown transfer syntax: what counts is the text.
    format.read(stream);
    OFString text;
    DcmElement *element = nullptr;
    // Of a value that is cut off the rest is memory that was never written. How far reading has come is known until
    // transferEnd.
    const bool is_whole = format.getMetaInfo()->findAndGetElement(tag, element).good() && element != nullptr &&
        element->transferState() == ERW_ready && element->getOFString(text, 0).good();
    format.transferEnd();
    return is_whole ? text.c_str() : "";
}

/// The name of a transfer syntax that cannot be decoded, or nothing where `uid` can be.
std::string undecodable(const std::string &uid) {
    if (uid.empty()) return "";
    const DcmXfer syntax(uid.c_str());
    if (syntax.getXfer() == EXS_Unknown) {
        const bool is_htj2k = uid.compare(0, 22, "1.2.840.10008.1.2.4.20") == 0;
        return std::string(is_htj2k ? "High-Throughput JPEG 2000" : "of no name that is known") + " (" + uid + ")";
    }
    if (!syntax.isEncapsulated() || DcmCodecList::canChangeCoding(syntax.getXfer(), EXS_LittleEndianExplicit)) {
        return "";
    }
    return std::string(syntax.getXferName()) + " (" + uid + ")";
}

/// What is wrong with an RLE frame of `segments` segments, each of `values` bytes; empty where it is whole.
///
/// DCMTK follows the offsets of its header wherever they lead, and leaves alone what the data is too short for.
std::string rle_defect(const uint8_t *bytes, size_t count, size_t segments, size_t values) {
    const size_t header = 64;
    const auto number = [&](size_t index) {
        const uint8_t *place = bytes + 4 * index;
        return static_cast<size_t>(place[0]) | static_cast<size_t>(place[1]) << 8 |
            static_cast<size_t>(place[2]) << 16 | static_cast<size_t>(place[3]) << 24;
    };
    if (count < header) return "its header is cut off";
    if (number(0) != segments || segments == 0 || segments > 15) {
        return std::to_string(number(0)) + " segments where its pixels have " + std::to_string(segments);
    }
    for (size_t segment = 0; segment < segments; segment += 1) {
        const std::string name = "segment " + std::to_string(segment + 1) + " of " + std::to_string(segments);
        size_t place = number(1 + segment);
        const size_t end = segment + 1 < segments ? number(2 + segment) : count;
        if (place < header || end > count || place >= end) return name + " lies outside of the data";
        size_t written = 0;
        while (written < values && place < end) {
            const uint8_t control = bytes[place];
            place += 1;
            if (control == 128) continue;
            const size_t taken = control < 128 ? static_cast<size_t>(control) + 1 : 1;
            if (taken > end - place) break;
            place += taken;
            written += control < 128 ? taken : 257 - static_cast<size_t>(control);
        }
        if (written < values) {
            return name + " has " + std::to_string(written) + " of " + std::to_string(values) + " bytes";
        }
    }
    return "";
}

/// Makes an RLE frame one that DCMTK decodes: whole, and in one fragment. DCMTK takes each fragment for a frame.
std::string prepare_rle(DcmDataset &dataset, DcmPixelData &data) {
    DcmPixelSequence *sequence = nullptr;
    if (data.getEncapsulatedRepresentation(EXS_RLELossless, nullptr, sequence).bad() || sequence == nullptr) {
        return "its fragments cannot be found";
    }
    std::vector<uint8_t> frame;
    Sint32 frames = 1;
    const bool is_single = dataset.findAndGetSint32(DCM_NumberOfFrames, frames).bad() || frames <= 1;
    // Item 0 is the offset table.
    const unsigned long last = is_single ? sequence->card() : std::min(sequence->card(), 2UL);
    DcmPixelItem *first = nullptr;
    for (unsigned long index = 1; index < last; index += 1) {
        DcmPixelItem *item = nullptr;
        Uint8 *bytes = nullptr;
        if (sequence->getItem(item, index).bad() || item == nullptr) {
            return "fragment " + std::to_string(index) + " cannot be read";
        }
        if (first == nullptr) first = item;
        if (item->getLength() == 0) continue;
        if (item->getUint8Array(bytes).bad() || bytes == nullptr) {
            return "fragment " + std::to_string(index) + " cannot be read";
        }
        frame.insert(frame.end(), bytes, bytes + item->getLength());
    }
    if (first == nullptr) return "it has no fragments";
    const size_t values =
        static_cast<size_t>(number(dataset, DCM_Rows, 0)) * number(dataset, DCM_Columns, 0);
    const size_t segments = static_cast<size_t>(number(dataset, DCM_SamplesPerPixel, 1)) *
        ((number(dataset, DCM_BitsAllocated, 0) + 7) / 8);
    const std::string defect = rle_defect(frame.data(), frame.size(), segments, values);
    if (!defect.empty() || !is_single || sequence->card() <= 2) return defect;
    if (frame.size() % 2 == 1) frame.push_back(0);
    if (first->putUint8Array(frame.data(), frame.size()).bad()) return "its fragments cannot be joined";
    while (sequence->card() > 2) {
        DcmPixelItem *rest = nullptr;
        if (sequence->remove(rest, 2).bad() || rest == nullptr) return "its fragments cannot be joined";
        delete rest;
    }
    return "";
}

/// How far a file's meta header goes: the offset of the element after it, or 0 where it is cut off or none.
///
/// It is always explicit and little-endian.
size_t meta_end(const char *path) {
    std::vector<uint8_t> bytes(1 << 16);
    FILE *file = fopen(path, "rbe");
    if (file == nullptr) return 0;
    bytes.resize(fread(bytes.data(), 1, bytes.size(), file));
    fclose(file);
    const auto word = [&](size_t at) { return static_cast<size_t>(bytes[at]) | static_cast<size_t>(bytes[at + 1]) << 8; };
    size_t place = 132;
    while (place + 12 <= bytes.size() && word(place) == 0x0002) {
        const std::string kind(bytes.begin() + static_cast<long>(place) + 4, bytes.begin() + static_cast<long>(place) + 6);
        const bool is_long = kind == "OB" || kind == "OW" || kind == "UN" || kind == "UT" || kind == "SQ";
        const size_t length = is_long ? word(place + 8) | word(place + 10) << 16 : word(place + 6);
        if (length > bytes.size()) return 0;
        place += (is_long ? 12 : 8) + length;
    }
    return place > 132 && place + 12 <= bytes.size() ? place : 0;
}

/// Reads what follows the meta header as the transfer syntax that it looks like, for a file that names none or a wrong
/// one; nothing where that gives no image either.
std::unique_ptr<cdicom_file> reread(const char *path, const std::string &named) {
    const size_t start = meta_end(path);
    if (start == 0) return nullptr;
    // Not opened at that place: DCMTK comes back for large values, and counts from the file's beginning.
    DcmInputFileStream stream(path);
    if (stream.status().bad() || stream.skip(static_cast<offile_off_t>(start)) != static_cast<offile_off_t>(start)) {
        return nullptr;
    }
    std::unique_ptr<cdicom_file> file(new cdicom_file);
    DcmDataset *dataset = file->format.getDataset();
    dataset->transferInit();
    const OFCondition done = dataset->read(stream, EXS_Unknown, EGL_noChange, DCM_MaxReadLength);
    dataset->transferEnd();
    if (done.bad() || !dataset->tagExists(DCM_SOPClassUID)) return nullptr;
    const std::string found = DcmXfer(dataset->getOriginalXfer()).getXferName();
    file->note = named.empty()
        ? "its meta header names no transfer syntax (0002,0010); it was read as " + found
        : "its data is not in the transfer syntax that it names (" + named + "); it was read as " + found;
    return file;
}

/// What an object is that holds no picture, in words; empty for images and for what cannot be told.
std::string other_object(DcmDataset &dataset, bool has_pixels) {
    OFString uid;
    if (dataset.findAndGetOFString(DCM_SOPClassUID, uid).bad() || uid.empty()) return "";
    const auto is_of = [&](const std::string &family) {
        return uid == family.c_str() || uid.compare(0, family.size() + 1, (family + ".").c_str()) == 0;
    };
    const std::string storage = "1.2.840.10008.5.1.4.1.1.";
    // These have pixels that are no picture: presentation states, segmentations, doses, maps of parameters.
    const bool is_other = is_of(storage + "11") || is_of(storage + "66") || is_of(storage + "481.2") ||
        is_of(storage + "30") || is_of(storage + "88") || is_of(storage + "104");
    const char *known = dcmFindNameOfUID(uid.c_str());
    std::string name = known == nullptr ? "" : known;
    if (has_pixels) {
        if (!is_other) return "";
    } else if (!is_other) {
        // A class of images lacks its pixels; so may one that nobody knows and that says how large it is.
        if (name.find("Image") != std::string::npos) return "";
        if (name.empty() && dataset.tagExistsWithValue(DCM_Rows)) return "";
    }
    if (uid == UID_MediaStorageDirectoryStorage) return "a DICOM directory";
    if (name.empty()) return "an object of the class " + std::string(uid.c_str());
    const size_t ending = name.rfind("Storage");
    if (ending != std::string::npos && ending > 0) name.erase(ending);
    std::string words;
    for (size_t index = 0; index < name.size(); index += 1) {
        const bool begins = index > 0 && std::isupper(static_cast<unsigned char>(name[index])) &&
            std::islower(static_cast<unsigned char>(name[index - 1]));
        if (begins) words += ' ';
        words += name[index];
    }
    return (is_of(storage + "88") ? "a structured report (" : "another object (") + words + ")";
}

/// Whether the bytes of pixel data that is not compressed are all the same from `start` on, and there are some.
bool is_blank_after(DcmElement &pixels, uint64_t start) {
    const uint64_t count = pixels.getLength();
    if (start >= count) return false;
    const Uint8 *bytes = nullptr;
    Uint8 *narrow = nullptr;
    Uint16 *wide = nullptr;
    if (pixels.getUint8Array(narrow).good()) {
        bytes = narrow;
    } else if (pixels.getUint16Array(wide).good()) {
        bytes = reinterpret_cast<const Uint8 *>(wide);
    }
    if (bytes == nullptr) return false;
    return std::all_of(bytes + start, bytes + count, [&](Uint8 byte) { return byte == bytes[start]; });
}

/// Whether overlays stand in the bits above the pixels' (PS3.5 8.1.2), in the groups 6000, 6002 to 601E.
bool has_overlays_in_pixels(DcmDataset &dataset) {
    for (Uint16 group = 0x6000; group <= 0x601E; group += 2) {
        Uint16 position = 0;
        if (dataset.findAndGetUint16(DcmTagKey(group, 0x0102), position).good() && position > 0 &&
            !dataset.tagExistsWithValue(DcmTagKey(group, 0x3000))) {
            return true;
        }
    }
    return false;
}

/// The name of a format that is not taken, by its first bytes; empty where it is not known.
std::string format_name(const uint8_t *bytes, size_t count) {
    const auto begins = [&](const std::string &mark, size_t at = 0) {
        return count >= at + mark.size() && std::memcmp(bytes + at, mark.data(), mark.size()) == 0;
    };
    if (begins("RIFF") && begins("WEBP", 8)) return "a WebP image; convert it to PNG";
    if (begins("GIF8")) return "a GIF image; convert it to PNG";
    if (begins("BM") && count > 14) return "a BMP image; convert it to PNG";
    if (begins(std::string("\0\0\0\x0CjP  ", 8)) || begins("\xFF\x4F\xFF\x51")) {
        return "a JPEG 2000 image; convert it to PNG";
    }
    if (begins("ftyphei", 4) || begins("ftypmif1", 4) || begins("ftypavif", 4)) return "a HEIF image; convert it to PNG";
    if (begins("PK\x03\x04")) return "a ZIP archive; unpack it";
    if (begins("\x1F\x8B")) return "a gzip archive; unpack it";
    if (begins("7z\xBC\xAF") || begins("Rar!")) return "an archive; unpack it";
    if (begins("%PDF")) return "a PDF document";
    if (begins("NRRD")) return "an NRRD volume; convert it to PNG";
    if (begins("\x89HDF")) return "an HDF5 file";
    if (begins(std::string("n+1\0", 4), 344) || begins(std::string("ni1\0", 4), 344)) {
        return "a NIfTI volume; convert it to PNG";
    }
    return "";
}

/// Whether the bytes 128..<132 are DICM; -1 where the file cannot be opened.
///
/// `beginning` is its first readable bytes, `format` what else it is.
int has_preamble(const char *path, std::string &beginning, std::string &format) {
    FILE *file = fopen(path, "rbe");
    if (file == nullptr) return -1;
    char bytes[352];
    const size_t count = fread(bytes, 1, sizeof bytes, file);
    const int failed = ferror(file) ? errno : 0;
    fclose(file);
    if (failed != 0) {
        errno = failed;
        return -1;
    }
    for (size_t index = 0; index < count && index < 40; index += 1) {
        const unsigned char byte = static_cast<unsigned char>(bytes[index]);
        if (byte < 0x20 || byte > 0x7E) break;
        beginning += bytes[index];
    }
    if (count == 0) beginning.clear();
    format = format_name(reinterpret_cast<const uint8_t *>(bytes), count);
    return count >= 132 && std::memcmp(bytes + 128, "DICM", 4) == 0 ? 1 : (count == 0 ? -2 : 0);
}

std::string not_dicom(const std::string &beginning, const std::string &format) {
    std::string text = "it is not a DICOM file";
    if (!format.empty()) return text + " but " + format;
    if (beginning.size() >= 4) text += ": it begins with \"" + beginning + "\"";
    return text;
}

}  // namespace

int cdicom_prepare(void) {
    static std::once_flag once;
    std::call_once(once, [] {
        OFLog::configure(OFLogger::OFF_LOG_LEVEL);
        // Elements that a converter wrote as UN are what the dictionary says they are.
        dcmEnableUnknownVRConversion.set(OFTrue);
        DJDecoderRegistration::registerCodecs();
        DJLSDecoderRegistration::registerCodecs();
        DcmRLEDecoderRegistration::registerCodecs();
        DJEncoderRegistration::registerCodecs(ECC_lossyYCbCr, EUC_never);
        DJLSEncoderRegistration::registerCodecs(0, 0, 0, 0, OFTrue, 0, OFTrue, EJLSUC_never);
        DcmRLEEncoderRegistration::registerCodecs();
    });
    return dcmDataDict.isDictionaryLoaded() ? 1 : 0;
}

cdicom_status cdicom_open(const char *path, cdicom_file **file, char *message, size_t message_capacity) {
    *file = nullptr;
    return guarded(message, message_capacity, [&]() -> cdicom_status {
        std::string beginning, format;
        const int preamble = has_preamble(path, beginning, format);
        if (preamble == -1) {
            say(message, message_capacity, std::strerror(errno));
            return CDICOM_CANNOT_OPEN;
        }
        if (preamble == -2) {
            say(message, message_capacity, "it is empty");
            return CDICOM_NOT_DICOM;
        }
        if (preamble == 0 && !format.empty()) {
            say(message, message_capacity, not_dicom(beginning, format));
            return CDICOM_NOT_DICOM;
        }
        std::unique_ptr<cdicom_file> opened(new cdicom_file);
        // Old files have no preamble; DCMTK then guesses, and what it finds must look like an image.
        const OFCondition loaded = opened->format.loadFile(
            path, EXS_Unknown, EGL_noChange, DCM_MaxReadLength, preamble == 1 ? ERM_fileOnly : ERM_autoDetect);
        if (preamble == 0 && (loaded.bad() || !opened->format.getDataset()->tagExists(DCM_SOPClassUID))) {
            say(message, message_capacity, not_dicom(beginning, format));
            return CDICOM_NOT_DICOM;
        }
        if (loaded.bad()) {
            // DCMTK stops at a transfer syntax that it does not know, as it does at damage.
            const std::string named = meta_text(path, DCM_TransferSyntaxUID);
            const std::string syntax = undecodable(named);
            if (!syntax.empty()) {
                say(message, message_capacity, syntax);
                return CDICOM_UNSUPPORTED_SYNTAX;
            }
            std::unique_ptr<cdicom_file> another = reread(path, named);
            if (another == nullptr) {
                say(message, message_capacity,
                    std::string("it is damaged or cut off (DCMTK: ") + loaded.text() + ")" +
                        (named.empty() ? "; its meta header names no transfer syntax (0002,0010)" : ""));
                return CDICOM_DAMAGED;
            }
            opened = std::move(another);
        }
        DcmDataset *dataset = opened->format.getDataset();
        DcmElement *element = nullptr;
        const bool has_pixels = dataset->findAndGetElement(DCM_PixelData, element).good() && element != nullptr;
        const std::string other = other_object(*dataset, has_pixels);
        if (!other.empty()) {
            say(message, message_capacity, other);
            return CDICOM_OTHER_OBJECT;
        }
        if (!has_pixels) {
            const bool is_float = dataset->tagExists(DCM_FloatPixelData) || dataset->tagExists(DCM_DoubleFloatPixelData);
            say(message, message_capacity,
                dataset->tagExists(DCM_DirectoryRecordSequence) ? "it is a DICOM directory, not an image"
                    : is_float ? "its pixels are numbers of floating point; convert it to 16 bits"
                               : "it has no pixel data; it may be cut off before it");
            return CDICOM_NO_PIXELS;
        }
        const std::string syntax = undecodable(DcmXfer(dataset->getOriginalXfer()).getXferID());
        if (!syntax.empty()) {
            say(message, message_capacity, syntax);
            return CDICOM_UNSUPPORTED_SYNTAX;
        }
        *file = opened.release();
        return CDICOM_OK;
    });
}

int cdicom_instance(const char *path, char *uid, size_t capacity) {
    std::string text;
    guarded(nullptr, 0, [&]() -> cdicom_status {
        text = meta_text(path, DCM_MediaStorageSOPInstanceUID);
        return CDICOM_OK;
    });
    say(uid, capacity, text);
    return text.empty() ? 0 : 1;
}

void cdicom_describe(cdicom_file *file, cdicom_header *header) {
    *header = cdicom_header{};
    guarded(nullptr, 0, [&]() -> cdicom_status {
        DcmDataset &dataset = *file->format.getDataset();
        const char **unreadable = &header->unreadable;
        header->rows = number(dataset, DCM_Rows, 0, "Rows", unreadable);
        header->columns = number(dataset, DCM_Columns, 0, "Columns", unreadable);
        header->samples_per_pixel = number(dataset, DCM_SamplesPerPixel, 1, "SamplesPerPixel", unreadable);
        header->bits_allocated = number(dataset, DCM_BitsAllocated, 0, "BitsAllocated", unreadable);
        header->bits_stored = number(dataset, DCM_BitsStored, header->bits_allocated, "BitsStored", unreadable);
        header->high_bit = number(dataset, DCM_HighBit, header->bits_stored - 1, "HighBit", unreadable);
        header->pixel_representation = number(dataset, DCM_PixelRepresentation, 0, "PixelRepresentation", unreadable);
        header->has_overlays_in_pixels = has_overlays_in_pixels(dataset);
        header->modality_table = table(dataset, DCM_ModalityLUTSequence, file->modality_values);
        header->voi_table = table(dataset, DCM_VOILUTSequence, file->voi_values);
        DcmElement *pixels = nullptr;
        DcmPixelSequence *sequence = nullptr;
        // Plain pixels under the name of a compressed syntax are plain pixels.
        header->is_encapsulated = DcmXfer(dataset.getOriginalXfer()).isEncapsulated() &&
            dataset.findAndGetElement(DCM_PixelData, pixels).good() && pixels != nullptr &&
            OFstatic_cast(DcmPixelData *, pixels)
                ->getEncapsulatedRepresentation(dataset.getOriginalXfer(), nullptr, sequence)
                .good();
        if (!header->is_encapsulated && dataset.findAndGetElement(DCM_PixelData, pixels).good() && pixels != nullptr) {
            header->native_bytes = pixels->getLength();
            const uint64_t needed = static_cast<uint64_t>(header->rows) * header->columns * header->samples_per_pixel *
                ((header->bits_allocated + 7) / 8);
            header->is_excess_blank = is_blank_after(*pixels, needed);
        }
        return CDICOM_OK;
    });
}

const char *cdicom_text(cdicom_file *file, cdicom_text_field field) {
    file->text.clear();
    bool is_readable = true;
    const cdicom_status status = guarded(nullptr, 0, [&]() -> cdicom_status {
        DcmDataset &dataset = *file->format.getDataset();
        const DcmXfer syntax(dataset.getOriginalXfer());
        const auto take = [&](const DcmTagKey &tag, bool is_list) {
            DcmElement *element = nullptr;
            if (dataset.findAndGetElement(tag, element).bad() || element == nullptr || element->getLength() == 0) return;
            // No text of an image's header is as long; some that should be texts are megabytes of bytes.
            const bool is_text = element->getLength() <= 4096 && element->isLeaf() && element->ident() != EVR_OB &&
                element->ident() != EVR_OW && element->ident() != EVR_UN &&
                (is_list ? element->getOFStringArray(file->text) : element->getOFString(file->text, 0)).good();
            if (!is_text) {
                file->text.clear();
                is_readable = false;
            }
        };
        switch (field) {
        case CDICOM_TEXT_TRANSFER_SYNTAX_UID: file->text = syntax.getXferID(); break;
        case CDICOM_TEXT_TRANSFER_SYNTAX_NAME: file->text = syntax.getXferName(); break;
        case CDICOM_TEXT_SOP_INSTANCE_UID: take(DCM_SOPInstanceUID, false); break;
        case CDICOM_TEXT_PATIENT_ID: take(DCM_PatientID, false); break;
        case CDICOM_TEXT_PATIENT_SEX: take(DCM_PatientSex, false); break;
        case CDICOM_TEXT_PATIENT_AGE: take(DCM_PatientAge, false); break;
        case CDICOM_TEXT_VIEW_POSITION: take(DCM_ViewPosition, false); break;
        case CDICOM_TEXT_MODALITY: take(DCM_Modality, false); break;
        case CDICOM_TEXT_PIXEL_SPACING: take(DCM_PixelSpacing, true); break;
        case CDICOM_TEXT_IMAGER_PIXEL_SPACING: take(DCM_ImagerPixelSpacing, true); break;
        case CDICOM_TEXT_PATIENT_ORIENTATION: take(DCM_PatientOrientation, true); break;
        case CDICOM_TEXT_PIXEL_ASPECT_RATIO: take(DCM_PixelAspectRatio, true); break;
        case CDICOM_TEXT_PHOTOMETRIC: take(DCM_PhotometricInterpretation, false); break;
        case CDICOM_TEXT_PRESENTATION_SHAPE: take(DCM_PresentationLUTShape, false); break;
        case CDICOM_TEXT_VOI_FUNCTION: take(DCM_VOILUTFunction, false); break;
        case CDICOM_TEXT_WINDOW_CENTER: take(DCM_WindowCenter, true); break;
        case CDICOM_TEXT_WINDOW_WIDTH: take(DCM_WindowWidth, true); break;
        case CDICOM_TEXT_RESCALE_SLOPE: take(DCM_RescaleSlope, true); break;
        case CDICOM_TEXT_RESCALE_INTERCEPT: take(DCM_RescaleIntercept, true); break;
        case CDICOM_TEXT_FRAMES: take(DCM_NumberOfFrames, true); break;
        case CDICOM_TEXT_PADDING_VALUE: take(DCM_PixelPaddingValue, true); break;
        case CDICOM_TEXT_PADDING_LIMIT: take(DCM_PixelPaddingRangeLimit, true); break;
        case CDICOM_TEXT_NOTE: file->text = file->note.c_str(); break;
        }
        return CDICOM_OK;
    });
    return is_readable && status == CDICOM_OK ? file->text.c_str() : nullptr;
}

cdicom_status cdicom_decode(
    cdicom_file *file, uint32_t bytes_per_value, void *pixels, uint32_t capacity, char *message,
    size_t message_capacity) {
    return guarded(message, message_capacity, [&]() -> cdicom_status {
        DcmDataset *dataset = file->format.getDataset();
        DcmElement *element = nullptr;
        if (dataset->findAndGetElement(DCM_PixelData, element).bad() || element == nullptr) {
            say(message, message_capacity, "it has no pixel data");
            return CDICOM_NO_PIXELS;
        }
        DcmPixelData *data = OFstatic_cast(DcmPixelData *, element);
        if (dataset->getOriginalXfer() == EXS_RLELossless) {
            const std::string defect = prepare_rle(*dataset, *data);
            if (!defect.empty()) {
                say(message, message_capacity, "its pixel data is damaged or cut off (RLE: " + defect + ")");
                return CDICOM_DAMAGED;
            }
        }
        // DCMTK's decoders fill as many bytes a value as the compressed stream has, and lay out the frame by the header.
        if (number(*dataset, DCM_BitsAllocated, 0) != 8 * bytes_per_value &&
            dataset->putAndInsertUint16(DCM_BitsAllocated, static_cast<Uint16>(8 * bytes_per_value)).bad()) {
            say(message, message_capacity, "its header cannot be made that of its pixels");
            return CDICOM_DAMAGED;
        }
        // Its decoders refuse headers without what the caller takes from defaults.
        const std::pair<DcmTagKey, Uint16> defaults[] = {
            {DCM_SamplesPerPixel, 1}, {DCM_PixelRepresentation, 0}, {DCM_BitsStored, static_cast<Uint16>(8 * bytes_per_value)},
            {DCM_HighBit, static_cast<Uint16>(8 * bytes_per_value - 1)}};
        for (const auto &[tag, value] : defaults) {
            if (!dataset->tagExistsWithValue(tag)) dataset->putAndInsertUint16(tag, value);
        }
        if (!dataset->tagExistsWithValue(DCM_PhotometricInterpretation)) {
            dataset->putAndInsertString(DCM_PhotometricInterpretation, "MONOCHROME2");
        }
        Uint32 fragment = 0;
        OFString color_model;
        const OFCondition decoded =
            data->getUncompressedFrame(dataset, 0, fragment, pixels, capacity, color_model, nullptr);
        if (decoded.bad()) {
            say(message, message_capacity,
                std::string("its pixel data is damaged or cut off (DCMTK: ") + decoded.text() + ")");
            return CDICOM_DAMAGED;
        }
        return CDICOM_OK;
    });
}

cdicom_status cdicom_fragments(cdicom_file *file, const uint8_t **bytes, size_t *count) {
    *bytes = nullptr;
    *count = 0;
    return guarded(nullptr, 0, [&]() -> cdicom_status {
        DcmDataset *dataset = file->format.getDataset();
        DcmElement *element = nullptr;
        if (dataset->findAndGetElement(DCM_PixelData, element).bad() || element == nullptr) return CDICOM_NO_PIXELS;
        DcmPixelSequence *sequence = nullptr;
        if (OFstatic_cast(DcmPixelData *, element)
                ->getEncapsulatedRepresentation(dataset->getOriginalXfer(), nullptr, sequence)
                .bad() ||
            sequence == nullptr) {
            return CDICOM_MISUSE;
        }
        file->fragments.clear();
        // Item 0 is the offset table.
        for (unsigned long index = 1; index < sequence->card(); index += 1) {
            DcmPixelItem *item = nullptr;
            Uint8 *data = nullptr;
            if (sequence->getItem(item, index).bad() || item == nullptr) return CDICOM_DAMAGED;
            if (item->getLength() == 0) continue;
            if (item->getUint8Array(data).bad() || data == nullptr) return CDICOM_DAMAGED;
            file->fragments.insert(file->fragments.end(), data, data + item->getLength());
        }
        *bytes = file->fragments.data();
        *count = file->fragments.size();
        return CDICOM_OK;
    });
}

void cdicom_close(cdicom_file *file) { delete file; }

cdicom_status cdicom_write(
    const char *path, const cdicom_source *source, char *message, size_t message_capacity) {
    return guarded(message, message_capacity, [&]() -> cdicom_status {
        DcmFileFormat format;
        DcmDataset *dataset = format.getDataset();
        OFCondition result = dataset->putAndInsertString(DCM_SOPClassUID, UID_SecondaryCaptureImageStorage);
        const uint32_t bits = source->bits_allocated;
        if (bits != 8 && bits != 16) {
            say(message, message_capacity, "pixels have 8 or 16 bits");
            return CDICOM_MISUSE;
        }
        const auto put = [&](const DcmTag &tag, uint32_t value) {
            if (result.good()) result = dataset->putAndInsertUint16(tag, static_cast<Uint16>(value));
        };
        put(DCM_SamplesPerPixel, source->samples_per_pixel);
        put(DCM_Rows, source->rows);
        put(DCM_Columns, source->columns);
        put(DCM_BitsAllocated, bits);
        put(DCM_BitsStored, source->bits_stored);
        put(DCM_HighBit, source->bits_stored - 1);
        put(DCM_PixelRepresentation, source->is_signed ? 1 : 0);
        if (source->samples_per_pixel > 1) put(DCM_PlanarConfiguration, 0);
        if (result.good()) {
            result = dataset->putAndInsertString(DCM_PhotometricInterpretation, source->photometric);
        }
        if (result.good() && source->frames > 1) {
            result = dataset->putAndInsertString(
                DCM_NumberOfFrames, std::to_string(source->frames).c_str());
        }
        DcmPathProcessor processor;
        for (size_t index = 0; index < source->element_count && result.good(); index += 1) {
            result = processor.applyPathWithValue(dataset, source->elements[index]);
        }
        const size_t values = static_cast<size_t>(source->rows) * source->columns * source->samples_per_pixel *
            source->frames;
        if (result.good()) {
            result = bits == 8
                ? dataset->putAndInsertUint8Array(
                      DCM_PixelData, static_cast<const Uint8 *>(source->pixels), values)
                : dataset->putAndInsertUint16Array(
                      DCM_PixelData, static_cast<const Uint16 *>(source->pixels), values);
        }
        const E_TransferSyntax syntax = DcmXfer(source->transfer_syntax_uid).getXfer();
        if (result.good() && syntax == EXS_Unknown) {
            say(message, message_capacity,
                std::string("DCMTK knows no transfer syntax ") + source->transfer_syntax_uid);
            return CDICOM_UNSUPPORTED_SYNTAX;
        }
        if (result.good()) {
            const DJ_RPLossy lossy(static_cast<int>(source->jpeg_quality));
            const DJ_RPLossless lossless;
            const DJLSRepresentationParameter jpeg_ls(2, OFTrue);
            const DcmRepresentationParameter *parameter = nullptr;
            switch (syntax) {
            case EXS_JPEGProcess1:
            case EXS_JPEGProcess2_4: parameter = &lossy; break;
            case EXS_JPEGProcess14:
            case EXS_JPEGProcess14SV1: parameter = &lossless; break;
            case EXS_JPEGLSLossless: parameter = &jpeg_ls; break;
            default: break;
            }
            result = dataset->chooseRepresentation(syntax, parameter);
            if (result.good() && !dataset->canWriteXfer(syntax)) {
                say(message, message_capacity, std::string("DCMTK cannot write ") + source->transfer_syntax_uid);
                return CDICOM_UNSUPPORTED_SYNTAX;
            }
        }
        if (result.good()) result = format.saveFile(path, syntax);
        if (result.bad()) {
            say(message, message_capacity, result.text());
            return CDICOM_MISUSE;
        }
        return CDICOM_OK;
    });
}
