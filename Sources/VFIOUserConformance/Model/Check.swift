/// One thing that the specification asks of a server, and how to see whether it is so.
package struct Check: Sendable {
  /// Stays the same for ever, so that people can name it.
  package let number: Int
  package let group: Group
  /// A sentence that is true of a server that passes.
  package let title: String
  /// Where the specification says so.
  package let clause: String
  /// Whether the device's state may be different afterwards.
  package let isDestructive: Bool
  let body: @Sendable (Probe) throws(Verdict) -> Void

  init(
    _ number: Int, _ group: Group, _ title: String, _ clause: String, isDestructive: Bool = false,
    _ body: @escaping @Sendable (Probe) throws(Verdict) -> Void
  ) {
    self.number = number
    self.group = group
    self.title = title
    self.clause = clause
    self.isDestructive = isDestructive
    self.body = body
  }

  /// What checks are about; a hundred numbers each.
  package enum Group: String, CaseIterable, Sendable, Codable {
    case framing, negotiation, info, regions, irqs, dma, io, features, migration, robustness
  }

  /// All checks of servers, in the order of their numbers.
  package static let all: [Check] =
    framing + streams + negotiation + versions + info + regions + regionLists + irqs + eventfds
    + dmaMaps + dmaUnmaps + configuration + regionAccesses + manyWrites + features + migration
    + transfers + logging + robustness
}

/// Sections of the specifications that checks rely on.
enum Clause {
  static let header = "Header"
  static let concurrency = "Command Concurrency"
  static let commands = "Commands"
  static let argsz = "Message sizes"
  static let version = "VFIO_USER_VERSION"
  static let map = "VFIO_USER_DMA_MAP"
  static let unmap = "VFIO_USER_DMA_UNMAP"
  static let info = "VFIO_USER_DEVICE_GET_INFO"
  static let region = "VFIO_USER_DEVICE_GET_REGION_INFO"
  static let capabilities = "VFIO region capabilities"
  static let sparse = "VFIO sparse mmap cap header"
  static let ioFDs = "VFIO_USER_DEVICE_GET_REGION_IO_FDS"
  static let irqInfo = "VFIO_USER_DEVICE_GET_IRQ_INFO"
  static let setIRQs = "VFIO_USER_DEVICE_SET_IRQS"
  static let read = "VFIO_USER_REGION_READ"
  static let write = "VFIO_USER_REGION_WRITE"
  static let multi = "VFIO_USER_REGION_WRITE_MULTI"
  static let reset = "VFIO_USER_DEVICE_RESET"
  static let feature = "VFIO_USER_DEVICE_FEATURE"
  static let migration = "VFIO_DEVICE_FEATURE_MIGRATION"
  static let state = "VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE"
  static let arcs = "Direct State Transitions"
  static let paths = "Complex State Transitions"
  static let logging = "VFIO_DEVICE_FEATURE_DMA_LOGGING_START"
  static let report = "VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT"
  static let dataRead = "VFIO_USER_MIG_DATA_READ"
  static let dataWrite = "VFIO_USER_MIG_DATA_WRITE"
  static let disconnection = "Client Disconnection"
  static let security = "Security Considerations"
  static let vfio = "<linux/vfio.h>"
  static let pciHeader = "PCI 3.0, 6.1 (configuration space)"
  static let pciCapabilities = "PCI 3.0, 6.7 (capabilities list)"
  static let pciBARs = "PCI 3.0, 6.2.5.1 (address maps)"
  static let pciMSIX = "PCI 3.0, 6.8.2 (MSI-X)"
  static let pciMSI = "PCI 3.0, 6.8.1 (MSI)"
  static let pciLine = "PCI 3.0, 6.2.4 (interrupt line, interrupt pin)"
  static let pcieExtended = "PCI Express 4.0, 7.6 (extended capabilities)"
}
