extension TrainingBenchmark {
    /// What a benchmark of training measured; times are medians over the counted steps.
    package struct Report: Codable, Sendable {
        package var network: String
        /// Side of a network input in pixels.
        package var size: Int
        package var kernels: String
        package var workersCount: Int
        /// Compute threads of each worker.
        package var threads: Int
        package var microbatchSize: Int
        /// Counted steps.
        package var steps: Int
        /// From one commit to the next.
        package var stepSeconds: Double
        package var stepSecondsMinimum: Double
        package var stepSecondsMaximum: Double
        /// Images of a global batch over `stepSeconds`.
        package var imagesPerSecond: Double
        /// The networks' arithmetic of all workers over `stepSeconds`, a multiply-add counted as two.
        package var gflops: Double
        /// Fused multiply-adds in registers on one idle core.
        package var fmaLimitGflops: Double
        /// `gflops` over the limit of as many cores as there are compute threads.
        package var fractionOfLimit: Double
        package var workers: [Worker]

        /// One worker's part.
        package struct Worker: Codable, Sendable {
            package var worker: Int
            package var imagesPerSecond: Double
            /// Waiting for samples; mean over the compute threads.
            package var dataSeconds: Double
            /// Forward and backward passes; mean over the compute threads.
            package var computeSeconds: Double
            /// The communication thread's work, hidden or not.
            package var communicationSeconds: Double
            /// From the end of the computation to the last sum.
            package var waitSeconds: Double
            /// The share of the communication that ran while microbatches were computed; 0 where there is none.
            package var hiddenCommunication: Double
            package var gflops: Double
            package var peakResidentBytes: Int
            /// What the peak was planned to be, before the run.
            package var plannedBytes: Int

            enum CodingKeys: String, CodingKey {
                case worker, gflops
                case imagesPerSecond = "images_per_second"
                case dataSeconds = "data_s"
                case computeSeconds = "compute_s"
                case communicationSeconds = "communication_s"
                case waitSeconds = "wait_s"
                case hiddenCommunication = "hidden_communication"
                case peakResidentBytes = "peak_rss_bytes"
                case plannedBytes = "planned_bytes"
            }
        }

        enum CodingKeys: String, CodingKey {
            case network, size, kernels, threads, steps, gflops, workers
            case workersCount = "workers_count"
            case microbatchSize = "microbatch_size"
            case stepSeconds = "step_s"
            case stepSecondsMinimum = "step_s_min"
            case stepSecondsMaximum = "step_s_max"
            case imagesPerSecond = "images_per_second"
            case fmaLimitGflops = "fma_limit_gflops"
            case fractionOfLimit = "fraction_of_limit"
        }
    }
}
