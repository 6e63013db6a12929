import ArgumentParser

/// `--set`, as often as wanted.
struct OverrideOptions: ParsableArguments {
    @Option(
        name: .long,
        parsing: .singleValue,
        help: ArgumentHelp("Override a field of the configuration.", valueName: "a.b=value")
    )
    var set: [String] = []
}
