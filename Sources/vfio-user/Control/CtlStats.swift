import ArgumentParser
import VFIOUserProgram
import VFIOUserServer

/// `vfio-user ctl SOCKET stats`: shows what the devices have done.
struct CtlStats: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "stats",
    abstract: "Show what the devices have done since the process began.",
    usage: "vfio-user ctl <socket> stats [<device>] [--json]",
    discussion: "`vfio-user top` shows how much that is per second.")

  @ParentCommand var parent: Ctl
  @OptionGroup var output: CtlOutput
  @OptionGroup var selection: CtlSelection

  func run() throws {
    let process = try parent.connect()
    let statistics = try process.call(
      "stats", selection.parameters(for: process),
      as: ProcessStatistics.self)
    try output.print(statistics, Self.text(statistics))
  }

  private static func text(_ statistics: ProcessStatistics) -> String {
    var lines = ["process \(statistics.process): \(statistics.use.text)"]
    for device in statistics.devices {
      let one = device.statistics
      lines += ["", "\(device.kind) \(device.socket)"]
      lines.append("  interrupts: \(one.interrupts) signalled")
      lines.append(
        "  clients: \(one.clients) accepted, \(one.refusedClients) refused, \(one.client == nil ? "none" : "one") now"
      )
      lines.append("  memory: \(one.windows) DMA windows, \(byteCount(one.mappedBytes)) mapped")
      lines.append("  messages: \(text(one.messages)), \(one.refusals) refused")
      if let work = one.work {
        lines.append(
          "  commands: \(text(work.kinds)), \(work.failures) failed, \(work.inFlight) in flight")
        if work.times.count > 0 { lines.append("  latency: \(work.times.text)") }
        lines += (work.remotes ?? []).map(text)
        if let throttle = work.throttle {
          lines.append(
            "  limits: held commands back \(throttle.waits) times, for \(timeText(throttle.time)) in all"
          )
        }
      }
    }
    return lines.joined(separator: "\n")
  }

  private static func text(_ remote: RemoteStatistics) -> String {
    let state = remote.isLost ? "lost" : "\(remote.connections) connections"
    return
      "  \(remote.name): \(state), \(remote.inFlight) commands there, came back \(remote.reconnects) times"
  }

  private static func text(_ kinds: [WorkStatistics]) -> String {
    kinds.map {
      $0.bytes > 0 ? "\($0.count) \($0.kind) (\($0.bytes) bytes)" : "\($0.count) \($0.kind)"
    }
    .joined(separator: ", ")
  }
}
