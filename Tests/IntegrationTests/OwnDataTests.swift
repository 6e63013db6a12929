import Foundation
import Radiography
import Testing

extension Processes {
    /// A person's own data, given in every way in which it was once lost in silence.
    @Suite(.serialized) struct OwnData {
        let runner: ProgramRunner

        init() throws {
            runner = try ProgramRunner()
            let synthesized = try runner.run([
                "synthesize", runner.path("data"), "--images", "24", "--size", "64", "--seed", "3", "--positives",
                "0.5",
            ])
            try #require(synthesized.status == 0, "\(synthesized.errors)")
        }

        /// How many of the phantoms have a finding, and how many have none.
        private var counts: (positives: Int, negatives: Int) {
            get throws {
                let rows = try rows()
                let positives = Set(rows.filter { $0.runs != "-1" }.map(\.id))
                return (positives.count, Set(rows.map(\.id)).subtracting(positives).count)
            }
        }

        private var images: String { runner.path("data/dicom-images-train") }

        /// The rows of the phantoms' labels: id and runs.
        private func rows() throws -> [(id: String, runs: String)] {
            let text = try String(contentsOfFile: runner.path("data/train-rle.csv"), encoding: .utf8)
            return text.split(separator: "\n").dropFirst().map { line in
                let fields = line.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }
                return (fields[0], fields[1])
            }
        }

        private func write(_ rows: [(id: String, runs: String)], separator: String = ",") throws -> String {
            let lines = ["ImageId\(separator)EncodedPixels"] + rows.map { $0.id + separator + $0.runs }
            let path = runner.path("labels.csv")
            try (lines.joined(separator: "\n") + "\n").write(toFile: path, atomically: true, encoding: .utf8)
            return path
        }

        private func shard(_ labels: String, _ extra: [String] = [], output: String = "shards") throws
            -> ProgramRunner.Outcome
        {
            try runner.run(
                ["shard", "--dicom", images, "--labels", labels, "--size", "64", "--output", runner.path(output)]
                    + extra
            )
        }

        private func digest(_ output: String) throws -> String {
            let data = try Data(contentsOf: URL(fileURLWithPath: runner.path(output + "/dataset.json")))
            let object = try JSONSerialization.jsonObject(with: data) as? [String: Any]
            return try #require(object?["dataset_digest"] as? String)
        }

        /// Pairs of start and length, counted from 0, of relative runs.
        private static func spans(_ runs: String) -> [(start: Int, length: Int)] {
            let numbers = runs.split(separator: " ").compactMap { Int($0) }
            var position = 0
            return stride(from: 0, to: numbers.count - 1, by: 2).map { index in
                let start = position + numbers[index]
                position = start + numbers[index + 1]
                return (start, numbers[index + 1])
            }
        }

        private static func absolute(_ runs: String, first: Int) -> String {
            runs == "-1" ? runs : spans(runs).map { "\($0.start + first) \($0.length)" }.joined(separator: " ")
        }

        @Test(.timeLimit(.minutes(15)))
        func absoluteRowsAreSeenSaidAndRead() throws {
            defer { runner.remove() }
            let relative = try shard(write(rows()))
            #expect(relative.status == 0 && !relative.errors.contains("absolute"), "\(relative.errors)")
            for first in [0, 1] {
                let labels = try write(rows().map { ($0.id, Self.absolute($0.runs, first: first)) })
                let output = "absolute-\(first)"
                let extra = first == 0 ? ["--rle", "absolute"] : []
                let outcome = try shard(labels, extra, output: output)
                #expect(outcome.status == 0, "\(outcome.errors)")
                #expect(outcome.errors.contains("look absolute") == extra.isEmpty, "\(outcome.errors)")
                if first == 1 { #expect(try digest(output) == digest("shards")) }
                // Taken for gaps, nearly all leave the mask; that is no set without findings.
                let wrong = try shard(labels, ["--rle", "relative"], output: output + "-wrong")
                #expect(wrong.status == 65, "\(wrong.errors)")
                #expect(wrong.errors.contains("need --rle absolute"), "\(wrong.errors)")
            }
        }

        @Test(.timeLimit(.minutes(15)))
        func whereItCannotTellItStops() throws {
            defer { runner.remove() }
            // Two small masks at the left edge, and too few rows to be sure.
            var rows = Set(try rows().map(\.id)).sorted().map { (id: $0, runs: "-1") }
            rows[0].runs = "5000 20 6024 20"
            rows[1].runs = "7000 20 8024 20"
            let labels = try write(rows)
            let outcome = try shard(labels)
            #expect(outcome.status == 65, "\(outcome.errors)")
            #expect(
                outcome.errors.contains(
                    "pleura shard: Cannot tell what the runs of \(labels) count: their starts rise in 2 of the 2 rows with "
                        + "several runs"
                ),
                "\(outcome.errors)"
            )
            #expect(!FileManager.default.fileExists(atPath: runner.path("shards/dataset.json")))
            #expect(try shard(labels, ["--rle", "relative"], output: "relative").status == 0)
            #expect(try shard(labels, ["--rle", "absolute"], output: "absolute").status == 0)
            #expect(try digest("relative") != digest("absolute"))
        }

        @Test(.timeLimit(.minutes(15)), arguments: ["", "NaN"])
        func negativesThatPandasWrote(cell: String) throws {
            defer { runner.remove() }
            let labels = try write(rows().map { ($0.id, $0.runs == "-1" ? cell : $0.runs) })
            let outcome = try shard(labels)
            #expect(outcome.status == 0, "\(outcome.errors)")
            #expect(
                try outcome.errors.contains("\(counts.negatives) rows of \(labels) have an empty cell or NaN"),
                "\(outcome.errors)"
            )
            #expect(
                try outcome.output.contains("positives  \(counts.positives), negatives \(counts.negatives)"),
                "\(outcome.output)"
            )
            // Beside -1, an empty cell may be a label that is missing.
            var mixed = try rows().map { (id: $0.id, runs: $0.runs == "-1" ? cell : $0.runs) }
            let place = try #require(mixed.firstIndex { $0.runs == cell })
            mixed[place].runs = "-1"
            let refused = try shard(write(mixed), output: "mixed")
            let lost = try counts.negatives - 1
            #expect(refused.status == 65, "\(refused.errors)")
            #expect(
                refused.errors.contains(
                    "pleura shard: ERROR: \(lost) of 24 radiographs have no usable label, and \(lost) of 24 labels were not used. "
                        + "\(labels) has empty cells or NaN beside -1: write -1 in each row that means that nothing was found."
                ),
                "\(refused.errors)"
            )
        }

        @Test(.timeLimit(.minutes(15)))
        func labelsForHalfOfTheRadiographs() throws {
            defer { runner.remove() }
            let all = try rows()
            let half = Set(Array(Set(all.map(\.id)).sorted().prefix(12)))
            let labels = try write(all.filter { half.contains($0.id) })
            let outcome = try shard(labels)
            #expect(outcome.status == 65, "\(outcome.errors)")
            let lines = outcome.errors.split(separator: "\n").filter { $0.contains("ERROR") }
            #expect(lines.count == 1)
            #expect(
                lines.first?.hasPrefix(
                    "pleura shard: ERROR: 12 of 24 radiographs have no usable label. \(labels) says nothing of them ("
                ) == true,
                "\(outcome.errors)"
            )
            #expect(lines.first?.hasSuffix("Mend that, or accept it with --allow-missing.") == true)
            let allowed = try shard(labels, ["--allow-missing"])
            #expect(allowed.status == 0 && allowed.errors.contains("allowed: 12 of 24"), "\(allowed.errors)")
            // Labels of radiographs that are not there.
            let strangers = try write(all + (0..<2).map { ("stranger-\($0)", "-1") })
            let more = try shard(strangers, output: "more")
            #expect(more.status == 65 && more.errors.contains("2 of 26 labels were not used"), "\(more.errors)")
            // One in a hundred may be missing.
            let few = try write(all + [("stranger", "-1")])
            let one = try shard(few, ["--json", runner.path("figures.json")], output: "few")
            #expect(one.status == 65 && one.errors.contains("1 of 25 labels"), "\(one.errors)")
            let figures = try String(contentsOfFile: runner.path("figures.json"), encoding: .utf8)
            #expect(figures.contains("\"lost_labels\" : 1") || figures.contains("\"lost_labels\":1"), "\(figures)")
        }

        @Test(.timeLimit(.minutes(15)))
        func allOfOneKind() throws {
            defer { runner.remove() }
            let all = try rows()
            let negative = try shard(write(all.map { ($0.id, "-1") }))
            #expect(negative.status == 65, "\(negative.errors)")
            #expect(
                negative.errors.contains("ERROR: All 24 radiographs of the set are negative."),
                "\(negative.errors)"
            )
            #expect(!negative.errors.contains("next: "), "\(negative.errors)")
            // A handful may well be of one kind; it is said.
            let few = runner.path("few")
            try FileManager.default.createDirectory(atPath: few, withIntermediateDirectories: true)
            for index in 0..<3 {
                let image = RasterFile.png([UInt8](0..<64), width: 8, height: 8)
                try Data(image).write(to: URL(fileURLWithPath: few + "/x\(index).png"))
            }
            let handful = try runner.run([
                "shard", "--dicom", few, "--labels", write((0..<3).map { ("x\($0)", "-1") }), "--size", "32",
                "--output",
                runner.path("handful"),
            ])
            #expect(handful.status == 0, "\(handful.errors)")
            #expect(handful.errors.contains("warning: all 3 radiographs of the set are negative."), "\(handful.errors)")
            #expect(handful.errors.contains("next: `pleura launch \(runner.path("handful"))`"), "\(handful.errors)")
            let positives = all.filter { $0.runs != "-1" }
            let left = try shard(write(positives), output: "positives")
            #expect(left.status == 65, "\(left.errors)")
            #expect(
                try left.errors.contains(
                    "\(counts.negatives) of 24 radiographs have no usable label, and all \(counts.positives) radiographs of "
                        + "the set are positive."
                ),
                "\(left.errors)"
            )
            #expect(left.errors.contains("--missing-negative"), "\(left.errors)")
            let taken = try shard(write(positives), ["--missing-negative"], output: "taken")
            #expect(
                try taken.status == 0
                    && taken.output.contains("positives  \(counts.positives), negatives \(counts.negatives)"),
                "\(taken.errors)"
            )
        }

        @Test(.timeLimit(.minutes(15)))
        func idsWithEndingsAndOtherTables() throws {
            defer { runner.remove() }
            let plain = try shard(write(rows()), output: "plain")
            #expect(plain.status == 0)
            let endings = try write(rows().map { ("images/" + $0.id + ".png", $0.runs) })
            let outcome = try shard(endings, output: "endings")
            #expect(outcome.status == 0, "\(outcome.errors)")
            #expect(
                outcome.errors.contains("24 ids of \(endings) match without their folder or ending"),
                "\(outcome.errors)"
            )
            #expect(try digest("endings") == digest("plain"))
            for (name, separator) in [("semicolons", ";"), ("tabs", "\t")] {
                let other = try shard(write(rows(), separator: separator), output: name)
                #expect(try other.status == 0 && digest(name) == digest("plain"), "\(other.errors)")
            }
            let path = try write(rows())
            let text = try String(contentsOfFile: path, encoding: .utf8)
            try (text.data(using: .utf16) ?? Data()).write(to: URL(fileURLWithPath: path))
            let wide = try shard(path, output: "utf16")
            #expect(try wide.status == 0 && digest("utf16") == digest("plain"), "\(wide.errors)")
        }

        @Test(.timeLimit(.minutes(15)))
        func patientsOfFewRadiographsAreCounted() throws {
            defer { runner.remove() }
            let all = try rows()
            let labels = try write(all)
            let patients = runner.path("patients.csv")
            try "id,patient\n\(all[0].id).dcm,p1\n\(all[1].id),p1\n".write(
                toFile: patients,
                atomically: true,
                encoding: .utf8
            )
            let outcome = try shard(labels, ["--patients", patients])
            #expect(outcome.status == 0, "\(outcome.errors)")
            #expect(
                outcome.errors.contains("\(patients) names the patients of 2 of 24 radiographs."),
                "\(outcome.errors)"
            )
            try "id,patient\nstranger,p1\n".write(toFile: patients, atomically: true, encoding: .utf8)
            let none = try shard(labels, ["--patients", patients], output: "none")
            #expect(none.status == 65 && none.errors.contains("names the patient of none of the 24"), "\(none.errors)")
        }

        @Test(.timeLimit(.minutes(15)))
        func theOutputDoesNotHoldTheInput() throws {
            defer { runner.remove() }
            for output in ["data", "data/dicom-images-train", "."] {
                let outcome = try shard(runner.path("data/train-rle.csv"), output: output)
                #expect(outcome.status == 64, "\(outcome.errors)")
                #expect(outcome.errors.contains("holds the input"), "\(outcome.errors)")
            }
            let size = try runner.run([
                "shard", "--dicom", images, "--labels", runner.path("data/train-rle.csv"), "--size", "100", "--output",
                runner.path("sized"),
            ])
            #expect(size.status == 0 && size.errors.contains("the nearest are 96 and 128"), "\(size.errors)")
        }

        /// The masks of the phantoms as pictures, in folders of their own, with the radiographs as PNG.
        @Test(.timeLimit(.minutes(15)))
        func masksAsPictures() throws {
            defer { runner.remove() }
            let all = Dictionary(try rows().map { ($0.id, $0.runs) }) { first, _ in first }
                .map { (id: $0.key, runs: $0.value) }.sorted { $0.id < $1.id }
            for (index, row) in all.enumerated() {
                // A film of 80 × 64, with the phantom's mask cut to it: 8 columns on either side of the square are film too.
                let (width, height) = (80, 64)
                let pixels = (0..<width * height).map { UInt8(($0 * (index + 3)) % 251) }
                var mask = [UInt8](repeating: 0, count: width * height)
                if row.runs != "-1" { for y in 20..<40 { for x in 10..<20 + index { mask[y * width + x] = 255 } } }
                try FileManager.default.createDirectory(
                    atPath: runner.path("own/images"),
                    withIntermediateDirectories: true
                )
                try FileManager.default.createDirectory(
                    atPath: runner.path("own/masks"),
                    withIntermediateDirectories: true
                )
                let image = RasterFile.png(pixels, width: width, height: height)
                try Data(image).write(to: URL(fileURLWithPath: runner.path("own/images/\(row.id).png")))
                let picture = RasterFile.png(mask, width: width, height: height)
                try Data(picture).write(to: URL(fileURLWithPath: runner.path("own/masks/\(row.id).png")))
            }
            let named = try runner.run([
                "shard", "--dicom", runner.path("own/images"), "--masks", runner.path("own/masks"), "--size", "64",
                "--output",
                runner.path("named"),
            ])
            #expect(
                try named.status == 0
                    && named.output.contains("positives  \(counts.positives), negatives \(counts.negatives)"),
                "\(named.errors)"
            )
            #expect(named.errors.contains("24 of 24 radiographs have no patient"), "\(named.errors)")
            let found = try runner.run([
                "shard", "--dicom", runner.path("own"), "--size", "64", "--output", runner.path("found"),
            ])
            #expect(found.status == 0 && found.errors.contains("masks from "), "\(found.errors)")
            #expect(try digest("found") == digest("named"))
            let neither = try runner.run([
                "shard", "--dicom", images, "--size", "64", "--output", runner.path("neither"),
            ])
            #expect(neither.status == 64 && neither.errors.contains("--masks FOLDER"), "\(neither.errors)")
            // Absolute rows of the films' own size give the same set as the pictures.
            let labels = try write(
                all.enumerated().map { index, row in
                    guard row.runs != "-1" else { return row }
                    return (row.id, (10..<20 + index).map { "\($0 * 64 + 20 + 1) 20" }.joined(separator: " "))
                }
            )
            let rows = try runner.run([
                "shard", "--dicom", runner.path("own/images"), "--labels", labels, "--size", "64", "--output",
                runner.path("rows"),
            ])
            #expect(rows.status == 0, "\(rows.errors)")
            #expect(
                rows.errors.contains("look absolute")
                    && rows.errors.contains("count pixels of the radiographs themselves"),
                "\(rows.errors)"
            )
            #expect(try digest("rows") == digest("named"))
            // Along the rows, it is asked.
            let along = try write(
                all.enumerated().map { index, row in
                    guard row.runs != "-1" else { return row }
                    return (row.id, (20..<40).map { "\($0 * 80 + 10 + 1) \(10 + index)" }.joined(separator: " "))
                }
            )
            let asked = try runner.run([
                "shard", "--dicom", runner.path("own/images"), "--labels", along, "--size", "64", "--output",
                runner.path("along"),
            ])
            #expect(asked.status == 65 && asked.errors.contains("--rle-order rows"), "\(asked.errors)")
            let said = try runner.run([
                "shard", "--dicom", runner.path("own/images"), "--labels", along, "--size", "64", "--output",
                runner.path("along"), "--rle-order", "rows", "--rle-size", "image",
            ])
            #expect(try said.status == 0 && digest("along") == digest("named"), "\(said.errors)")
        }
    }
}
