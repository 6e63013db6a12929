import Foundation
import Platform
import Radiography
import Testing

extension Processes {
    /// What `predict` reads and writes.
    @Suite(.serialized) struct Predict {
        let runner: ProgramRunner

        /// A trained run of some steps, in `run`.
        init() throws {
            runner = try ProgramRunner()
            _ = try runner.makeShards()
            let launched = try runner.run(runner.launchArguments(runner.writeConfiguration(), run: "run"))
            try #require(launched.status == 0, "\(launched.errors)")
        }

        private func predict(_ arguments: [String], to output: String) throws -> ProgramRunner.Outcome {
            try runner.run(["predict", runner.path("run"), "--output", runner.path(output)] + arguments)
        }

        /// The rows of a table by the first column; the fields of these tests hold no commas.
        private func table(_ path: String) throws -> [String: [String: String]] {
            let lines = try String(contentsOfFile: runner.path(path), encoding: .utf8).split(separator: "\n")
                .map { $0.split(separator: ",", omittingEmptySubsequences: false).map(String.init) }
            let header = try #require(lines.first)
            return Dictionary(
                uniqueKeysWithValues: lines.dropFirst().map { ($0[0], .init(uniqueKeysWithValues: zip(header, $0))) }
            )
        }

        /// A film of a flat ramp as PNG, 200 × 120, and one as DICOM, 96 × 160, below it.
        private func makeFilms() throws -> String {
            let films = runner.path("films")
            try FileManager.default.createDirectory(atPath: "\(films)/ward", withIntermediateDirectories: true)
            func ramp(_ width: Int, _ height: Int) -> [UInt8] {
                (0..<width * height).map { UInt8(255 * ($0 % width) / width) }
            }
            try Data(RasterFile.png(ramp(200, 120), width: 200, height: 120)).write(to: URL(filePath: "\(films)/a.png"))
            var source = DICOMSource(.bytes(ramp(96, 160)), rows: 160, columns: 96)
            source.elements = ["SOPInstanceUID=1.2.3", "PixelSpacing=0.2\\0.1", "PatientOrientation=R\\F"]
            try source.write(to: "\(films)/ward/IM0001")
            try "no image".write(toFile: "\(films)/notes.txt", atomically: true, encoding: .utf8)
            return films
        }

        /// Every pixel is above a threshold of 0, so that masks and areas are the radiographs' own.
        private func expectWholeMasks(_ output: String, paths: [String: String], headerTells: Bool) throws {
            let rows = try table("\(output)/predictions.csv")
            #expect(rows.keys.sorted() == ["1.2.3", "a"])
            for (id, (width, height)) in ["a": (200, 120), "1.2.3": (96, 160)] {
                let row = try #require(rows[id])
                #expect(row["path"] == paths[id] && row["rule"] == "threshold 0.0", "\(row)")
                #expect(row["rows"] == "\(height)" && row["columns"] == "\(width)", "\(row)")
                #expect(row["area_pixels"] == "\(width * height)", "\(row)")
                #expect(row["laterality"] == "both", "\(row)")
                let probability = try #require(row["probability"].flatMap(Double.init))
                #expect(probability > 0 && probability < 1)
                let mask = try RadiographReader.read(runner.path("\(output)/\(try #require(row["mask"]))"))
                #expect(
                    mask.image
                        == GrayImage(width: width, height: height, pixels: .init(repeating: 255, count: width * height))
                )
            }
            #expect(rows["a"]?["area_mm2"] == "" && rows["a"]?["laterality_from"] == "assumed")
            #expect(rows["1.2.3"]?["area_mm2"] == "307.20", "\(rows)")
            #expect(rows["1.2.3"]?["laterality_from"] == (headerTells ? "header" : "assumed"))
        }

        @Test(.timeLimit(.minutes(10)))
        func foldersFilesPatternsAndUnlabelledShardsAreRead() throws {
            defer { runner.remove() }
            let films = try makeFilms()
            let all = ["--threshold", "0"]
            let folder = try predict(["--input", films] + all, to: "folder")
            #expect(folder.status == 0 && folder.output.contains("1 files that are no image"), "\(folder)")
            let paths = ["a": "\(films)/a.png", "1.2.3": "\(films)/ward/IM0001"]
            try expectWholeMasks("folder", paths: paths, headerTells: true)
            // The film in the ward has pixels of 0.2 mm × 0.1 mm: predicted, and told.
            let warnings = try String(contentsOfFile: runner.path("folder/warnings.csv"), encoding: .utf8)
            #expect(warnings.contains("pixels-not-square,\(films)/ward/IM0001,,1.2.3,"), "\(warnings)")
            #expect(folder.output.contains("about how radiographs look"), "\(folder.output)")
            // Pictures are of the radiograph, enlarged where it is small, with a legend below.
            for picture in ["overlays/a.png", "heatmaps/a.png"] {
                let bytes = try Data(contentsOf: URL(filePath: runner.path("folder/\(picture)")))
                let (width, height) = (bytes[18..<20].map(Int.init), bytes[22..<24].map(Int.init))
                #expect(width == [2, 0] && height[0] * 256 + height[1] > 307 + 20, "\(picture) \(width) \(height)")
            }
            let few = ["--no-masks", "--no-overlays", "--no-heatmaps", "--no-probabilities"]
            #expect(try predict(["--input", films] + few, to: "few").status == 0)
            #expect(
                try FileManager.default.contentsOfDirectory(atPath: runner.path("few")).filter { !$0.hasPrefix(".") }
                    .sorted()
                    == ["predictions.csv", "rejected.csv", "submission.csv", "warnings.csv"]
            )
            // A file and a pattern, after one option or two.
            let named = try predict(["--input", paths["a"] ?? "", "\(films)/w*/IM*"] + all, to: "named")
            #expect(named.status == 0, "\(named)")
            try expectWholeMasks("named", paths: paths, headerTells: true)
            for table in ["predictions.csv", "submission.csv"] {
                let texts = try ["folder", "named"].map {
                    try String(contentsOfFile: runner.path("\($0)/\(table)"), encoding: .utf8)
                }
                #expect(texts[0] == texts[1])
            }
            // Shards that were made for prediction.
            let set = runner.path("unlabelled")
            let sharded = try runner.run(["shard", "--dicom", films, "--unlabelled", "--size", "64", "--output", set])
            try #require(sharded.status == 0, "\(sharded.errors)")
            for (name, input) in [("set", set), ("one", "\(set)/shard-00000.h5")] {
                let outcome = try predict(["--input", input] + all, to: name)
                #expect(outcome.status == 0, "\(outcome)")
                try expectWholeMasks(name, paths: ["a": input, "1.2.3": input], headerTells: false)
            }
            // A picture that comes out wrong is told of, and predicted.
            let black = Data(RasterFile.png([UInt8](repeating: 7, count: 64 * 64), width: 64, height: 64))
            try black.write(to: URL(filePath: runner.path("black.png")))
            let odd = try predict(["--input", runner.path("black.png")] + all, to: "odd")
            #expect(odd.status == 0 && odd.output.contains("odd/warnings.csv"), "\(odd)")
            #expect(try table("odd/warnings.csv")["one-grey"]?["id"] == "black")
            // An image that comes twice is told of.
            let twice = try predict(["--input", films, "--input", set] + all, to: "twice")
            #expect(twice.errors.contains("the image a is in \(films)/a.png already"), "\(twice)")
            try expectWholeMasks("twice", paths: paths, headerTells: true)
        }

        @Test(.timeLimit(.minutes(10)))
        func foldersThatWouldMixInputAndOutputAreRefused() throws {
            defer { runner.remove() }
            let films = try makeFilms()
            for (input, output) in [
                ("films", "films"), ("films", "films/out"), ("out/masks", "out"), ("out/masks/a.png", "out"),
            ] {
                if input.hasPrefix("out") {
                    try FileManager.default.createDirectory(
                        atPath: runner.path("out/masks"),
                        withIntermediateDirectories: true
                    )
                    try? FileManager.default.copyItem(atPath: "\(films)/a.png", toPath: runner.path("out/masks/a.png"))
                }
                let outcome = try predict(["--input", runner.path(input)], to: output)
                #expect(outcome.status == 64, "\(input) \(output): \(outcome)")
            }
            let absent = try predict(["--input", "\(films)/*.tif"], to: "absent")
            #expect(absent.status == 66 && absent.errors.contains("Nothing fits the pattern"), "\(absent)")
        }

        @Test(.timeLimit(.minutes(10)))
        func aRuleIsUsedWithItsCheckpointOrWithAWarning() throws {
            defer { runner.remove() }
            let films = try makeFilms()
            let plain = try predict(["--input", films], to: "plain")
            #expect(plain.errors.contains("and validation.threshold of the run: threshold 0.5."), "\(plain)")
            let stored =
                #"{"threshold": 0.25, "flip": false, "checkpoint": "step-00000002.h5", "step": 2, "mean_dice": 0.5}"#
            try stored.write(toFile: runner.path("run/rule.json"), atomically: true, encoding: .utf8)
            let own = try predict(["--input", films], to: "own")
            #expect(
                own.errors.contains(
                    "step-00000002.h5 (step 2, averaged weights) and the rule that was found with it: threshold 0.25."
                ),
                "\(own)"
            )
            #expect(own.errors.contains("There is a newer checkpoint"), "\(own)")
            #expect(!own.output.contains("twice"), "as the rule was found, without mirror images: \(own)")
            let newest = try predict(["--input", films, "--newest", "--flip"], to: "newest")
            #expect(
                newest.errors.contains("warning: The rule was found with another checkpoint, step-00000002.h5"),
                "\(newest)"
            )
            #expect(newest.errors.contains("warning: The rule was found without mirror images"), "\(newest)")
            let given = try predict(["--input", films, "--threshold", "0.1"], to: "given")
            #expect(
                given.errors.contains("the rule of the command line: threshold 0.1.")
                    && !given.errors.contains("warning"),
                "\(given)"
            )
        }
    }
}
