public import SystemPackage

/// A system call that failed.
public struct SystemCallError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The call, as in the manual.
  public let call: String
  /// What the kernel said.
  public let code: Errno

  /// Names a call and its error number.
  public init(call: String, code: Errno) {
    self.call = call
    self.code = code
  }

  /// For example "bind: Address already in use".
  public var description: String { "\(call): \(code.description)" }
}

/// Turns the shim's `-errno` into a typed error.
@inline(__always)
package func checked<Result: SignedInteger>(
  _ call: @autoclosure () -> String, _ result: Result
) throws(SystemCallError) -> Result {
  guard result < 0 else { return result }
  throw SystemCallError(call: call(), code: Errno(rawValue: CInt(truncatingIfNeeded: -result)))
}
