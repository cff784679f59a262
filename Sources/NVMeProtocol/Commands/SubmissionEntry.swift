/// An entry of a submission queue (NVMe 1.4, section 4.2, figure 104).
public struct SubmissionEntry: Equatable, Sendable {
  /// Size in the queue in bytes.
  public static let wireSize = 64

  /// The opcode: ``AdminOpcode`` or ``IOOpcode``, depending on the queue.
  public var opcode: UInt8
  /// Fused operation (bits 1:0) and the use of PRPs or SGLs (bits 7:6).
  public var flags: CommandFlags
  /// Chosen by the host and repeated in the completion.
  public var commandID: UInt16
  /// The namespace ID; 0 for none, all ones for all namespaces.
  public var namespaceID: UInt32
  /// Dword 2.
  public var dword2: UInt32
  /// Dword 3.
  public var dword3: UInt32
  /// MPTR, the metadata pointer.
  public var metadata: UInt64
  /// First half of the data pointer: PRP entry 1, or the address of an SGL descriptor.
  public var dataPointer1: UInt64
  /// Second half of the data pointer: PRP entry 2, or length and type of an SGL descriptor.
  public var dataPointer2: UInt64
  /// Dword 10; from here on the meaning depends on the opcode.
  public var dword10: UInt32
  /// Dword 11.
  public var dword11: UInt32
  /// Dword 12.
  public var dword12: UInt32
  /// Dword 13.
  public var dword13: UInt32
  /// Dword 14.
  public var dword14: UInt32
  /// Dword 15.
  public var dword15: UInt32

  /// Creates a command with all other fields zero.
  @inlinable
  public init(opcode: UInt8, commandID: UInt16 = 0, namespaceID: UInt32 = 0) {
    self.opcode = opcode
    flags = CommandFlags(rawValue: 0)
    self.commandID = commandID
    self.namespaceID = namespaceID
    dword2 = 0
    dword3 = 0
    metadata = 0
    dataPointer1 = 0
    dataPointer2 = 0
    dword10 = 0
    dword11 = 0
    dword12 = 0
    dword13 = 0
    dword14 = 0
    dword15 = 0
  }

  /// Decodes the fields without validating them.
  public init(decoding bytes: Span<UInt8>) throws(NVMeWireError) {
    try bytes.need(Self.wireSize)
    opcode = bytes[0]
    flags = CommandFlags(rawValue: bytes[1])
    commandID = bytes.number(at: 2)
    namespaceID = bytes.number(at: 4)
    dword2 = bytes.number(at: 8)
    dword3 = bytes.number(at: 12)
    metadata = bytes.number(at: 16)
    dataPointer1 = bytes.number(at: 24)
    dataPointer2 = bytes.number(at: 32)
    dword10 = bytes.number(at: 40)
    dword11 = bytes.number(at: 44)
    dword12 = bytes.number(at: 48)
    dword13 = bytes.number(at: 52)
    dword14 = bytes.number(at: 56)
    dword15 = bytes.number(at: 60)
  }

  /// Writes the 64 bytes at the start of `bytes`.
  @_lifetime(bytes: copy bytes)
  public func encode(into bytes: inout MutableRawSpan) {
    bytes.put(opcode, at: 0)
    bytes.put(flags.rawValue, at: 1)
    bytes.put(commandID, at: 2)
    bytes.put(namespaceID, at: 4)
    bytes.put(dword2, at: 8)
    bytes.put(dword3, at: 12)
    bytes.put(metadata, at: 16)
    bytes.put(dataPointer1, at: 24)
    bytes.put(dataPointer2, at: 32)
    bytes.put(dword10, at: 40)
    bytes.put(dword11, at: 44)
    bytes.put(dword12, at: 48)
    bytes.put(dword13, at: 52)
    bytes.put(dword14, at: 56)
    bytes.put(dword15, at: 60)
  }
}

extension SubmissionEntry {
  /// Dwords 10 and 11 as one number: the starting LBA of a transfer.
  public var startingBlock: UInt64 {
    get { UInt64(dword11) << 32 | UInt64(dword10) }
    set {
      dword10 = UInt32(truncatingIfNeeded: newValue)
      dword11 = UInt32(truncatingIfNeeded: newValue >> 32)
    }
  }

  /// The data pointer as an SGL descriptor; meaningful only if ``flags`` select SGLs.
  public var sglDescriptor: SGLDescriptor {
    get { SGLDescriptor(address: dataPointer1, second: dataPointer2) }
    set {
      dataPointer1 = newValue.address
      dataPointer2 = newValue.second
    }
  }
}

/// Byte 1 of a command (NVMe 1.4, figure 105, bits 15:08).
public struct CommandFlags: RawRepresentable, Hashable, Sendable {
  /// The bits.
  public var rawValue: UInt8

  /// Wraps any bits.
  @inlinable
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  /// Data is described by PRPs.
  public static let prp = CommandFlags(rawValue: 0)
  /// Data is described by an SGL; metadata is one contiguous buffer.
  public static let sgl = CommandFlags(rawValue: 1 << 6)
  /// Data and metadata are described by SGLs.
  public static let sglWithMetadataSGL = CommandFlags(rawValue: 2 << 6)

  /// PSDT: 0 PRP, 1 and 2 SGL, 3 reserved.
  @inlinable
  public var dataDescription: UInt8 { rawValue >> 6 }
  /// FUSE: 0 a normal command, 1 the first of a fused operation, 2 the second.
  @inlinable
  public var fusedOperation: UInt8 { rawValue & 3 }
}
