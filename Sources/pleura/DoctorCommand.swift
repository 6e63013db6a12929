import ArgumentParser
import Configuration
import Diagnostics
import Doctor

/// `pleura doctor`.
struct DoctorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Checks, before a run, every host that it would use.",
        discussion: """
            Looks at ssh, the program's build, clocks, processors, memory, disks, the data set with all its hashes, the \
            ports between all hosts and the coordinator, and whether the batch divides among the threads. Changes \
            nothing but that it makes the working folders. `launch --hosts` does the same, without reading the data.

            Exits 0 where a run would work, if with warnings, and 75 where it would not.
            """
    )

    @Argument(help: "The configuration, such as configs/demo.yaml.", transform: userPath)
    var configuration: String

    @OptionGroup var overrides: OverrideOptions

    @Option(
        help: ArgumentHelp(
            "The hosts of the run, as for `launch`; this machine alone by default.",
            valueName: "hosts.yaml"
        ),
        transform: userPath
    )
    var hosts: String?

    @Option(help: "Where the coordinator is to listen; by default a port of the system's choice.")
    var bind = "tcp://0.0.0.0:*"

    @Flag(help: "Do not read the data sets whole.")
    var quick = false

    @Flag(help: "Print the findings as JSON.")
    var json = false

    func run() throws {
        let list = try hosts.map { try HostList.load(path: $0) }
        let count = list.map { ["workers.count=\($0.seats.count)"] } ?? []
        let resolved = try RunConfiguration.load(path: configuration, overrides: overrides.set + count)
        let report = try Doctor(resolved, hosts: list, bind: bind, readsData: !quick).examine()
        try printResult(json ? try report.json : report.table())
        if report.level == .failure { throw ExitCode(ExitStatus.temporary.rawValue) }
        NextCommand.say("pleura launch \(configuration)\(hosts.map { " --hosts \($0)" } ?? "")", "starts the run")
    }
}
