import Testing

/// A way to start QEMU: what a device behind a socket can notice of it.
struct Machine: Sendable, CustomTestStringConvertible {
  enum Board: String, CaseIterable, Sendable {
    /// PIIX: one PCI bus, interrupts through the 8259-compatible lines of the south bridge.
    case pc
    /// PCI Express: the device sits on the root bus.
    case q35
  }

  var board = Board.q35
  /// Whether the device gets descriptors with the memory windows.
  var sharesMemory = true
  /// Whether QEMU may post writes. (It never does for I/O space, where the serial port is.)
  var postsWrites = true
  /// MiB.
  var memory = 256
  /// Whether there is an IOMMU that the guest can drive.
  var hasIOMMU = false

  /// Each value of a property once with each value of each other one.
  static let eachTwo: [Machine] = Board.allCases.flatMap { board in
    [false, true].map { sharesMemory in
      Machine(
        board: board, sharesMemory: sharesMemory, postsWrites: (board == .pc) == sharesMemory)
    }
  }

  var testDescription: String {
    "\(board), \(sharesMemory ? "shared" : "private") memory, writes \(postsWrites ? "" : "not ")posted"
  }

  /// QEMU's arguments, but for devices and for what to boot.
  var arguments: [String] {
    var arguments = [
      "-accel", "tcg", "-m", "\(memory)M", "-display", "none", "-nodefaults", "-no-user-config",
      "-no-reboot", "-serial", "stdio",
    ]
    if sharesMemory {
      arguments += ["-object", "memory-backend-memfd,id=mem,size=\(memory)M,share=on"]
      arguments += ["-machine", "\(board),memory-backend=mem"]
    } else {
      arguments += ["-machine", "\(board)"]
    }
    if hasIOMMU { arguments += ["-device", "intel-iommu,caching-mode=on"] }
    return arguments
  }

  /// The value of `-device` for the device behind a socket.
  ///
  /// - Parameters:
  ///   - socket: its path.
  ///   - id: the name that QMP knows it by.
  ///   - properties: more of them, for example `"bootindex": "1"`; the values are JSON.
  func plug(_ socket: String, id: String = "device", _ properties: [String: String] = [:]) -> String
  {
    let manner = postsWrites ? [:] : ["x-no-posted-writes": "true"]
    let fixed = ["id": #""\#(id)""#, "socket": #"{"type":"unix","path":"\#(socket)"}"#]
    let all = properties.merging(fixed) { first, _ in first }.merging(manner) { first, _ in first }
    let members = all.sorted { $0.key < $1.key }.map { #""\#($0.key)":\#($0.value)"# }
    return #"{"driver":"vfio-user-pci",\#(members.joined(separator: ","))}"#
  }
}
