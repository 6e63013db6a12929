import Reporting
import Testing

@Suite struct TextWrapTests {
    @Test func sentencesAreBrokenAtSpaces() {
        let text = "warning: a sentence that is far wider than the terminal on which it is shown"
        let lines = TextWrap.sentences("short\n  \(text)", columns: 30).split(separator: "\n")
        #expect(lines.first == "short" && lines.allSatisfy { $0.count <= 30 })
        #expect(lines.dropFirst().allSatisfy { $0.hasPrefix("  ") })
        #expect(lines.dropFirst().map { $0.dropFirst(2) }.joined(separator: " ") == text)
        // A word that is too long stays whole, and so does a table.
        #expect(
            TextWrap.sentences("a \(String(repeating: "b", count: 40)) c", columns: 30).contains(
                String(repeating: "b", count: 40)
            )
        )
        let row = "worker  host  process  phase  step  images/s"
        #expect(TextWrap.sentences(row, columns: 30) == row)
        #expect(TextWrap.sentences(text, columns: 200) == text)
    }

    @Test func whatStandsInBracketsStaysTogether() {
        let usage =
            "USAGE: pleura launch <configuration> [--set <a.b=value> ...] [--workers <workers>] [--hosts <hosts.yaml>]"
        let lines = TextWrap.usage(usage, columns: 60).split(separator: "\n")
        #expect(
            lines == [
                "USAGE: pleura launch <configuration> [--set <a.b=value> ...]",
                "       [--workers <workers>] [--hosts <hosts.yaml>]",
            ]
        )
    }
}
