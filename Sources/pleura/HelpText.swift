import ArgumentParser
import Foundation
import Platform
import Reporting

/// What `--help` prints beside what ArgumentParser makes of a command: examples, in lines that fit.
enum HelpText {
    /// What people write, by the command.
    static let examples: [String: [String]] = [
        "": [
            "pleura synthesize data --images 96        # phantoms, to try it with",
            "pleura shard --dicom data/dicom-images-train --labels data/train-rle.csv \\",
            "    --output shards",
            "pleura launch shards                      # trains, and says how to go on",
        ],
        "synthesize": ["pleura synthesize data --images 96 --size 256"],
        "shard": [
            "pleura shard --dicom dicom-images-train --labels train-rle.csv \\",
            "    --size 512 --folds 5 --output shards",
        ],
        "launch": [
            "pleura launch shards                                    # the defaults",
            "pleura launch configs/demo.yaml --workers 2 --threads 4",
            "pleura launch mine.yaml --set training.epochs=20 --set run.directory=runs/a",
        ],
        "resume": ["pleura resume runs/a", "pleura resume runs/a --workers 4 --set training.epochs=60"],
        "status": ["pleura status runs/a --watch"],
        "drain": [
            "pleura drain runs/a            # saves and ends",
            "pleura drain runs/a 2          # asks worker 2 to leave",
        ],
        "predict": [
            "pleura predict runs/a --input radiographs --output predictions",
            "pleura predict runs/a --best --input a.png 'ward/*.dcm' --output predictions",
        ],
        "evaluate": [
            "pleura evaluate runs/a --best",
            "pleura evaluate runs/a --data shards-of-others",
            "pleura evaluate --predictions predictions/submission.csv --labels labels.csv",
        ],
        "export": ["pleura export runs/a --best --safetensors a.safetensors"],
        "report": ["pleura report runs/a           # then open runs/a/report.html"],
        "inspect": [
            "pleura inspect runs/a", "pleura inspect mine.yaml", "pleura inspect --fields optimizer",
        ],
        "worker": ["pleura worker --coordinator tcp://10.0.0.5:7000 --threads auto --keys keys"],
        "keygen": ["pleura keygen keys --workers 4"],
        "doctor": ["pleura doctor mine.yaml --hosts hosts.yaml"],
        "verify": ["pleura verify runs/a", "pleura verify shards"],
        "chaos": ["pleura chaos configs/demo.yaml --minutes 10"],
        "simulate": ["pleura simulate --seeds 200"],
        "bench": ["pleura bench train configs/unet-resnet34-512.yaml"],
        "bench kernels": ["pleura bench kernels"],
        "bench train": ["pleura bench train configs/unet-resnet34-512.yaml --workers 2"],
        "bench allreduce": ["pleura bench allreduce --workers 4"],
        "bench fold": ["pleura bench fold configs/unet-resnet34-512.yaml"],
        "bench coordination": ["pleura bench coordination"],
    ]

    /// The help, with the examples of the command that `arguments` name, in lines that fit the terminal.
    static func page(_ text: String, arguments: [String]) -> String {
        // Sentences of an error are broken where the terminal needs it, and nowhere else.
        guard text.hasPrefix("OVERVIEW:") else {
            let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
            return lines.map { $0.hasPrefix("Usage:") ? TextWrap.usage(String($0), columns: columns) : String($0) }
                .joined(separator: "\n")
        }
        var page = TextWrap.usage(text, columns: columns)
        let words = arguments.filter { $0 != "help" }.prefix { !$0.hasPrefix("-") }
        // The longest beginning that is a command: what follows may be its arguments.
        let names = (0...words.count).reversed().map { words.prefix($0).joined(separator: " ") }
        guard let lines = names.lazy.compactMap({ examples[$0] }).first else {
            return page
        }
        while page.last == "\n" { page.removeLast() }
        let heading = lines.count == 1 ? "EXAMPLE:" : "EXAMPLES:"
        return page + "\n\n\(heading)\n" + lines.map { "  \($0)\n" }.joined()
    }

    /// The terminal's width, as ArgumentParser has it.
    private static var columns: Int {
        let said = ProcessInfo.processInfo.environment["COLUMNS"].flatMap { Int($0) }.flatMap { $0 > 0 ? $0 : nil }
        return said ?? StandardStream.output.columns ?? 80
    }
}
