public import SystemPackage

/// One register of a device: where it is, what it holds after a reset, and which of its bits software
/// can change.
///
/// A device lists its registers, one line each, and hands them to a ``RegisterFile``, which serves
/// accesses of any width at any offset:
///
/// ```swift
/// Register("identity", at: 0x00, .bits32, reset: 0x0100_00ED)
/// Register("control", at: 0x04, .bits16, writable: 0x0003, onWrite: { control($0.value) })
/// Register("status", at: 0x06, .bits16, clearedByOne: 0x00F0, onRead: { $0 | busyBit() })
/// Register("doorbell", at: 0x08, .bits32, onWrite: { ring($0.written) })
/// ```
///
/// The description is also the handle by which the device finds the register again: see
/// ``RegisterFile/subscript(_:)``.
public struct Register: Sendable {
  /// How wide a register is; the value is its number of bytes.
  public enum Width: Int, Sendable, CaseIterable {
    /// One byte.
    case bits8 = 1
    /// Two bytes.
    case bits16 = 2
    /// Four bytes.
    case bits32 = 4
    /// Eight bytes.
    case bits64 = 8

    /// The bits that such a register has.
    var bits: UInt64 { self == .bits64 ? .max : (1 << UInt64(8 * rawValue)) - 1 }
  }

  /// A write, seen from the register: an access that covers a part of it has the other bits zero in
  /// ``written`` and in ``covered``.
  public struct Write: Equatable, Sendable {
    /// What the register held.
    public let previous: UInt64
    /// What it holds now: the bits that can be written as written, the others as they were.
    public internal(set) var value: UInt64
    /// What was written, also to bits that cannot be.
    public let written: UInt64
    /// The bits that the access covered.
    public let covered: UInt64

    /// Whether a bit, or one of several, is different now.
    public func changes(_ bits: UInt64) -> Bool { (previous ^ value) & bits != 0 }
  }

  /// What the register is called, in error messages.
  public let name: String
  /// Where its first byte is.
  public private(set) var offset: UInt64
  /// How wide it is.
  public let width: Width
  /// What it holds after a reset.
  public let reset: UInt64
  /// The bits that a write changes.
  public let writable: UInt64
  /// The bits that writing a one clears.
  public let clearedByOne: UInt64
  let onRead: (@Sendable (UInt64) -> UInt64)?
  let restrict: (@Sendable (Write) -> UInt64)?
  let onWrite: (@Sendable (Write, RegisterFile) throws(Errno) -> Void)?
  let interrupt: InterruptSource?
  /// What stays the same when the register is moved.
  let identity = Identity()

  final class Identity: Sendable {}

  /// Describes a register.
  ///
  /// - Parameters:
  ///   - name: for error messages.
  ///   - offset: of its first byte; any, but no other register may be in the way.
  ///   - width: how many bytes.
  ///   - reset: what it holds at first.
  ///   - writable: the bits that a write changes.
  ///   - clearedByOne: the bits that writing a one clears; none of them in `writable`.
  ///   - onRead: gets what the register holds, and returns what the reader sees.
  ///   - restrict: has the last word on what the register holds after a write, for fields in which not
  ///     every value is possible: another value, or the previous one to refuse the write. It runs under
  ///     the file's lock, and may only look at its argument.
  ///   - interrupt: is raised while a bit of the register is set: each bit that is newly set raises it, and
  ///     the last that is cleared lowers it, whoever does that. It happens under the file's lock, so that
  ///     register and interrupt say the same.
  ///   - onWrite: called after each access that wrote to the register, whether a bit changed or not, with
  ///     the file that the register is in; runs outside of the file's lock. An error that it throws ends the
  ///     access, and the client gets it.
  public init(
    _ name: String, at offset: UInt64, _ width: Width, reset: UInt64 = 0, writable: UInt64 = 0,
    clearedByOne: UInt64 = 0, onRead: (@Sendable (UInt64) -> UInt64)? = nil,
    restrict: (@Sendable (Write) -> UInt64)? = nil, interrupt: InterruptSource? = nil,
    onWrite: (@Sendable (Write, RegisterFile) throws(Errno) -> Void)?
  ) {
    self.name = name
    self.offset = offset
    self.width = width
    self.reset = reset
    self.writable = writable
    self.clearedByOne = clearedByOne
    self.onRead = onRead
    self.restrict = restrict
    self.interrupt = interrupt
    self.onWrite = onWrite
  }

  /// Describes a register whose hook, if it has one, needs the write only.
  public init(
    _ name: String, at offset: UInt64, _ width: Width, reset: UInt64 = 0, writable: UInt64 = 0,
    clearedByOne: UInt64 = 0, onRead: (@Sendable (UInt64) -> UInt64)? = nil,
    restrict: (@Sendable (Write) -> UInt64)? = nil, interrupt: InterruptSource? = nil,
    onWrite: (@Sendable (Write) -> Void)? = nil
  ) {
    var both: (@Sendable (Write, RegisterFile) throws(Errno) -> Void)?
    if let onWrite { both = { write, _ in onWrite(write) } }
    self.init(
      name, at: offset, width, reset: reset, writable: writable, clearedByOne: clearedByOne,
      onRead: onRead, restrict: restrict, interrupt: interrupt, onWrite: both)
  }

  /// The same register elsewhere.
  func moved(by distance: UInt64) -> Register {
    var register = self
    register.offset += distance
    return register
  }

  /// Where the register ends.
  var end: UInt64 { offset + UInt64(width.rawValue) }

  /// Whether it lies between two offsets; an offset near the end of all numbers does not overflow.
  func lies(within bounds: Range<UInt64>) -> Bool {
    bounds.contains(offset) && UInt64(width.rawValue) <= bounds.upperBound - offset
  }
}
