import Testing

extension Processes {
    /// The fuzzer, in a process of its own: a decoder that breaks a rule ends it.
    @Suite(.serialized) struct Fuzzing {
        @Test(.timeLimit(.minutes(5)))
        func aHundredThousandInputsBreakNoDecoder() throws {
            let runner = try ProgramRunner()
            defer { runner.remove() }
            let outcome = try runner.run(["fuzz", "--cases", "100000", "--seed", "1"])
            #expect(outcome.status == 0, "\(outcome.output)\n\(outcome.errors)")
            // Every decoder accepts some of what it is given, so that what stands behind its first check is reached.
            let rows = outcome.output.matches(of: /(\S+) +(\d+) cases, (\d+) accepted/)
            #expect(rows.count >= 14)
            for row in rows { #expect(Int(row.3) ?? 0 > 0, "\(row.1)") }
            #expect(rows.reduce(0) { $0 + (Int($1.2) ?? 0) } == 100_000)
        }

        @Test(
            .timeLimit(.minutes(5)),
            arguments: [
                ("broken-trap", "ended the program by signal"), ("broken-hang", "does not end"),
                ("broken-memory", "ended the program by signal"), ("broken-greed", "MiB more than at the start"),
                ("broken-sense", "it makes no sense"),
            ]
        )
        func itNoticesDecodersThatBreakARule(target: String, message: String) throws {
            let runner = try ProgramRunner()
            defer { runner.remove() }
            let outcome = try runner.run(["fuzz", "--cases", "1000", "--seed", "1", "--target", target])
            #expect(outcome.status == 70 && outcome.errors.contains(message), "\(outcome.status) \(outcome.errors)")
            #expect(outcome.errors.contains("ase "), "\(outcome.errors)")
        }
    }
}
