internal import Glibc
internal import VFIOUserServer

extension ProcessLimits {
  static var ofProcess: [Limit] {
    let use = ProcessUse.now
    return [
      Limit(name: "descriptors", used: use.descriptors, limit: resource(7)),
      Limit(name: "mappings", used: use.mappings, limit: nil),
      Limit(name: "resident memory (bytes)", used: use.residentMemory, limit: nil),
      Limit(name: "locked memory (bytes)", used: nil, limit: resource(8)),
      Limit(name: "file size (bytes)", used: nil, limit: resource(1)),
    ]
  }

  /// A limit of the process by its number in Linux, which Swift does not import.
  private static func resource(_ number: __rlimit_resource_t) -> UInt64? {
    var limit = rlimit()
    // Sound: the structure is lent for the call.
    guard unsafe getrlimit(number, &limit) == 0, limit.rlim_cur != rlim_t.max else { return nil }
    return UInt64(limit.rlim_cur)
  }

  /// Those of a device and its server.
  static func of(_ device: OpenDevice) -> [Limit] {
    of(device.server) + (device.files.rates?.shown(device.running.device) ?? [])
  }

  private static func of(_ server: DeviceServer) -> [Limit] {
    let statistics = server.statistics
    let limits = server.limits
    return [
      Limit(name: "clients", used: statistics.client == nil ? 0 : 1, limit: 1),
      Limit(
        name: "DMA windows", used: UInt64(statistics.windows), limit: UInt64(limits.maxDMAWindows)),
      Limit(name: "mapped memory (bytes)", used: statistics.mappedBytes, limit: nil),
      Limit(
        name: "bytes of an access", used: nil, limit: UInt64(limits.maxDataTransfer)),
      Limit(
        name: "descriptors of a message", used: nil, limit: UInt64(limits.maxMessageDescriptors)),
    ]
  }
}
