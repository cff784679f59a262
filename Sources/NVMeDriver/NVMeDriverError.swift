/// Why an operation of the NVMe driver failed.
@nonexhaustive
public enum NVMeDriverError: Error, Equatable, Sendable {
  /// An operation on the connection to the device failed.
  case client(ClientError)
  /// A system call failed.
  case system(SystemCallError)
  /// The device cannot be driven; the text says why.
  case unsuitable(String)
  /// The controller reports fatal status (CSTS.CFS); only a reset recovers it.
  case fatal(ControllerStatus)
  /// The controller did not reach the wanted state within the time given by CAP.TO.
  case notReady(ControllerStatus, wanted: String)
  /// A command completed with an error status.
  case refused(opcode: UInt8, Status)
  /// A command did not complete in time.
  case timedOut(opcode: UInt8)
  /// The maximum number of commands is in flight.
  case queueFull(limit: Int)
  /// The shared memory has no contiguous free space of this size.
  case outOfMemory(needed: Int, largest: Int)
  /// A transfer exceeds the limit of the controller or the buffer.
  case transferTooLong(Int, limit: Int)
}

extension NVMeDriverError: CustomStringConvertible {
  /// A sentence with the cause.
  public var description: String {
    switch self {
    case .client(let error): error.description
    case .system(let failure): failure.description
    case .unsuitable(let why): why
    case .fatal(let status):
      "the controller has reached fatal status (CSTS 0x\(String(status.rawValue, radix: 16)))"
    case .notReady(let status, let wanted):
      "the controller is not \(wanted) in time (CSTS 0x\(String(status.rawValue, radix: 16)))"
    case .refused(let opcode, let status):
      "the controller ended command 0x\(String(opcode, radix: 16)) with \"\(status)\""
    case .timedOut(let opcode): "command 0x\(String(opcode, radix: 16)) did not end in time"
    case .queueFull(let limit): "\(limit) commands are under way, the queue holds no more"
    case .outOfMemory(let needed, let largest):
      "no \(needed) bytes of shared memory are left in one piece, the largest has \(largest)"
    case .transferTooLong(let count, let limit): "\(count) bytes in one command, at most \(limit)"
    }
  }
}

/// Runs an operation of the client and wraps its error.
@inline(__always)
func throughClient<Result>(
  _ body: () throws(ClientError) -> Result
) throws(NVMeDriverError) -> Result {
  do throws(ClientError) {
    return try body()
  } catch {
    throw .client(error)
  }
}
