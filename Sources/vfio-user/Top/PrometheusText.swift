import LinuxPrimitives
import VFIOUserProgram
import VFIOUserServer

/// Counters in Prometheus's text format (version 0.0.4).
enum PrometheusText {
  private struct Metric {
    let name: String
    let type: String
    let help: String
    let samples: [(labels: [(String, String)], value: String)]

    init(
      _ name: String, _ type: String, _ help: String,
      _ samples: [(labels: [(String, String)], value: String)]
    ) {
      self.name = name
      self.type = type
      self.help = help
      self.samples = samples
    }

    var lines: [String] {
      guard !samples.isEmpty else { return [] }
      return ["# HELP \(name) \(help)", "# TYPE \(name) \(type)"]
        + samples.map {
          "\(name){\($0.labels.map(PrometheusText.label).joined(separator: ","))} \($0.value)"
        }
    }
  }

  static func of(_ processes: [ProcessStatistics]) -> String {
    let devices = processes.flatMap { process in
      process.devices.map { (labels(process, $0), $0.statistics) }
    }
    let metrics = ofProcesses(processes) + ofServers(devices) + ofDisks(devices)
    return metrics.flatMap(\.lines).joined(separator: "\n")
  }

  private static func labels(
    _ process: ProcessStatistics, _ device: ProcessStatistics.Device
  ) -> [(String, String)] {
    [
      ("process", "\(device.process ?? process.process)"), ("device", device.kind),
      ("socket", device.socket),
    ]
  }

  private static func label(_ name: String, _ value: String) -> String {
    let escaped = value.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"")
      .replacing("\n", with: "\\n")
    return "\(name)=\"\(escaped)\""
  }

  private static func ofProcesses(_ processes: [ProcessStatistics]) -> [Metric] {
    let samples = processes.map { ([("process", "\($0.process)")], $0) }
    return [
      Metric(
        "vfio_user_process_cpu_seconds_total", "counter", "Processor time of the process.",
        samples.map { ($0.0, "\($0.1.use.processorTime)") }),
      Metric(
        "vfio_user_process_resident_bytes", "gauge", "Resident memory of the process.",
        samples.compactMap { labels, one in one.use.residentMemory.map { (labels, "\($0)") } }),
      Metric(
        "vfio_user_process_descriptors", "gauge", "Open descriptors of the process.",
        samples.compactMap { labels, one in one.use.descriptors.map { (labels, "\($0)") } }),
    ]
  }

  private static func ofServers(
    _ devices: [(labels: [(String, String)], one: ServerStatistics)]
  ) -> [Metric] {
    func each(_ value: (ServerStatistics) -> UInt64) -> [(
      labels: [(String, String)], value: String
    )] {
      devices.map { ($0.labels, "\(value($0.one))") }
    }
    return [
      Metric(
        "vfio_user_has_client", "gauge", "1 with a client.", each { $0.client == nil ? 0 : 1 }),
      Metric("vfio_user_clients_total", "counter", "Clients accepted.", each(\.clients)),
      Metric(
        "vfio_user_refused_clients_total", "counter", "Clients refused.", each(\.refusedClients)),
      Metric(
        "vfio_user_messages_total", "counter", "Messages of clients.",
        kinds(devices, \.messages, \.count)),
      Metric(
        "vfio_user_message_bytes_total", "counter", "Data of region accesses by messages.",
        kinds(devices, \.messages, \.bytes)),
      Metric(
        "vfio_user_refusals_total", "counter", "Messages answered with an error.", each(\.refusals)),
      Metric(
        "vfio_user_interrupts_total", "counter", "Interrupts signalled.", each(\.interrupts)),
      Metric("vfio_user_dma_windows", "gauge", "DMA windows.", each { UInt64($0.windows) }),
      Metric(
        "vfio_user_mapped_bytes", "gauge", "Mapped memory of the client.", each(\.mappedBytes)),
    ]
  }

  private static func ofDisks(
    _ devices: [(labels: [(String, String)], one: ServerStatistics)]
  ) -> [Metric] {
    let counting = devices.compactMap { device in
      device.one.work.map { (labels: device.labels, work: $0) }
    }
    return [
      Metric(
        "vfio_user_commands_total", "counter", "Commands of the guest's driver.",
        kinds(devices, { $0.work?.kinds ?? [] }, \.count)),
      Metric(
        "vfio_user_command_bytes_total", "counter", "Data of these commands.",
        kinds(devices, { $0.work?.kinds ?? [] }, \.bytes)),
      Metric(
        "vfio_user_command_failures_total", "counter", "Commands that have failed.",
        counting.map { ($0.labels, "\($0.work.failures)") }),
      Metric(
        "vfio_user_commands_in_flight", "gauge", "Commands in progress.",
        counting.map { ($0.labels, "\($0.work.inFlight)") }),
      Metric(
        "vfio_user_throttle_waits_total", "counter", "How often commands waited for a rate limit.",
        throttles(counting) { "\($0.waits)" }),
      Metric(
        "vfio_user_throttled_seconds_total", "counter",
        "Time in which commands waited for a rate limit.",
        throttles(counting) { "\(Double($0.time) / 1e9)" }),
      Metric(
        "vfio_user_remote_lost", "gauge", "Whether the NBD server of an export is lost.",
        remotes(counting) { $0.isLost ? "1" : "0" }),
      Metric(
        "vfio_user_remote_reconnects_total", "counter",
        "How often the NBD server of an export was lost and came back.",
        remotes(counting) { "\($0.reconnects)" }),
      Metric(
        "vfio_user_command_seconds", "gauge",
        "Quantiles of the time of a command since the process began, of one command in \(DeviceWork.sampling).",
        counting.flatMap { quantiles($0.labels, $0.work.times) }),
    ]
  }

  private static func remotes(
    _ devices: [(labels: [(String, String)], work: DeviceWork)],
    _ value: (RemoteStatistics) -> String
  ) -> [(labels: [(String, String)], value: String)] {
    devices.flatMap { device in
      (device.work.remotes ?? []).map { (device.labels + [("export", $0.name)], value($0)) }
    }
  }

  private static func quantiles(
    _ labels: [(String, String)], _ times: LatencyHistogram
  ) -> [(labels: [(String, String)], value: String)] {
    guard times.count > 0 else { return [] }
    return [0.5, 0.99, 0.999].map { share in
      (labels + [("quantile", "\(share)")], "\(Double(times.quantile(share)) / 1e9)")
    }
  }

  private static func throttles(
    _ devices: [(labels: [(String, String)], work: DeviceWork)],
    _ value: (ThrottleStatistics) -> String
  ) -> [(labels: [(String, String)], value: String)] {
    devices.compactMap { device in device.work.throttle.map { (device.labels, value($0)) } }
  }

  private static func kinds(
    _ devices: [(labels: [(String, String)], one: ServerStatistics)],
    _ list: (ServerStatistics) -> [WorkStatistics], _ value: (WorkStatistics) -> UInt64
  ) -> [(labels: [(String, String)], value: String)] {
    devices.flatMap { device in
      list(device.one).map { (device.labels + [("kind", $0.kind)], "\(value($0))") }
    }
  }
}
