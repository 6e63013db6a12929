private import Foundation

/// A door to what is read of a DICOM file before its pixels, for the fuzzer.
///
/// Elsewhere a process of its own reads such files, and may die of them.
package enum DICOMDoor {
    /// Small files: without compression, with run lengths, with tables.
    package static func samples(in folder: String) throws -> [[UInt8]] {
        let path = "\(folder)/sample.dcm"
        var sources = [DICOMSource(.bytes([UInt8](repeating: 9, count: 64)), rows: 8, columns: 8)]
        sources[0].transferSyntax = .explicitLittleEndian
        sources.append(sources[0])
        sources[1].transferSyntax = .runLength
        sources.append(DICOMSource(.words([UInt16](repeating: 900, count: 64)), rows: 8, columns: 8))
        sources[2].transferSyntax = .implicitLittleEndian
        sources[2].bitsStored = 12
        sources[2].elements = [
            "PatientID=p", "WindowCenter=500", "WindowWidth=1000", "RescaleSlope=2", "RescaleIntercept=-1",
        ]
        return try sources.map { source in
            try source.write(to: path)
            return try FileContents.read(path, limit: 1 << 20)
        }
    }

    /// Reads the header of the file at `path`; throws where it is refused.
    package static func probe(_ path: String) throws -> Bool {
        let metadata = try DICOMFile.probe(path)
        return metadata.rows > 0 && metadata.columns > 0 && metadata.rows * metadata.columns <= DICOMFile.maximumPixels
    }
}
