/// The figures of `vfio-user top` as a table.
enum TopTable {
  static func lines(_ figures: TopFigures) -> [String] {
    guard !figures.devices.isEmpty else { return ["no devices"] }
    var table = Table(
      [
        "PROCESS", "DEVICE", "CLIENT", "MSG/S", "REFUSED/S", "INT/S", "MAPPED", "IO/S", "READ/S",
        "WRITE/S", "DEPTH", "P50", "P99", "P99.9", "FAILED/S", "HELD",
        "SOCKET",
      ], numbers: Set(2..<16).union([0]))
    for device in figures.devices { table.add(row(device)) }
    return table.lines
  }

  private static func row(_ device: TopFigures.Device) -> [String] {
    let latencies = device.commandLatencies ?? device.messageLatencies
    func bytes(_ kind: String) -> String {
      let rates = device.commands ?? device.messages
      return scaled(rates.first { $0.kind == kind }?.bytesPerSecond ?? 0)
    }
    return [
      "\(device.process)", device.kind,
      device.client.map { $0 > 0 ? "\($0)" : "yes" } ?? "-",
      number(device.messages.map(\.perSecond).reduce(0, +)),
      number(device.refusalsPerSecond), number(device.interruptsPerSecond),
      scaled(Double(device.mappedBytes)),
      device.commands.map { number($0.map(\.perSecond).reduce(0, +)) } ?? "-", bytes("read"),
      bytes("write"), device.inFlight.map { "\($0)" } ?? "-",
      latencies.map { timeText($0.p50) } ?? "-",
      latencies.map { timeText($0.p99) } ?? "-", latencies.map { timeText($0.p999) } ?? "-",
      device.failuresPerSecond.map { number($0) } ?? "-",
      device.held.map { "\(Int(($0 * 100).rounded()))%" } ?? "-", device.socket,
    ]
  }

  /// A number without a fraction, or with one digit if it is small.
  private static func number(_ value: Double) -> String {
    fixed(value, value >= 10 || (value * 10).rounded().remainder(dividingBy: 10) == 0 ? 0 : 1)
  }

  /// Bytes with a unit.
  private static func scaled(_ value: Double) -> String {
    let units = ["", "K", "M", "G", "T"]
    var (value, unit) = (value, 0)
    while value >= 1024, unit < units.count - 1 {
      value /= 1024
      unit += 1
    }
    return number(value) + units[unit]
  }
}
