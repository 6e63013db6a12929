import Foundation
import Testing

extension Processes {
    /// The job script for Slurm, with stand-ins for Slurm and the program.
    @Suite(.serialized) struct Slurm {
        /// The script of this source tree.
        private static let script = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("cluster/slurm.sbatch").path

        private func write(_ text: String, as path: String) throws {
            try text.write(toFile: path, atomically: true, encoding: .utf8)
            try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: path)
        }

        @Test(.timeLimit(.minutes(15)))
        func eachTaskGetsItsCoresAndItsThreads() throws {
            let runner = try ProgramRunner()
            defer { runner.remove() }
            // Binds each task to one core unless it is told how many, as Slurm does from 22.05 on.
            try write(
                """
                #!/bin/bash
                cores=1
                while [[ "$1" == --* ]]; do
                    [[ "$1" == --cpus-per-task=* ]] && cores=${1#*=}
                    shift
                done
                for task in $(seq 0 $((SLURM_NTASKS - 1))); do CORES=$cores SLURM_PROCID=$task "$@"; done

                """,
                as: runner.path("srun")
            )
            try write(
                """
                #!/bin/bash
                case "$1" in
                    keygen) mkdir "$2" ;;
                    worker) echo "$CORES cores: $*" >> "$OUTPUT" ;;
                    *) echo "$*" >> "$OUTPUT.launch" ;;
                esac

                """,
                as: runner.path("pleura")
            )
            let process = Process()
            process.executableURL = URL(fileURLWithPath: "/bin/bash")
            process.arguments = [Self.script, "demo.yaml"]
            process.currentDirectoryURL = runner.folder
            let path = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin"
            process.environment = [
                "PATH": "\(runner.folder.path):\(path)", "OUTPUT": runner.path("output"), "SLURM_JOB_ID": "7",
                "SLURM_NTASKS": "2", "SLURM_CPUS_PER_TASK": "8",
            ]
            try process.run()
            process.waitUntilExit()
            #expect(process.terminationStatus == 0)
            let workers = try String(contentsOfFile: runner.path("output"), encoding: .utf8).split(separator: "\n")
            #expect(workers.count == 2)
            for (task, line) in workers.enumerated() {
                #expect(
                    line.hasPrefix("8 cores: worker --coordinator tcp://") && line.contains("--threads 8"),
                    "\(line)"
                )
                #expect(line.hasSuffix("--key worker-\(task)"), "\(line)")
            }
        }
    }
}
