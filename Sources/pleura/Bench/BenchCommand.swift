import ArgumentParser

/// `pleura bench`: measurements that anybody can repeat.
struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Measures parts of the program on this machine.",
        subcommands: [
            BenchTrainCommand.self, BenchKernelsCommand.self, BenchAllreduceCommand.self, BenchFoldCommand.self,
            BenchCoordinationCommand.self, BenchAllreduceMemberCommand.self, BenchCoordinationWorkersCommand.self,
        ]
    )
}
