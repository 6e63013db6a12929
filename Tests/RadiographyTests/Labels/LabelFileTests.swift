import Foundation
import Radiography
import Testing

@Suite("Label files")
struct LabelFileTests {
    private func read(_ text: String) throws -> LabelFile {
        try LabelFile(bytes: Array(text.utf8), path: "labels.csv", width: 8, height: 8)
    }

    @Test(
        "Every dialect of the challenge reads the same",
        arguments: [
            "ImageId, EncodedPixels\na,-1\nb,1 2\n", "ImageId,EncodedPixels\r\na, -1\r\nb, 1 2\r\n",
            "\u{FEFF}fname,mask\na, -1\nb,1 2", "a,-1\nb,1 2\n", "\n a , -1 \n\n b, 1 2 \n",
            "\"ImageId\",\"EncodedPixels\"\n\"a\",\"-1\"\n\"b\",\"1 2\"\n", ",ImageId,EncodedPixels\n0,a,-1\n1,b,1 2\n",
            "EncodedPixels,ImageId\n-1,a\n1 2,b\n",
        ]
    )
    func dialects(text: String) throws {
        let labels = try read(text)
        #expect(labels.entries.map(\.id) == ["a", "b"])
        #expect(labels["a"]?.mask.isEmpty == true)
        #expect(labels["b"]?.mask.encoded == "1 2")
        #expect(labels.defects.isEmpty)
        #expect(labels.rowCount == 2)
        #expect(labels["c"] == nil)
    }

    @Test("Rows of one image are OR-ed; overlaps and repeats are told with their rows")
    func unions() throws {
        let labels = try read("ImageId,EncodedPixels\na,1 4\nb,-1\na,3 4\na,1 4\na,20 1\nb,-1\n")
        #expect(labels["a"]?.mask.encoded == "1 6 13 1")
        #expect(labels["a"]?.rows == [2, 4, 5, 6])
        #expect(labels.defects.map(\.kind) == [.overlappingRows, .duplicateRow, .duplicateRow])
        #expect(labels.defects.map(\.row) == [4, 5, 7])
        #expect(labels.errors.isEmpty)
        #expect(
            labels.defects[0].description
                == "labels.csv:4: a: 2 of 4 pixels are also in earlier rows of the image; used the union"
        )
    }

    @Test("A bad row is named and spoils its image, not the file")
    func defects() throws {
        let labels = try read(
            """
            ImageId,EncodedPixels
            odd,1 2 3
            far,60 5
            good,1 1
            cut
            ,1 2
            both,-1
            both,1 2
            far,1 1
            wide,1 2,3
            """
        )
        #expect(labels.entries.map(\.id) == ["good"])
        #expect(labels.rejectedIDs == ["odd", "far", "cut", "both", "wide"])
        #expect(
            labels.defects.map(\.kind) == [
                .badRuns, .badRuns, .wrongColumns, .missingID, .emptyAndMask, .wrongColumns,
            ]
        )
        #expect(labels.defects.map(\.row) == [2, 3, 5, 6, 8, 10])
        #expect(labels.errors.count == 6)
        #expect(labels.defects[1].reason == "run 1: it ends at pixel 65, but the mask has only 64 pixels")
    }

    @Test("A file that is no label file is refused as a whole")
    func wrongFiles() {
        #expect(throws: LabelFileError.noRows(path: "labels.csv")) { try read("") }
        #expect(throws: LabelFileError.noRows(path: "labels.csv")) { try read("ImageId,EncodedPixels\n") }
        #expect(throws: LabelFileError.wrongColumns(path: "labels.csv", row: 1, found: "fname,fold,exist_labels")) {
            try read("fname,fold,exist_labels\na,0,1\n")
        }
        #expect(throws: LabelFileError.wrongColumns(path: "labels.csv", row: 1, found: "<html>")) {
            try read("<html>\n<body>429</body>\n")
        }
        #expect(throws: LabelFileError.notText(path: "labels.csv")) {
            try LabelFile(bytes: [0x61, 0, 0x62], path: "labels.csv")
        }
    }

    @Test("A gzip file is told by its first bytes; one cut off is refused")
    func compressed() throws {
        let folder = try TemporaryFolder()
        // printf 'ImageId,EncodedPixels\na,-1\nb,1 2\n' | gzip -n | base64
        let packed = try #require(Data(base64Encoded: LabelFileTests.packed))
        let whole = try folder.write(packed, to: "labels.csv")
        #expect(try LabelFile.read(whole).entries.map(\.id) == ["a", "b"])
        let doubled = try folder.write(packed + packed, to: "two-members.csv.gz")
        #expect(try LabelFile.read(doubled).rowCount == 4 + 1)
        for count in [12, packed.count - 9, packed.count - 1] {
            let cut = try folder.write(packed.prefix(count), to: "cut-\(count).csv.gz")
            #expect(throws: InputFileError.self) { try LabelFile.read(cut) }
        }
        #expect(throws: InputFileError.self) { try LabelFile.read(folder.path + "/absent.csv") }
        #expect(throws: InputFileError.isDirectory(path: folder.path)) { try LabelFile.read(folder.path) }
    }

    private static let packed = "H4sIAAAAAAAAA/PMTUxP9UzRcc1Lzk9JTQnIrEjNKeZK1NE15ErSMVQw4gIAVakq3CEAAAA="

    // The challenge's own label file may not be redistributed: the test runs where PLEURA_SHARED_DATA has it.
    @Test("The challenge's label file: its counts", .enabled(if: SharedData.isPresent))
    func challenge() throws {
        let path = SharedData.path("siim/siim-pneumothorax-train-rle.csv.gz")
        let labels = try LabelFile.read(path)
        let entries = labels.entries
        #expect(labels.rowCount == 12_954)
        #expect(entries.count == 12_047)
        #expect(entries.count { $0.mask.isEmpty } == 9_378)
        #expect(labels.errors.isEmpty)
        let areas = entries.map(\.mask.area).filter { $0 > 0 }.sorted()
        #expect(areas.first == 55 && areas.last == 161_421 && areas[areas.count / 2] == 8_630)
        let overlapping = Set(labels.defects.compactMap(\.id))
        #expect(overlapping.count == 183)
    }
}
