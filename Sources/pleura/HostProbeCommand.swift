import ArgumentParser
import Doctor

/// The process that answers `doctor` on another host; started through ssh by it and `launch --hosts` alone.
struct HostProbeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "host-probe",
        abstract: "Answers another pleura process about this host.",
        shouldDisplay: false
    )

    func run() throws {
        try HostProbe.run()
    }
}
