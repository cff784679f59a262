import VFIOUserClient
import VFIOUserProtocol

/// What a device does by itself: only devices whose registers are known can be told to.
extension BenchRow {
  private static let fixed = Header.wireSize + RegionAccess.wireSize
  private static let seconds = 2
  private static let patience: Duration = .seconds(seconds)
  /// Bytes of a transfer; edu's buffer has as many.
  private static let transfer = 4096

  private static let unknown = Skipped(
    reason: "only the registers of edu (1234:11e8) and scratch (1234:5c7c) are known")

  /// From the write that raises an interrupt to its eventfd.
  static var interrupt: BenchRow {
    BenchRow(
      name: "interrupt, from a write to its eventfd", bytes: 0, floor: [FloorExchange(fixed + 4, 1)]
    ) { subject in
      let setup = try interrupts(of: subject)
      let client = setup.client
      let isEdu = subject.kind == .edu
      let raise: (offset: UInt64, value: UInt32) = isEdu ? (0x60, 1) : (0x40, 0)
      let counter = setup.vectors[0].counter
      return (
        {
          try client.post(raise.value, .bar0, at: raise.offset)
          guard counter.wait(for: patience) != nil else {
            throw Failure(subject, "no interrupt came within \(seconds) s")
          }
        },
        {
          try? client.store(UInt32.max, .bar0, at: isEdu ? 0x64 : 0x44)
          setup.end()
        }
      )
    }
  }

  /// From the command that has the server signal a vector to its eventfd: any device has that, or refuses it.
  static var triggered: BenchRow {
    BenchRow(
      name: "SET_IRQS trigger, to its eventfd", bytes: 0,
      floor: [FloorExchange(Header.wireSize + SetInterrupts.wireSize, Header.wireSize)]
    ) { subject in
      let client = try subject.client()
      // INTx would be masked by each signal.
      let types = try [.msix, .msi].filter { try client.interruptInfo($0).count > 0 }
      guard let type = types.first else {
        throw Skipped(reason: "the device has neither MSI-X nor MSI")
      }
      let setup = try InterruptSetup(client, type, VectorSet([0]))
      let counter = setup.vectors[0].counter
      return (
        {
          try client.trigger(type)
          guard counter.wait(for: patience) != nil else {
            throw Failure(subject, "no interrupt came within \(seconds) s")
          }
        }, setup.end
      )
    }
  }

  /// From the write that starts a transfer to the interrupt at its end, with memory that goes by messages.
  static func transfers(_ kind: BenchSubject.Kind) -> BenchRow {
    let isEdu = kind == .edu
    let toDevice = FloorExchange(fixed, fixed + transfer)
    let toMemory = FloorExchange(fixed + transfer, fixed)
    let start = isEdu ? FloorExchange(4 * (fixed + 8), 1) : FloorExchange(fixed + 32, 1)
    return BenchRow(
      name: isEdu ? "DMA_READ 4 KiB by message" : "DMA_READ and DMA_WRITE 4 KiB by message",
      bytes: transfer, floor: isEdu ? [start, toDevice] : [start, toDevice, toMemory]
    ) { subject in
      let setup = try interrupts(of: subject)
      let client = setup.client
      do {
        let memory = try SharedMemory(size: memorySize)
        try client.map(memory, at: base, size: memorySize, isShared: false)
      } catch {
        setup.end()
        throw error
      }
      let counter = setup.vectors[0].counter
      let end = {
        setup.end()
        try? client.unmap(at: base, size: memorySize)
      }
      let begin = isEdu ? startEdu : startScratch
      return (
        {
          try begin(client)
          guard counter.wait(for: patience) != nil else {
            throw Failure(subject, "no transfer ended within \(seconds) s")
          }
        }, end
      )
    }
  }

  /// Source, destination, count, then the command: run, interrupt at the end (QEMU's docs/specs/edu).
  private static func startEdu(_ client: Client) throws(ClientError) {
    try client.post(base, .bar0, at: 0x80)
    try client.post(UInt64(0x40000), .bar0, at: 0x88)
    try client.post(UInt64(transfer), .bar0, at: 0x90)
    try client.post(UInt64(0x5), .bar0, at: 0x98)
  }

  /// The table of registers is in `ScratchDevice`: source, destination, count, control (interrupt at the end), doorbell.
  private static func startScratch(_ client: Client) throws(ClientError) {
    let numbers: [UInt64] = [base, base + memorySize / 2, UInt64(transfer), 0x10000 | 1 << 32]
    let bytes = numbers.flatMap { number in
      (0..<8).map { UInt8(truncatingIfNeeded: number >> UInt64(8 * $0)) }
    }
    try client.post(.bar0, at: 0x10, from: bytes)
  }

  private static func interrupts(of subject: BenchSubject) throws -> InterruptSetup {
    guard subject.kind != .other else { throw unknown }
    let type: InterruptIndex = subject.kind == .edu ? .msi : .msix
    return try InterruptSetup(subject.client(), type, VectorSet([0]))
  }
}
