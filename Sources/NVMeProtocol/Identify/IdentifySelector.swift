/// CNS, the data structure returned by Identify (NVMe 1.4, figure 244).
public struct IdentifySelector: RawRepresentable, Hashable, Sendable {
  /// The value in dword 10.
  public let rawValue: UInt8
  /// Wraps any number, known or not.
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  /// ``IdentifyNamespace`` of an active namespace.
  public static let namespace = IdentifySelector(rawValue: 0x00)
  /// ``IdentifyController``.
  public static let controller = IdentifySelector(rawValue: 0x01)
  /// The list of active namespace IDs: ``NumberList``.
  public static let activeNamespaces = IdentifySelector(rawValue: 0x02)
  /// The namespace identification descriptors: ``NamespaceIdentifiers``.
  public static let namespaceIdentifiers = IdentifySelector(rawValue: 0x03)
  /// The NVM Set list.
  public static let nvmSets = IdentifySelector(rawValue: 0x04)
  /// The list of allocated namespace IDs.
  public static let allocatedNamespaces = IdentifySelector(rawValue: 0x10)
  /// ``IdentifyNamespace`` of an allocated namespace.
  public static let allocatedNamespace = IdentifySelector(rawValue: 0x11)
  /// The controllers attached to a namespace.
  public static let controllersOfNamespace = IdentifySelector(rawValue: 0x12)
  /// The controllers of the NVM subsystem.
  public static let controllers = IdentifySelector(rawValue: 0x13)
  /// The primary controller capabilities.
  public static let primaryController = IdentifySelector(rawValue: 0x14)
  /// The secondary controller list.
  public static let secondaryControllers = IdentifySelector(rawValue: 0x15)
  /// The namespace granularity list.
  public static let granularities = IdentifySelector(rawValue: 0x16)
  /// The UUID list.
  public static let uuids = IdentifySelector(rawValue: 0x17)
}

/// A page of numbers in ascending order, terminated by zeros (NVMe 1.4, section 4.11).
public struct NumberList: Equatable, Sendable {
  /// Size on the wire in bytes.
  public static let wireSize = 4096
  /// Maximum number of entries.
  public static let maxNumbers = 1024
  /// The numbers.
  public var numbers: [UInt32]

  /// Creates a list of the first ``maxNumbers`` numbers.
  public init(_ numbers: some Sequence<UInt32>) {
    self.numbers = Array(numbers.prefix(Self.maxNumbers))
  }

  /// Decodes the numbers up to the first zero.
  public init(decoding bytes: Span<UInt8>) throws(NVMeWireError) {
    try bytes.need(Self.wireSize)
    numbers = []
    for index in 0..<Self.maxNumbers {
      let number: UInt32 = bytes.number(at: 4 * index)
      guard number != 0 else { return }
      numbers.append(number)
    }
  }

  /// Writes the numbers; the caller provides zeroed `bytes`.
  @_lifetime(bytes: copy bytes)
  public func encode(into bytes: inout MutableRawSpan) {
    for index in numbers.indices { bytes.put(numbers[index], at: 4 * index) }
  }
}

/// The namespace identification descriptors (NVMe 1.4, figure 249).
public struct NamespaceIdentifiers: Equatable, Sendable {
  /// Size on the wire in bytes.
  public static let wireSize = 4096
  /// IEEE EUI-64, 8 bytes.
  public var extendedUniqueID: [UInt8]?
  /// NGUID, 16 bytes.
  public var globallyUniqueID: [UInt8]?
  /// UUID, 16 bytes.
  public var uuid: [UInt8]?

  /// Creates a list of identifiers; one of the wrong length is omitted by ``encode(into:)``.
  public init(
    extendedUniqueID: [UInt8]? = nil, globallyUniqueID: [UInt8]? = nil, uuid: [UInt8]? = nil
  ) {
    self.extendedUniqueID = extendedUniqueID
    self.globallyUniqueID = globallyUniqueID
    self.uuid = uuid
  }

  /// Decodes the list up to its end, skipping unknown types.
  public init(decoding bytes: Span<UInt8>) throws(NVMeWireError) {
    try bytes.need(Self.wireSize)
    self.init()
    var place = 0
    while place + 4 <= Self.wireSize {
      let kind = bytes[place]
      let length = Int(bytes[place + 1])
      guard length > 0, place + 4 + length <= Self.wireSize else { return }
      var name: [UInt8] = []
      for index in 0..<length { name.append(bytes[place + 4 + index]) }
      switch (kind, length) {
      case (1, 8): extendedUniqueID = name
      case (2, 16): globallyUniqueID = name
      case (3, 16): uuid = name
      default: break
      }
      place += 4 + length
    }
  }

  /// Writes the list; the caller provides zeroed `bytes`.
  @_lifetime(bytes: copy bytes)
  public func encode(into bytes: inout MutableRawSpan) {
    var place = 0
    let names: [(UInt8, Int, [UInt8]?)] = [
      (1, 8, extendedUniqueID), (2, 16, globallyUniqueID), (3, 16, uuid),
    ]
    for (kind, length, name) in names {
      guard let name, name.count == length else { continue }
      bytes.put(kind, at: place)
      bytes.put(UInt8(length), at: place + 1)
      for index in name.indices { bytes.put(name[index], at: place + 4 + index) }
      place += 4 + length
    }
  }
}
