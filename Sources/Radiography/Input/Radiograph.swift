package import Diagnostics

/// A radiograph as it was read: its grey image at full size, and what its file says about it.
package struct Radiograph: Sendable, Equatable {
    package var image: GrayImage
    package var metadata: RadiographMetadata
    /// What was odd about it.
    package var remarks: [PictureRemark] = []
}

/// What a file says about its radiograph.
///
/// All but the size is absent from PNG, JPEG and TIFF.
package struct RadiographMetadata: Sendable, Equatable, Codable {
    /// The size of the image in the file, before any padding and scaling.
    package var rows: Int
    package var columns: Int
    package var sopInstanceUID: String?
    package var patientID: String?
    /// As DICOM has it: M, F or O.
    package var sex: String?
    /// In years; the files' outliers (413) are kept.
    package var age: Int?
    /// DICOM's code: PA, AP, LL.
    package var viewPosition: String?
    /// DICOM's Patient Orientation: where the rows of the image go, a backslash, where its columns go, as in `L\F`.
    package var patientOrientation: String?
    /// DICOM's code: CR, DX.
    package var modality: String?
    /// Millimetres between the centres of neighbouring rows and columns of the image in the file.
    package var rowSpacing: Double?
    package var columnSpacing: Double?
    /// The UID of the transfer syntax.
    package var transferSyntax: String?

    package init(rows: Int, columns: Int) {
        self.rows = rows
        self.columns = columns
    }

    /// Reads an age string of DICOM: digits and a unit (Y, M, W, D).
    ///
    /// Real files also leave the unit out.
    static func years(_ text: String) -> Int? {
        let text = text.filter { $0 != " " }
        guard let unit = text.last else { return nil }
        func whole(_ digits: some StringProtocol) -> Int? {
            digits.utf8.allSatisfy { (0x30...0x39).contains($0) } ? Int(digits) : nil
        }
        if let years = whole(text) { return years }
        guard let number = whole(text.dropLast()) else { return nil }
        switch unit {
        case "Y", "y": return number
        case "M", "m": return number / 12
        case "W", "w": return number / 52
        case "D", "d": return number / 365
        default: return nil
        }
    }
}

/// Why a file gave no radiograph.
package struct RadiographError: ReportableError, Equatable {
    /// The groups under which rejected files are listed.
    package enum Kind: String, Sendable, Codable, CaseIterable {
        /// The file or folder cannot be opened.
        case unreadable
        /// Neither DICOM nor PNG nor JPEG nor TIFF.
        case notAnImage = "not-an-image"
        /// An image that is cut off or contradicts itself.
        case damaged
        /// DICOM that is no picture: a report, a presentation state. It is left out, and nothing is wrong with it.
        case otherObject = "other-object"
        /// An image of a kind that is not taken: colour, several frames, a transfer syntax without decoder.
        case unsupported
        /// The decoder crashed on it.
        case crashed = "decoder-crashed"
        /// The decoder took too long.
        case timedOut = "decoder-timed-out"
    }

    package var kind: Kind
    package var path: String
    package var reason: String
    /// The SOP instance UID of the image, where it could still be read.
    package var id: String?

    package init(_ kind: Kind, path: String, reason: String) {
        self.kind = kind
        self.path = path
        self.reason = reason
    }

    package var exitStatus: ExitStatus { kind == .unreadable ? .missingInput : .badInput }
    package var description: String { "Cannot read \(path): \(reason)." }
}
