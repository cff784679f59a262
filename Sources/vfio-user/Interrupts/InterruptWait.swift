import CLinux
import VFIOUserClient
import VFIOUserProgram

/// The wait of `vfio-user irq`.
struct InterruptWait {
  /// How often the end of the wait, and of the device, is looked for; and how often lines are printed.
  private static let slice: Duration = .milliseconds(100)
  private static let linesEvery: UInt64 = 100_000_000

  private let setup: InterruptSetup
  private let options: Irq
  private let start = clinux_now()
  private var nextLine: UInt64 = 0
  private var hasWarned = false
  private(set) var counts = InterruptCounts()

  init(_ setup: InterruptSetup, _ options: Irq) {
    self.setup = setup
    self.options = options
  }

  private struct Line: Encodable {
    let seconds: Double
    let vector: Int
    let count: UInt64
    let total: UInt64
  }

  private struct Summary: Encodable {
    let type: String
    let seconds: Double
    let total: UInt64
    let vectors: [InterruptCounts.Row]
  }

  private var seconds: Double { Double(clinux_now() - start) / 1e9 }

  /// Waits until enough have come, the time is over, or the user ends it.
  mutating func run() throws {
    let counters = setup.vectors.map(\.counter)
    while !Interruption.hasCome, counts.total < options.count ?? .max,
      seconds < options.timeout ?? .infinity
    {
      let ready = EventFD.wait(forAnyOf: counters, for: Self.slice)
      for place in ready {
        let count = counters[place].take()
        if count > 0 { counts.add(count, vector: setup.vectors[place].number) }
      }
      if !ready.isEmpty { try answer() }
      try printFresh()
      if let failure = setup.client.failure { throw ClientError.disconnected(failure) }
    }
    nextLine = 0
    try printFresh()
  }

  /// What a driver does in its handler.
  private mutating func answer() throws {
    for order in options.acknowledge { try order.carryOut(setup.client) }
    if setup.isAutoMasked, !options.noUnmask {
      try setup.client.setMask(false, on: setup.index)
    }
    guard setup.isAutoMasked, options.acknowledge.isEmpty, !options.noUnmask, !hasWarned,
      counts.total > 1000, Double(counts.total) > 500 * seconds
    else { return }
    hasWarned = true
    note(
      "\(setup.index) stays high: the device waits for a register to be written, and interrupts again and again. --acknowledge REGION:OFFSET=VALUE does it."
    )
  }

  private mutating func printFresh() throws {
    let now = clinux_now()
    guard now >= nextLine else { return }
    let fresh = counts.takeFresh()
    guard !fresh.isEmpty else { return }
    nextLine = now + Self.linesEvery
    for (vector, count) in fresh {
      let total = counts.counts[vector] ?? count
      if options.json {
        try say(lineJSON(Line(seconds: seconds, vector: vector, count: count, total: total)))
      } else {
        try say(
          "\(fixed(seconds, 3)) s  \(setup.index) vector \(vector): \(grouped(count)) (\(grouped(total)) in all)"
        )
      }
    }
  }

  /// Prints the counts and rates.
  func report() throws {
    let seconds = seconds
    let name = "\(setup.index)"
    guard options.json else {
      return try say(counts.lines(name, seconds: seconds).joined(separator: "\n"))
    }
    try say(
      lineJSON(
        Summary(
          type: name, seconds: seconds, total: counts.total, vectors: counts.rows(seconds: seconds))
      ))
  }
}
