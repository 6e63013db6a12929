import Numerics

/// The identity and header of one phantom, as the challenge's files have them.
///
/// UIDs have the challenge's shape, with a number of no real machine where the challenge has 8323329.
struct PhantomStudy: Equatable {
    var studyUID: String
    var seriesUID: String
    var sopUID: String
    /// The id of the image in the label file, which names the file.
    var imageID: String
    /// DICOM elements as "Name=value".
    var elements: [String]

    static let root = "1.2.276.0.7230010.3.1"
    private static let machine = "9999999"

    /// `imageID` is the id that a label file gives the image; nothing for an id of our own.
    init(seed: UInt64, index: Int, image: PhantomImage, imageID given: String? = nil) {
        var draws = PhantomDraws(seed: seed, part: .identity, position: index)
        let folded = UInt32(truncatingIfNeeded: seed ^ (seed >> 32))
        let tail = "\(Self.machine).\(folded).\(1_000_000_000 + index)"
        let counter = 100_000 + draws.integer(below: 800_000)
        if let given, given.hasPrefix(Self.root + ".4."), given.count <= 64, given.allSatisfy(Self.isUIDCharacter) {
            let rest = given.dropFirst(Self.root.count + 3)
            sopUID = given
            seriesUID = "\(Self.root).3.\(rest)"
            studyUID = "\(Self.root).2.\(rest)"
        } else {
            sopUID = "\(Self.root).4.\(tail).\(counter)"
            seriesUID = "\(Self.root).3.\(tail).\(counter - 2)"
            studyUID = "\(Self.root).2.\(tail).\(counter - 1)"
        }
        imageID = given ?? sopUID
        let patient = Self.patientID(seed: seed, patient: image.patient)
        let view = image.isPortable ? "AP" : "PA"
        let spacings = [0.143, 0.168, 0.139, 0.171, 0.194311]
        let scaled = spacings[draws.integer(below: spacings.count)] * 1024 / Double(image.size)
        let spacing = (scaled * 1e6).rounded() / 1e6
        elements = [
            "SpecificCharacterSet=ISO_IR 100",
            "SOPInstanceUID=\(sopUID)", "StudyDate=19010101", "StudyTime=000000.00", "AccessionNumber=",
            "Modality=CR", "ConversionType=WSD", "Manufacturer=Pleura", "ReferringPhysicianName=",
            "SeriesDescription=view: \(view)", "PatientName=\(patient)", "PatientID=\(patient)", "PatientBirthDate=",
            "PatientSex=\(image.isFemale ? "F" : "M")", "PatientAge=\(image.age)",
            "PatientComments=A drawn phantom, not a patient", "BodyPartExamined=CHEST", "ViewPosition=\(view)",
            "StudyInstanceUID=\(studyUID)", "SeriesInstanceUID=\(seriesUID)", "StudyID=", "SeriesNumber=1",
            "InstanceNumber=1", "PatientOrientation=", "PixelSpacing=\(spacing)\\\(spacing)",
        ]
    }

    /// The file's path below the folder of the data set.
    var path: String { "dicom-images-train/\(studyUID)/\(seriesUID)/\(imageID).dcm" }

    private static func isUIDCharacter(_ character: Character) -> Bool {
        character == "." || (character.isASCII && character.isNumber)
    }

    /// A UUID of the form for made-up values (version 8), a function of seed and patient.
    private static func patientID(seed: UInt64, patient: Int) -> String {
        let sequence = PhantomDraws(seed: seed, part: .identity, position: patient).sequence
        let words = sequence.words(block: 1 << 20)
        var digits = ""
        for lane in 0..<4 {
            let text = String(words[lane], radix: 16)
            digits += String(repeating: "0", count: 8 - text.count) + text
        }
        var id = ""
        for (number, digit) in digits.enumerated() {
            if number == 8 || number == 12 || number == 16 || number == 20 { id += "-" }
            id.append(number == 12 ? "8" : number == 16 ? "a" : digit)
        }
        return id
    }
}
