import ArgumentParser
import RunLinks

/// `pleura keygen`.
struct KeygenCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "keygen",
        abstract: "Makes the keys of a job: the coordinator's and one for each worker.",
        discussion: """
            Secret keys go into files that only their owner can read, and nowhere else. Keep server.key with the \
            coordinator; give each other host allowed.keys and the keys of its workers, for example with scp.
            """
    )

    @Argument(help: "A folder that does not exist yet.", transform: userPath)
    var folder: String

    @Option(help: "Workers of the job, all hosts together.")
    var workers = 16

    func validate() throws {
        guard (1...KeyFolder.largestCount).contains(workers) else {
            throw ValidationError("--workers must be from 1 to \(KeyFolder.largestCount), found \(workers).")
        }
    }

    func run() throws {
        let made = try KeyFolder.create(folder, workers: workers)
        printSummary(
            """
            Made the keys of a coordinator and \(workers) workers in \(made.path).
              pleura launch CONFIG --bind tcp://0.0.0.0:7000 --set security.keys=\(made.path)
              pleura worker --coordinator tcp://HOST:7000 --keys FOLDER    # with allowed.keys and a worker-N.key
            """
        )
    }
}
