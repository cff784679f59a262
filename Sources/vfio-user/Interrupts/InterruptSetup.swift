import VFIOUserClient
import VFIOUserInspection
import VFIOUserProgram

/// Interrupts of one type, set up as a VMM and a guest's driver would, until ``end()``.
final class InterruptSetup {
  let client: Client
  let index: InterruptIndex
  /// The vectors, and the eventfd of each.
  let vectors: [(number: Int, counter: EventFD)]
  /// Whether each signal masks the interrupt until it is unmasked.
  let isAutoMasked: Bool
  /// Values of configuration registers to be written back at the end, the last first.
  private var former: [(offset: UInt64, value: UInt16)] = []

  /// Chooses a type and sets eventfds.
  ///
  /// - Parameters:
  ///   - wanted: the type; nil for MSI-X, MSI, INTx, the first that the device has.
  ///   - set: the vectors; nil for all.
  ///   - triggered: vectors that the server will be told to signal.
  init(
    _ client: Client, _ wanted: InterruptIndex?, _ set: VectorSet?, triggered: [UInt32] = []
  ) throws {
    let info = try Self.info(client, wanted)
    let count = Int(clamping: info.count)
    let numbers = set?.numbers ?? Array(0..<min(count, VectorSet.most))
    if let last = (numbers + triggered.map { Int($0) }).max(), last >= count {
      throw CommandError(
        "\(info.index) has \(count) vectors, from 0 on; there is no vector \(last).")
    }
    guard info.flags.contains(.eventDescriptors) else {
      throw CommandError("the device says that it cannot signal \(info.index) by eventfds.")
    }
    self.client = client
    index = info.index
    isAutoMasked = info.flags.contains(.autoMasked)
    do throws(SystemCallError) {
      var made: [(number: Int, counter: EventFD)] = []
      for number in numbers { made.append((number, try EventFD())) }
      vectors = made
    } catch {
      throw CommandError(
        "no more eventfds: \(error). Choose fewer with --vectors, or raise ulimit -n.")
    }
    do {
      try setTriggers()
      try enable()
    } catch {
      end()
      throw error
    }
  }

  private static func info(_ client: Client, _ wanted: InterruptIndex?) throws -> InterruptInfo {
    let types = try client.deviceInfo().interruptTypeCount
    for index in wanted.map({ [$0] }) ?? [.msix, .msi, .intx] where index.rawValue < types {
      let info = try client.interruptInfo(index)
      if info.count > 0 { return info }
    }
    throw CommandError(
      "the device has no \(wanted.map { "\($0)" } ?? "interrupts"). `vfio-user info` lists what it has."
    )
  }

  /// A type that configuration space has and that is better than the chosen one.
  func betterType() throws -> InterruptIndex? {
    let found = PCICapabilities(of: try ConfigurationBytes(of: client)).standard.map(\.id)
    let better: [InterruptIndex] = index == .intx ? [.msix, .msi] : index == .msi ? [.msix] : []
    return better.first { found.contains($0 == .msix ? 0x11 : 0x05) }
  }

  private func setTriggers() throws(ClientError) {
    var counters = [EventFD?](repeating: nil, count: (vectors.last?.number ?? -1) + 1)
    for vector in vectors { counters[vector.number] = vector.counter }
    let start = vectors.first?.number ?? 0
    try client.setTriggers(index, start: UInt32(start), Array(counters[start...]))
  }

  /// What a driver sets in configuration space: a device may look at the capability and not at the eventfds.
  private func enable() throws {
    guard let header = try? client.load(.configuration, at: 0x04, as: UInt16.self) else { return }
    // Memory space and bus master: a message is a write to memory (PCI 3.0, section 6.8.3). INTx is disabled by bit 10.
    try set(0x04, header, (header | 0x0006) & ~(index == .intx ? 0x0400 : 0))
    let id: UInt16? = index == .msi ? 0x05 : index == .msix ? 0x11 : nil
    guard let id,
      let found = PCICapabilities(of: try ConfigurationBytes(of: client)).standard
        .first(where: { $0.id == id })
    else { return }
    let place = UInt64(found.offset) + 2
    let control = try client.load(.configuration, at: place, as: UInt16.self)
    if index == .msix {
      // Enable, and no function mask.
      try set(place, control, control & ~0x4000 | 0x8000)
    } else {
      // As many messages as there are (Multiple Message Enable, section 6.8.1.3), and enable.
      try set(place, control, control & ~0x70 | (control & 0x0E) << 3 | 1)
    }
  }

  private func set(_ offset: UInt64, _ old: UInt16, _ new: UInt16) throws(ClientError) {
    guard old != new else { return }
    try client.store(new, .configuration, at: offset)
    former.append((offset, old))
  }

  /// Takes the eventfds away and restores configuration space; a device that is gone needs neither.
  func end() {
    try? client.disable(index)
    while let (offset, value) = former.popLast() {
      try? client.store(value, .configuration, at: offset)
    }
  }
}
