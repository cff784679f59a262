public import SystemPackage

/// One register of a device: its offset, its reset value, and the bits that software can change.
///
/// A device lists its registers, one line each, in a ``RegisterFile``, which serves accesses of any width at
/// any offset:
///
/// ```swift
/// Register("identity", at: 0x00, .bits32, reset: 0x0100_00ED)
/// Register("control", at: 0x04, .bits16, writable: 0x0003, onWrite: { control($0.value) })
/// Register("status", at: 0x06, .bits16, clearedByOne: 0x00F0, onRead: { $0 | busyBit() })
/// Register("doorbell", at: 0x08, .bits32, onWrite: { ring($0.written) })
/// ```
///
/// The description is also the handle for the register's value: see ``RegisterFile/subscript(_:)``.
public struct Register: Sendable {
  /// The width of a register; the raw value is the number of bytes.
  public enum Width: Int, Sendable, CaseIterable {
    /// One byte.
    case bits8 = 1
    /// Two bytes.
    case bits16 = 2
    /// Four bytes.
    case bits32 = 4
    /// Eight bytes.
    case bits64 = 8

    /// A mask of all bits of the register.
    var bits: UInt64 { self == .bits64 ? .max : (1 << UInt64(8 * rawValue)) - 1 }
  }

  /// A write to one register; if the access covers a part of it, the other bits are zero in ``written`` and
  /// ``covered``.
  public struct Write: Equatable, Sendable {
    /// The value before the write.
    public let previous: UInt64
    /// The value after the write: writable bits as written, the others unchanged.
    public internal(set) var value: UInt64
    /// The written value, including bits that are not writable.
    public let written: UInt64
    /// The bits that the access covered.
    public let covered: UInt64

    /// Whether at least one of these bits has changed.
    public func changes(_ bits: UInt64) -> Bool { (previous ^ value) & bits != 0 }
  }

  /// The name, for error messages and ``DeviceContext/configurationValue(of:)``.
  public let name: String
  /// Offset of the first byte.
  public private(set) var offset: UInt64
  /// The width.
  public let width: Width
  /// The value after a reset.
  public let reset: UInt64
  /// A mask of the bits that a write changes.
  public let writable: UInt64
  /// A mask of the bits that writing a one clears.
  public let clearedByOne: UInt64
  let onRead: (@Sendable (UInt64) -> UInt64)?
  let restrict: (@Sendable (Write) -> UInt64)?
  let onWrite: (@Sendable (Write, RegisterFile) throws(Errno) -> Void)?
  let interrupt: InterruptSource?
  /// Identifies the register, also after ``moved(by:)``.
  let identity = Identity()

  final class Identity: Sendable {}

  /// Describes a register.
  ///
  /// - Parameters:
  ///   - name: for error messages.
  ///   - offset: of the first byte; registers must not overlap, and need not be aligned.
  ///   - width: the number of bytes.
  ///   - reset: the value after a reset.
  ///   - writable: a mask of the bits that a write changes; no bits beyond the width (`0xFFFF_FFFF` for all of
  ///     `.bits32`).
  ///   - clearedByOne: a mask of the bits that writing a one clears; none of them in `writable`.
  ///   - onRead: gets the value of the register, and returns the value that is read.
  ///   - restrict: returns the value that the register gets after a write, for fields with values that are
  ///     not allowed: return the previous value to ignore the write. Runs under the file's lock, and may use
  ///     its argument only.
  ///   - interrupt: raised while a bit of the register is set: each newly set bit raises it, clearing the
  ///     last bit lowers it, whether software or the device changes the bit. This happens under the file's
  ///     lock, so register and interrupt are consistent.
  ///   - onWrite: called after each write to the register, whether a bit has changed or not, with the
  ///     register's file; runs without the file's lock. If it throws, the access ends, and the client gets
  ///     the errno.
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

  /// Describes a register whose hook does not need the file, or that has none.
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

  /// The same register at another offset.
  func moved(by distance: UInt64) -> Register {
    var register = self
    register.offset += distance
    return register
  }

  /// The offset after the last byte.
  var end: UInt64 { offset + UInt64(width.rawValue) }

  /// Whether it lies in a range of offsets; does not overflow for offsets near 2^64.
  func lies(within bounds: Range<UInt64>) -> Bool {
    bounds.contains(offset) && UInt64(width.rawValue) <= bounds.upperBound - offset
  }
}
