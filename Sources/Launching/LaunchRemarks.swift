package import Configuration
import Foundation
import KernelSelection
import Platform

/// What is worth a warning before a run starts here, as sentences: allowed, and probably not meant.
package struct LaunchRemarks: Sendable {
    /// What is known of this machine.
    package struct Machine: Sendable {
        /// Cores that this process may use, and why not more where that is so.
        package var cores: Int
        package var limits: String
        /// Whether the processor multiplies bfloat16 itself, and whether vector kernels run on it.
        package var hasDotProduct: Bool
        package var hasVectors: Bool

        package init(cores: Int, limits: String = "", hasDotProduct: Bool = true, hasVectors: Bool = true) {
            self.cores = cores
            self.limits = limits
            self.hasDotProduct = hasDotProduct
            self.hasVectors = hasVectors
        }

        /// This one.
        package static var own: Machine {
            let variant = try? KernelVariant.selected(environment: ProcessInfo.processInfo.environment)
            return Machine(
                cores: UsableProcessors.count,
                limits: UsableProcessors.limits,
                hasDotProduct: KernelVariant.hasDotProduct,
                hasVectors: variant != .reference
            )
        }
    }

    /// About workers on this machine.
    package static func local(_ configuration: RunConfiguration, _ machine: Machine) -> [String] {
        var remarks: [String] = []
        let count = configuration.workers.count
        let own = configuration.threads(usable: machine.cores)
        let threads = count * own
        if threads > machine.cores {
            let each = "\(count) worker\(count == 1 ? "" : "s") with \(own) thread\(own == 1 ? "" : "s") each"
            remarks.append(
                "\(each) want \(threads) cores, and this process may use \(machine.cores)"
                    + "\(machine.limits.isEmpty ? "" : " (\(machine.limits))"): they take turns, and more of them make the run "
                    + "no faster."
            )
        }
        if configuration.precision == .bf16, !machine.hasDotProduct {
            remarks.append(
                "This processor has no AVX512_BF16: precision bf16 gives the same bits here, many times slower. "
                    + "`--set precision=fp32` is faster, with other bits."
            )
        } else if !machine.hasVectors {
            remarks.append("This processor has no AVX2: scalar kernels give the same bits, many times slower.")
        }
        return remarks
    }

    /// About images of `shards` pixels a side in a network of `network`.
    package static func sizes(shards: Int, network: Int) -> String? {
        guard network > shards else { return nil }
        let times = Double(network * network) / Double(shards * shards)
        let factor = (times * 10).rounded() / 10
        let text = factor == factor.rounded() ? "\(Int(factor))" : "\(factor)"
        return
            "The shards have images of \(shards) × \(shards) and data.size is \(network): they are enlarged, which shows the "
            + "network nothing more and takes about \(text) times as long. `--set data.size=0` trains at their own size, and "
            + "`pleura shard --size \(network)` makes larger ones."
    }
}
