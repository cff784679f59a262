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

  static let all: [Machine] = Board.allCases.flatMap { board in
    [false, true].flatMap { sharesMemory in
      [true, false].map { postsWrites in
        Machine(board: board, sharesMemory: sharesMemory, postsWrites: postsWrites)
      }
    }
  }

  var testDescription: String {
    "\(board), \(sharesMemory ? "shared" : "private") memory, writes \(postsWrites ? "" : "not ")posted"
  }

  /// QEMU's arguments, but for what to boot.
  func arguments(device socket: String) -> [String] {
    var arguments = [
      "-accel", "tcg", "-m", "256M", "-display", "none", "-nodefaults", "-no-user-config",
      "-no-reboot", "-serial", "stdio",
    ]
    if sharesMemory {
      arguments += ["-object", "memory-backend-memfd,id=mem,size=256M,share=on"]
      arguments += ["-machine", "\(board),memory-backend=mem"]
    } else {
      arguments += ["-machine", "\(board)"]
    }
    let address = #"{"type":"unix","path":"\#(socket)"}"#
    let manner = postsWrites ? "" : #","x-no-posted-writes":true"#
    arguments += ["-device", #"{"driver":"vfio-user-pci","socket":\#(address)\#(manner)}"#]
    return arguments
  }
}
