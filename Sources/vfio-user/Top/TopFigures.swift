import LinuxPrimitives
import VFIOUserProgram
import VFIOUserServer

/// What devices have done in an interval.
struct TopFigures: Codable {
  /// A kind of work, per second.
  struct Rate: Codable {
    let kind: String
    let perSecond: Double
    let bytesPerSecond: Double
  }

  /// Latencies in nanoseconds.
  struct Latencies: Codable {
    let p50: UInt64
    let p99: UInt64
    let p999: UInt64

    init?(_ histogram: LatencyHistogram) {
      guard histogram.count > 0 else { return nil }
      p50 = histogram.quantile(0.5)
      p99 = histogram.quantile(0.99)
      p999 = histogram.quantile(0.999)
    }
  }

  struct Device: Codable {
    let process: Int32
    let kind: String
    let socket: String
    /// The process of the client; 0 if it is not known, nil without a client.
    let client: Int32?
    let messages: [Rate]
    let messageLatencies: Latencies?
    let refusalsPerSecond: Double
    let interruptsPerSecond: Double
    let mappedBytes: UInt64
    /// Commands of the guest's driver; nil for a device that does not count.
    let commands: [Rate]?
    let commandLatencies: Latencies?
    let failuresPerSecond: Double?
    let inFlight: UInt64?
    /// The share of the time in which rate limits held commands back, 0 to 1; nil without any.
    let held: Double?
  }

  /// Seconds.
  let interval: Double
  let devices: [Device]

  /// - Parameters: two measurements of the same processes; what is in one of them only is left out.
  init(from earlier: [ProcessStatistics], to later: [ProcessStatistics]) {
    var interval = 0.0
    var devices: [Device] = []
    for now in later {
      // A process that was upgraded in between counts anew: its figures are those since then.
      let before = earlier.first { $0.process == now.process }
      let seconds = before.map { Double(now.time &- $0.time) / 1e9 } ?? 0
      guard seconds > 0 else { continue }
      interval = max(interval, seconds)
      for device in now.devices {
        let past = before?.devices.first { $0.socket == device.socket }?.statistics
        devices.append(Device(device, of: now.process, since: past, seconds))
      }
    }
    self.interval = interval
    self.devices = devices
  }
}

extension TopFigures.Device {
  init(
    _ device: ProcessStatistics.Device, of process: Int32, since past: ServerStatistics?,
    _ seconds: Double
  ) {
    let now = device.statistics
    self.process = device.process ?? process
    kind = device.kind
    socket = device.socket
    client = now.client
    messages = TopFigures.rates(now.messages, past?.messages, seconds)
    messageLatencies = .init(now.messageTimes.since(past?.messageTimes ?? .init()))
    refusalsPerSecond = TopFigures.rate(now.refusals, past?.refusals, seconds)
    interruptsPerSecond = TopFigures.rate(now.interrupts, past?.interrupts, seconds)
    mappedBytes = now.mappedBytes
    commands = now.work.map { TopFigures.rates($0.kinds, past?.work?.kinds, seconds) }
    commandLatencies = now.work.flatMap { .init($0.times.since(past?.work?.times ?? .init())) }
    failuresPerSecond = now.work.map {
      TopFigures.rate($0.failures, past?.work?.failures, seconds)
    }
    inFlight = now.work?.inFlight
    held = now.work?.throttle.map {
      min(TopFigures.rate($0.time, past?.work?.throttle?.time, seconds) / 1e9, 1)
    }
  }
}

extension TopFigures {
  /// A counter that is smaller than before has begun again.
  fileprivate static func rate(_ now: UInt64, _ past: UInt64?, _ seconds: Double) -> Double {
    let past = past ?? 0
    return Double(now >= past ? now - past : now) / seconds
  }

  fileprivate static func rates(
    _ now: [WorkStatistics], _ past: [WorkStatistics]?, _ seconds: Double
  ) -> [Rate] {
    now.map { one in
      let before = past?.first { $0.kind == one.kind }
      return Rate(
        kind: one.kind, perSecond: rate(one.count, before?.count, seconds),
        bytesPerSecond: rate(one.bytes, before?.bytes, seconds))
    }
  }
}
