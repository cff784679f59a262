package import LinuxPrimitives

/// What a server and its device have done since the process began, and what they hold now.
package struct ServerStatistics: Codable, Sendable {
  /// The process of the present client, as the system says; 0 if it does not say, nil if there is no client.
  package var client: Int32?
  /// How many clients were accepted.
  package var clients: UInt64
  /// How many were refused because there was one already.
  package var refusedClients: UInt64
  /// Messages by kind: `read`, `write`, `map`, `other`.
  package var messages: [WorkStatistics]
  /// Messages that were answered with an error.
  package var refusals: UInt64
  /// How long the service of one of 16 messages took, from decoding to reply.
  package var messageTimes: LatencyHistogram
  /// Interrupts that were signalled.
  package var interrupts: UInt64
  /// DMA windows of the present client.
  package var windows: Int
  /// Of these, bytes that are mapped into this process.
  package var mappedBytes: UInt64
  /// What the device has done; nil for a device that does not count.
  package var work: DeviceWork?
}

extension DeviceServer {
  /// What was done so far; from any thread, at any time.
  package var statistics: ServerStatistics {
    let counters = dispatcher.counters
    let hasClient = hasClient
    return ServerStatistics(
      client: hasClient ? clientProcess ?? 0 : nil, clients: counters.clients.now,
      refusedClients: counters.refusedClients.now, messages: counters.messages,
      refusals: counters.refusals.now, messageTimes: counters.serviceTimes,
      interrupts: dispatcher.core.interrupts.signals,
      windows: dispatcher.core.memory.windowCount,
      mappedBytes: dispatcher.core.memory.mappedBytes,
      work: (device as? any CountingDevice)?.work)
  }
}

extension DeviceServer {
  /// The limits of its clients.
  package var limits: ServerOptions { dispatcher.options }
}
