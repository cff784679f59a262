/// The bytes of a capture, block by block.
package struct CaptureEncoder: Sendable {
  private struct Interface: Hashable { let connection: Int, isTwin: Bool }

  private var interfaces: [Interface: UInt32] = [:]
  /// What the capture is of.
  private let description: String

  package init(description: String) { self.description = description }

  /// The start of the file.
  package func start() -> [UInt8] {
    var block = BlockWriter(CaptureFormat.Block.section)
    block.add(CaptureFormat.byteOrderMagic)
    block.add(UInt16(1))
    block.add(UInt16(0))
    block.add(UInt64.max)  // The length of the section is not known.
    block.option(CaptureFormat.Option.application, Array("vfio-user trace".utf8))
    block.option(CaptureFormat.Option.comment, Array(description.utf8))
    return block.finished(hasOptions: true)
  }

  /// The blocks of a message.
  package mutating func encode(_ message: TracedMessage) -> [UInt8] {
    var bytes: [UInt8] = []
    let key = Interface(connection: message.stream.connection, isTwin: message.stream.isTwin)
    let number: UInt32
    if let known = interfaces[key] {
      number = known
    } else {
      number = UInt32(clamping: interfaces.count)
      interfaces[key] = number
      bytes += interface(key)
    }
    bytes += packet(message, number)
    var rest = message.bytes.dropFirst(CaptureFormat.longestPacket)
    while !rest.isEmpty {
      bytes += continuation(rest.prefix(CaptureFormat.longestPacket))
      rest = rest.dropFirst(CaptureFormat.longestPacket)
    }
    return bytes
  }

  private func interface(_ key: Interface) -> [UInt8] {
    var block = BlockWriter(CaptureFormat.Block.interface)
    block.add(CaptureFormat.linkType)
    block.add(UInt16(0))
    block.add(UInt32(CaptureFormat.longestPacket))
    let name = CaptureFormat.interfaceName(connection: key.connection, isTwin: key.isTwin)
    block.option(CaptureFormat.Option.name, Array(name.utf8))
    block.option(CaptureFormat.Option.description, Array(description.utf8))
    block.option(CaptureFormat.Option.resolution, [CaptureFormat.resolution])
    return block.finished(hasOptions: true)
  }

  private func packet(_ message: TracedMessage, _ interface: UInt32) -> [UInt8] {
    let bytes = message.bytes.prefix(CaptureFormat.longestPacket)
    var block = BlockWriter(CaptureFormat.Block.packet)
    block.add(interface)
    block.add(UInt32(truncatingIfNeeded: message.instant >> 32))
    block.add(UInt32(truncatingIfNeeded: message.instant))
    block.add(UInt32(bytes.count))
    block.add(UInt32(clamping: message.wireSize))
    block.add(padding: bytes)
    block.option(
      CaptureFormat.Option.packetFlags, CaptureFormat.flags(message.stream.direction).bytes)
    for (index, note) in message.descriptors.enumerated() {
      block.option(CaptureFormat.Option.comment, Array(CaptureFormat.comment(index, note).utf8))
    }
    if let defect = message.defect {
      block.option(CaptureFormat.Option.comment, Array("no message: \(defect.rawValue)".utf8))
    }
    return block.finished(hasOptions: true)
  }

  private func continuation(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
    var block = BlockWriter(CaptureFormat.Block.continuation)
    block.add(UInt32(bytes.count))
    block.add(padding: bytes)
    return block.finished(hasOptions: false)
  }
}

/// The bytes of one block.
private struct BlockWriter {
  private var bytes: [UInt8] = []

  init(_ type: UInt32) { bytes = type.bytes + [0, 0, 0, 0] }

  mutating func add(_ number: some FixedWidthInteger) { bytes += number.bytes }

  /// Adds bytes, and zeros up to a multiple of four.
  mutating func add(padding more: ArraySlice<UInt8>) {
    bytes += more
    bytes += [UInt8](repeating: 0, count: CaptureFormat.padded(more.count) - more.count)
  }

  /// Adds an option; one that is too long is cut.
  mutating func option(_ code: UInt16, _ value: [UInt8]) {
    let value = value.prefix(Int(UInt16.max))
    add(code)
    add(UInt16(value.count))
    add(padding: value[...])
  }

  consuming func finished(hasOptions: Bool) -> [UInt8] {
    if hasOptions { bytes += [0, 0, 0, 0] }
    let total = UInt32(bytes.count + 4).bytes
    bytes.replaceSubrange(4..<8, with: total)
    return bytes + total
  }
}

extension FixedWidthInteger {
  /// The bytes in little-endian order.
  fileprivate var bytes: [UInt8] {
    (0..<Self.bitWidth / 8).map { UInt8(truncatingIfNeeded: self >> ($0 * 8)) }
  }
}
