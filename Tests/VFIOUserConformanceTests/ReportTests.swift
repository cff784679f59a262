import LinuxPrimitives
import Testing

@testable import VFIOUserConformance

@Suite struct `Reports of checks` {
  private static func result(_ number: Int, _ outcome: Outcome) -> CheckResult {
    CheckResult(
      subject: .init(
        number: number, group: "dma", title: "A <title> & \"more\"", clause: "Header",
        isDestructive: false),
      outcome: outcome, seconds: 0.25)
  }

  private let results = [
    result(1, .passed), result(2, .failed(expected: "a < b", seen: "b\u{1B}[31m")),
    result(3, .differs(knownOf: "QEMU", expected: "a", seen: "b")), result(4, .skipped("no DMA")),
  ]

  @Test func `The summary counts each outcome`() {
    let summary = Summary(results)
    #expect(summary.pass == 1 && summary.fail == 1 && summary.differs == 1 && summary.skip == 1)
    #expect(summary.text.hasPrefix("1 passed, 1 failed, 1 differ"))
  }

  @Test func `The summary says how many of the skipped need --destructive`() {
    let skipped = Self.result(5, .skipped(ServerSuite.needsDestructive))
    #expect(Summary(results).text.hasSuffix("1 skipped."))
    #expect(
      Summary(results + [skipped]).text.hasSuffix("2 skipped, 1 of them needs --destructive."))
    #expect(
      Summary(results + [skipped, skipped]).text
        .hasSuffix("3 skipped, 2 of them need --destructive."))
  }

  @Test func `A wait is said with its length`() {
    let start = Deadline.now
    #expect(Sight.silence(since: start, unfinished: 3).text.hasPrefix("only 3 bytes of it within "))
    #expect(Sight.time(since: start + 1_000_000_000) == "0 milliseconds")
    #expect(Sight.time(since: start - 60_000_000_000).hasSuffix(" seconds"))
    #expect(Sight.silence(since: start, unfinished: 0).kind == .silence)
  }

  @Test func `XML escapes what it cannot hold`() {
    let text = JUnitReport(subject: "a & b", results).text
    #expect(text.contains("A &lt;title&gt; &amp; &quot;more&quot;"))
    #expect(text.contains("<failure message=\"expected: a &lt; b\">seen: b?[31m"))
    #expect(text.contains("<skipped message=\"no DMA\"/>"))
    #expect(text.contains("tests=\"4\" failures=\"1\" skipped=\"1\""))
    #expect(text.hasSuffix("</testsuites>\n"))
  }

  @Test func `JSON has a word for each outcome`() throws {
    let text = try JSONReport(subject: "/tmp/a", results).text()
    for word in ["pass", "fail", "differs", "skip"] {
      #expect(text.contains("\"outcome\" : \"\(word)\""))
    }
    #expect(text.contains("\"knownOf\" : \"QEMU\"") && text.contains("\"reason\" : \"no DMA\""))
  }

  @Test func `Text of a peer cannot control the terminal`() throws {
    let lines = TextReport(isColoured: false, showsAll: false).lines(for: results[1])
    #expect(try !#require(lines).contains("\u{1B}"))
    #expect(TextReport(isColoured: false, showsAll: false).lines(for: results[0]) == nil)
    #expect(
      TextReport(isColoured: true, showsAll: true).lines(for: results[0])?.contains("\u{1B}[32m")
        == true)
  }

  @Test(arguments: [
    ("101", [101]), ("101-103", [101, 102, 103]), ("104, 102", [102, 104]),
    ("repeats.*message", [101, 107]), ("REPEATS THE MESSAGE ID$", [101]),
  ])
  func `A selection chooses by number, range or title`(text: String, numbers: [Int]) throws {
    let selection = try Selection(text)
    let chosen = Check.framing.map(\.subject).filter { selection.contains($0) }.map(\.number)
    #expect(chosen == numbers)
  }

  @Test func `A selection chooses a group by its name`() throws {
    let selection = try Selection("dma,1001")
    let chosen = Check.all.map(\.subject).filter { selection.contains($0) }
    #expect(chosen.count == Check.all.count { $0.group == .dma } + 1)
  }

  @Test(arguments: ["", ",", "(", "9-1"])
  func `A selection without sense is refused`(text: String) {
    #expect(throws: Selection.Mistake.self) { try Selection(text) }
  }

  @Test func `A documented deviation names its implementation`() {
    let overlap = Verdict.failed(expected: "EEXIST", seen: Sight("error 22", .refusal(22)))
    #expect(KnownDeviation.outcome(of: 610, overlap).word == "differs")
    #expect(KnownDeviation.outcome(of: 620, overlap).word == "fail")
    let other = Verdict.failed(expected: "EEXIST", seen: Sight("error 1", .refusal(1)))
    #expect(KnownDeviation.outcome(of: 610, other).word == "fail")
  }
}
