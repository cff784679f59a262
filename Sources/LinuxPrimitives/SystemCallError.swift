public import SystemPackage

/// A failed system call.
public struct SystemCallError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The name of the call, as in the manual.
  public let call: String
  /// The error code returned by the kernel.
  public let code: Errno

  /// Creates an error from a call and its error code.
  public init(call: String, code: Errno) {
    self.call = call
    self.code = code
  }

  /// For example "bind: Address already in use".
  public var description: String { "\(call): \(code.description)" }
}

/// Turns the `-errno` result of a C function into a typed error.
@inlinable
@inline(__always)
public func checked<Result: SignedInteger>(
  _ call: @autoclosure () -> String, _ result: Result
) throws(SystemCallError) -> Result {
  guard result < 0 else { return result }
  throw SystemCallError(call: call(), code: Errno(rawValue: CInt(truncatingIfNeeded: -result)))
}
