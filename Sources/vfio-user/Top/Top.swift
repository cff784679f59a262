import ArgumentParser
import Glibc
import LinuxPrimitives
import VFIOUserProgram

/// `vfio-user top`: what the devices of this machine's processes are doing.
struct Top: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "top",
    abstract:
      "Show what the devices of this machine are doing: clients, commands and bytes per second, latencies.",
    discussion: """
        vfio-user top                             all processes of this user (of root: all that root runs)
        vfio-user top /run/vfio-user.sock 4711    some, by control socket or number
        vfio-user top --count 1 --json            one measurement, for a program
        vfio-user top --prometheus                counters in Prometheus's text format, once

      MSG/S are messages of the VMM, of which REFUSED/S were answered with an error; INT/S interrupts of the device; \
      MAPPED is the guest's memory that the device reaches. IO/S are commands of the guest's driver to a disk, DEPTH those \
      in progress. The percentiles are those of the interval: of a disk's commands from the moment at which it has \
      fetched one until it completes it, else of the time that the service of a message takes. \
      HELD is the share of the time in which rate limits held commands back.

      Exit codes: 0 done, 1 no process can be asked, 64 wrong usage.
      """)

  @Argument(help: "Control sockets, or numbers of processes; else all processes of this machine.")
  var processes: [String] = []

  @Option(help: ArgumentHelp("Seconds between two measurements.", valueName: "seconds"))
  var interval = 1.0

  @Option(
    help: ArgumentHelp("Measure so many times, and end; else until Ctrl-C.", valueName: "number"))
  var count: Int?

  @Flag(help: "Print a line of JSON for each measurement.")
  var json = false

  @Flag(help: "Print the counters in Prometheus's text format, once.")
  var prometheus = false

  func validate() throws {
    guard 0.05...3600 ~= interval else {
      throw ValidationError("--interval takes 0.05 to 3600 seconds, not \(interval).")
    }
    guard count.map({ $0 > 0 }) ?? true else {
      throw ValidationError("--count takes a number above 0.")
    }
    guard !(json && prometheus) else { throw ValidationError("choose --json or --prometheus.") }
  }

  func run() throws {
    if prometheus { return try say(PrometheusText.of(try collect())) }
    try Interruption.watch()
    var screen = Screen(isLive: !json && count != 1 && isatty(STDOUT_FILENO) == 1)
    var earlier = try collect()
    var left = count ?? .max
    while left > 0 {
      guard pause() else { break }
      let now = try collect()
      let figures = TopFigures(from: earlier, to: now)
      if json {
        try say(lineJSON(figures))
      } else {
        try screen.show(TopTable.lines(figures))
      }
      earlier = now
      left -= 1
    }
  }

  /// Waits for the interval.
  ///
  /// - Returns: false if the user does not want any more.
  private func pause() -> Bool {
    let deadline = Deadline.after(.milliseconds(Int(interval * 1000)))
    while !deadline.hasPassed {
      if Interruption.hasCome { return false }
      usleep(UInt32(min(50_000_000, deadline.remaining) / 1000))
    }
    return !Interruption.hasCome
  }

  /// Asks all processes; one that does not answer is left out.
  ///
  /// - Throws: ``CommandError`` if none answers.
  private func collect() throws -> [ProcessStatistics] {
    var failures: [String] = []
    var answers: [ProcessStatistics] = []
    for client in try clients(&failures) {
      do {
        answers.append(
          try client.call(
            "stats", SelectionParameters(), as: ProcessStatistics.self, for: .seconds(2)))
      } catch {
        failures.append("\(error)")
      }
    }
    guard answers.isEmpty else { return ProcessStatistics.once(answers) }
    throw CommandError(
      failures.first
        ?? "no process of this user serves devices. `vfio-user serve` starts one; those of others need their user, or root."
    )
  }

  private func clients(_ failures: inout [String]) throws -> [ControlClient] {
    guard !processes.isEmpty else { return ControlClient.ofThisMachine() }
    return processes.compactMap { name in
      do {
        if let process = Int32(name), process > 0 { return try ControlClient(process: process) }
        return try ControlClient(path: name)
      } catch {
        failures.append("\(error)")
        return nil
      }
    }
  }
}
