package import Diagnostics
import Foundation
import Platform
package import Radiography
import Synchronization

/// A set of phantom radiographs, written as the challenge's files are.
///
/// `OUT/dicom-images-train/<Study UID>/<Series UID>/<SOP UID>.dcm` and `OUT/train-rle.csv`. Each image is a function
/// of the options and its index alone: neither the number of images nor that of threads changes a byte.
package struct PhantomDataSet: Sendable {
    package let options: PhantomOptions
    /// The number of images.
    package let count: Int
    /// The images of a label file to stand in for, or none.
    private let entries: [LabelFile.Entry]
    private let positives: [Int]

    package static let counts = 1...1_000_000
    package static let labelFileName = "train-rle.csv"
    package static let imageFolderName = "dicom-images-train"

    /// What was written.
    package struct Summary: Sendable, Equatable {
        package var images: Int
        package var positives: Int
        /// The rows of the label file.
        package var rows: Int
    }

    /// `count` phantoms of our own.
    package init(options: PhantomOptions, count: Int) {
        precondition(Self.counts.contains(count), "\(count) images")
        self.options = options
        self.count = count
        entries = []
        positives = []
    }

    /// A stand-in for the images of `labels`, the first `limit` of them or all: each drawn to fit its mask.
    ///
    /// A negative is posed for the mask of some positive, so that poses do not tell the classes. Throws where a row of
    /// the file is wrong or an id cannot name a file.
    package init(options: PhantomOptions, labels: LabelFile, limit: Int? = nil) throws(PhantomError) {
        if let defect = labels.errors.first { throw .badLabels(defect.description) }
        let side = RunLengthMask.challengeSide
        let entries = Array(labels.entries.prefix(limit ?? labels.entries.count))
        guard !entries.isEmpty, entries.count <= Self.counts.upperBound else {
            throw .badLabels("\(labels.path) names \(entries.count) images; expected \(Self.counts)")
        }
        for entry in entries {
            guard Self.canNameFile(entry.id) else {
                throw .badLabels(
                    "\(labels.path): the image id \"\(entry.id)\" cannot name a file; expected letters, digits, "
                        + "\".\", \"_\" and \"-\", at most 200"
                )
            }
            guard entry.mask.width == side && entry.mask.height == side else {
                throw .badLabels("\(entry.id): a mask of \(entry.mask.width)×\(entry.mask.height), not \(side)×\(side)")
            }
        }
        self.options = options
        self.entries = entries
        count = entries.count
        positives = labels.entries.indices.filter { !labels.entries[$0].mask.isEmpty && $0 < entries.count }
    }

    private static func canNameFile(_ id: String) -> Bool {
        !id.isEmpty && id.utf8.count <= 200 && !id.hasPrefix(".")
            && id.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "." || $0 == "_" || $0 == "-") }
    }

    // MARK: - Writing

    /// What the threads of one call share.
    private struct Shared {
        var next = 0
        var finished = 0
        var rows: [String?]
        var positives = 0
        var error: PhantomError?
    }

    private final class Work: Sendable {
        let shared: Mutex<Shared>

        init(count: Int) {
            shared = Mutex(Shared(rows: [String?](repeating: nil, count: count)))
        }
    }

    /// Draws and writes all images, then the label file, with `jobs` threads of its own.
    ///
    /// Blocks. `folder` is made if it is missing; it must not hold a data set yet. `progress` is called from those
    /// threads, one call at a time, with the number of images written. On an error, the images written so far stay,
    /// and no label file is written.
    package func write(
        to folder: String,
        jobs: Int,
        progress: @escaping @Sendable (_ written: Int) -> Void = { _ in }
    ) throws(PhantomError) -> Summary {
        precondition(jobs > 0, "\(jobs) threads")
        let labelPath = "\(folder)/\(Self.labelFileName)"
        for existing in [labelPath, "\(folder)/\(Self.imageFolderName)"]
        where FileManager.default.fileExists(atPath: existing) {
            throw .occupied(path: existing)
        }
        try Self.makeFolder("\(folder)/\(Self.imageFolderName)")
        let work = Work(count: count)
        let group = DispatchGroup()
        for _ in 0..<min(jobs, count) {
            group.enter()
            let thread = Thread {
                run(work, folder: folder, progress: progress)
                group.leave()
            }
            thread.stackSize = 4 << 20
            thread.start()
        }
        group.wait()
        let (rows, positives, error) = work.shared.withLock { ($0.rows, $0.positives, $0.error) }
        if let error { throw error }
        var text = "ImageId, EncodedPixels\n"
        for case let row? in rows { text += row }
        do {
            try AtomicFile.write(text, to: labelPath)
        } catch {
            throw .cannotWrite(path: labelPath, reason: String(cString: strerror(error.code)))
        }
        return Summary(images: count, positives: positives, rows: text.utf8.count { $0 == 0x0A } - 1)
    }

    private func run(_ work: Work, folder: String, progress: (Int) -> Void) {
        let painter = PhantomPainter(options: options)
        while let index = work.shared.withLock({ shared -> Int? in
            guard shared.error == nil && shared.next < count else { return nil }
            defer { shared.next += 1 }
            return shared.next
        }) {
            do throws(PhantomError) {
                let image = paint(index, with: painter)
                let id = try write(image, index: index, folder: folder)
                let rows =
                    image.regions.isEmpty
                    ? "\(id), -1\n" : image.regions.map { "\(id), \($0.encoded)\n" }.joined()
                work.shared.withLock {
                    $0.rows[index] = rows
                    $0.finished += 1
                    if !image.regions.isEmpty { $0.positives += 1 }
                    progress($0.finished)
                }
            } catch {
                work.shared.withLock { if $0.error == nil { $0.error = error } }
            }
        }
    }

    /// The phantom with number `index`.
    private func paint(_ index: Int, with painter: PhantomPainter) -> PhantomImage {
        guard !entries.isEmpty else { return painter.paint(index) }
        let mask = entries[index].mask
        if !mask.isEmpty { return painter.paint(index, fitting: mask, isPositive: true) }
        guard !positives.isEmpty else { return painter.paint(index, isPositive: false) }
        var draws = PhantomDraws(seed: options.seed, part: .stand, position: index)
        let model = entries[positives[draws.integer(below: positives.count)]]
        return painter.paint(index, fitting: model.mask, isPositive: false)
    }

    private func write(_ image: PhantomImage, index: Int, folder: String) throws(PhantomError) -> String {
        let study = PhantomStudy(
            seed: options.seed,
            index: index,
            image: image,
            imageID: entries.isEmpty ? nil : entries[index].id
        )
        let path = "\(folder)/\(study.path)"
        try Self.makeFolder(String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)]))
        var source = DICOMSource(.bytes(image.pixels), rows: image.size, columns: image.size)
        source.elements = study.elements
        source.quality = 90
        do {
            try source.write(to: path)
        } catch {
            throw .cannotWrite(path: path, reason: error.reason)
        }
        return study.imageID
    }

    private static func makeFolder(_ path: String) throws(PhantomError) {
        do {
            try FileSystem.createDirectory(path)
        } catch {
            throw .cannotWrite(path: path, reason: String(cString: strerror(error.code)))
        }
    }
}

/// Why no phantoms were written.
package enum PhantomError: ReportableError, Equatable {
    case occupied(path: String)
    case cannotWrite(path: String, reason: String)
    case badLabels(String)

    package var exitStatus: ExitStatus {
        switch self {
        case .occupied: .usage
        case .cannotWrite: .temporary
        case .badLabels: .badInput
        }
    }

    package var description: String {
        switch self {
        case .occupied(let path):
            "\(path) exists already, and phantoms are not mixed with other images. Remove it or name another folder."
        case .cannotWrite(let path, let reason):
            "Cannot write \(path): \(reason). Free some space or name another folder; what was written is incomplete."
        case .badLabels(let reason):
            "No phantom can be drawn for a label. \(reason). Correct the row or take it out."
        }
    }
}
