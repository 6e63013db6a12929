import ArgumentParser
import Diagnostics
import Foundation
import KernelSelection
import Kernels
import Storage
import Training

/// `pleura bench kernels`.
struct BenchKernelsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "kernels",
        abstract: "Times every kernel beside the limit that binds it, on one core."
    )

    @Flag(help: "Measure the limits of one core only.")
    var limit = false

    @Flag(help: "Train two tiny networks in this process and print the hash of what they became: the same everywhere.")
    var hash = false

    @Option(help: "Write the figures as JSON to this path; - for standard output.")
    var json: String?

    struct Report: Codable {
        var kernels: String
        var limits: KernelBenchmark.Limits
        var rows: [KernelBenchmark.Row]
    }

    func validate() throws {
        if hash && (limit || json != nil) {
            throw ValidationError("--hash measures nothing: leave out --limit and --json.")
        }
    }

    func run() throws {
        let table = try KernelVariant.selected(environment: ProcessInfo.processInfo.environment).table
        if hash {
            print("sha256 \(try HashTest.run(kernels: table))")
            return
        }
        let benchmark = KernelBenchmark(table: table)
        let limits = benchmark.limits()
        var report = Report(kernels: table.name, limits: limits, rows: [])
        if !limit {
            for (channels, size) in [(64, 64), (128, 32), (256, 16), (512, 8)] {
                let g = ConvolutionGeometry(
                    inputChannels: channels,
                    outputChannels: channels,
                    kernelHeight: 3,
                    kernelWidth: 3,
                    padding: 1
                )
                report.rows += benchmark.convolution(g, images: 4, size: size, limits: limits)
            }
            let others: [(ConvolutionGeometry, Int)] = [
                (
                    .init(inputChannels: 3, outputChannels: 64, kernelHeight: 7, kernelWidth: 7, stride: 2, padding: 3),
                    256
                ),
                (
                    .init(
                        inputChannels: 64,
                        outputChannels: 128,
                        kernelHeight: 3,
                        kernelWidth: 3,
                        stride: 2,
                        padding: 1
                    ), 64
                ),
                (.init(inputChannels: 64, outputChannels: 128, kernelHeight: 1, kernelWidth: 1, stride: 2), 64),
                (.init(inputChannels: 768, outputChannels: 256, kernelHeight: 3, kernelWidth: 3, padding: 1), 16),
                (.init(inputChannels: 128, outputChannels: 32, kernelHeight: 3, kernelWidth: 3, padding: 1), 128),
                (.init(inputChannels: 32, outputChannels: 16, kernelHeight: 3, kernelWidth: 3, padding: 1), 256),
                (.init(inputChannels: 16, outputChannels: 16, kernelHeight: 3, kernelWidth: 3, padding: 1), 256),
                (.init(inputChannels: 16, outputChannels: 1, kernelHeight: 3, kernelWidth: 3, padding: 1), 256),
            ]
            for (g, size) in others {
                report.rows += benchmark.convolution(g, images: 4, size: size, limits: limits)
            }
            report.rows += benchmark.streaming(images: 4, size: 128, channels: 64, limits: limits)
            report.rows += benchmark.streaming(images: 4, size: 256, channels: 16, limits: limits)
        }
        if let json {
            try JSONOutput.write(report, to: json)
            return
        }
        print(
            "kernels \(table.name): fma limit \(Int(limits.fmaGflops)) GFLOP/s, "
                + "copy \(String(format: "%.1f", limits.copyGigabytesPerSecond)) GB/s"
        )
        for row in report.rows {
            print(
                String(
                    format: "%8.3f ms %7.1f GFLOP/s %6.1f GB/s %5.1f %%  ",
                    row.medianSeconds * 1e3,
                    row.gflops,
                    row.gigabytesPerSecond,
                    row.fractionOfLimit * 100
                ) + row.kernel + "  " + row.shape
            )
        }
    }
}
