import ArgumentParser
import NVMeDevice

/// How much a disk does in a second.
struct RateOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Most operations per second (reads, writes, flushes), and behind a slash how many at once after a rest: 1000, 1000/5000.",
      valueName: "number[/burst]"),
    transform: RateText.init(text:))
  var limitOps: RateText?

  @Option(
    help: ArgumentHelp("As --limit-ops, of reads alone.", valueName: "number[/burst]"),
    transform: RateText.init(text:))
  var limitReadOps: RateText?

  @Option(
    help: ArgumentHelp(
      "As --limit-ops, of everything that is no read.", valueName: "number[/burst]"),
    transform: RateText.init(text:))
  var limitWriteOps: RateText?

  @Option(
    help: ArgumentHelp(
      "Most bytes read and written per second, and behind a slash how many at once after a rest: 100M, 100M/1G.",
      valueName: "size[/burst]"),
    transform: RateText.init(text:))
  var limitBytes: RateText?

  @Option(
    help: ArgumentHelp("As --limit-bytes, of reads alone.", valueName: "size[/burst]"),
    transform: RateText.init(text:))
  var limitReadBytes: RateText?

  @Option(
    help: ArgumentHelp("As --limit-bytes, of writes alone.", valueName: "size[/burst]"),
    transform: RateText.init(text:))
  var limitWriteBytes: RateText?

  private var texts: [RateText?] {
    [limitOps, limitReadOps, limitWriteOps, limitBytes, limitReadBytes, limitWriteBytes]
  }

  var limits: RateLimits {
    var limits = RateLimits()
    for (kind, text) in zip(RateKind.all, texts) { limits[keyPath: kind.limit] = text?.limit }
    return limits
  }

  func validate() throws {
    try RateKind.check(texts, prefix: "--limit-")
  }
}
