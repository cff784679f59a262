internal import NVMeProtocol
internal import VFIOUserServer

/// Why a command is refused: the status that the host gets, and which byte of the command is to blame.
struct CommandError: Error, Equatable {
  var status: Status
  /// The byte of the submission entry; all ones when none is to blame.
  var byte: UInt16
  /// The block that is concerned.
  var block: UInt64 = 0

  init(_ status: Status, byte: UInt16 = 0xFFFF, block: UInt64 = 0) {
    self.status = status
    self.byte = byte
    self.block = block
  }

  /// A field of the command that has no sense, by the byte where it starts.
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
