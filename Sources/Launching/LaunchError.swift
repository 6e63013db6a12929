package import Diagnostics

/// Why a run cannot go on with what is there.
package enum LaunchError: ReportableError {
    /// A file of the data set is damaged, as the sentence says; the run in the folder ended for it.
    case damagedShard(String, shards: String, run: String)
    /// The checkpoint was trained on the data set of one digest; the folder has another.
    case otherDataset(checkpoint: String, digest: String, shards: String, found: String)
    /// The checkpoint's bits come from other arithmetic than the run's.
    case otherNumerics(checkpoint: String, profile: String, run: String)
    /// Standard input has no order of `launch`.
    case noOrder
    /// The order is one of another build of the program.
    case orderForm(found: Int, reads: Int)
    /// The order has a number that no launcher sends.
    case orderSilence(seconds: Double)

    package var exitStatus: ExitStatus {
        switch self {
        case .damagedShard, .otherDataset, .otherNumerics: .badInput
        case .noOrder: .usage
        case .orderForm, .orderSilence: .internal
        }
    }

    package var description: String {
        switch self {
        case .damagedShard(let defect, let shards, let run):
            "The run has ended because a shard of its data set is damaged: \(defect) `pleura verify \(shards)` finds all that "
                + "is. Make the shards again with `pleura shard`, or put a copy there, and go on with `pleura resume \(run)`."
        case .otherDataset(let checkpoint, let digest, let shards, let found):
            "The checkpoint \(checkpoint) was trained on the data set \(digest); \(shards) has \(found). Give the folder with "
                + "the same shards by --set data.shards=FOLDER."
        case .otherNumerics(let checkpoint, let profile, let run):
            "The checkpoint \(checkpoint) has the numerics profile \(profile), the run \(run)."
        case .noOrder: "Standard input has no order for a guard: `pleura launch --hosts` starts guards."
        case .orderForm(let found, let reads):
            "The launcher's order has the form \(found), this program reads \(reads): install the launcher's build here."
        case .orderSilence(let seconds): "The launcher's order has a silence of \(seconds) s: it is damaged."
        }
    }
}
