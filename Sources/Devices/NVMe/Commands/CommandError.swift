internal import NVMeProtocol

/// Why a command failed: the status of its completion, and the byte of the command that caused it.
struct CommandError: Error, Equatable {
  var status: Status
  /// The Parameter Error Location in the submission entry (NVMe 1.4, section 5.14.1.1); all ones for none.
  var byte: UInt16
  /// The first block concerned.
  var block: UInt64 = 0

  init(_ status: Status, byte: UInt16 = 0xFFFF, block: UInt64 = 0) {
    self.status = status
    self.byte = byte
    self.block = block
  }

  /// Invalid Field in Command, by the byte where the field starts.
  static func field(_ byte: UInt16) -> CommandError {
    CommandError(Status.invalidField.final, byte: byte)
  }
}

extension LifeCycle {
  /// How a command ends whose data could not be moved.
  func dataError(_ error: MemoryError) -> CommandError {
    pause(after: error)
    return CommandError(.dataTransferError, byte: 24)
  }
}
