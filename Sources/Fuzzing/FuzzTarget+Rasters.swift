import Radiography

extension FuzzTarget {
    /// What libraries read of PNG and JPEG, and what is read of numbers in DICOM's headers.
    static func rasters() -> [FuzzTarget] {
        [
            FuzzTarget(name: "png-and-jpeg", weight: 2, samples: PictureDoor.samples(), isText: false) { bytes in
                try PictureDoor.decode(bytes)
            },
            FuzzTarget(
                name: "header-numbers",
                weight: 2,
                samples: ["1.50", "-1024", "3,5e2", "2047.0 "].map { Array($0.utf8) },
                isText: true
            ) { bytes in
                guard let value = PictureDoor.number(String(decoding: bytes, as: UTF8.self)) else { return false }
                guard value.isFinite else { throw FuzzDefect(description: "a header has the number \(value)") }
                return true
            },
        ]
    }
}
