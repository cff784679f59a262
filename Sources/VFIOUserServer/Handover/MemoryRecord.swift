internal import LinuxPrimitives
internal import SystemPackage
internal import VFIOUserProtocol

/// The DMA windows of a client, for a process that continues with its connection.
struct MemoryRecord: Codable, Sendable {
  /// Numbers of descriptors that stay open, one for each file.
  var files: [Int32] = []
  /// The windows, ``bytesOfWindow`` each: a client may have tens of thousands.
  var windows: [UInt8] = []

  /// Address, size, offset (8 bytes each), flags, index of the file or -1 (4 bytes each).
  static let bytesOfWindow = 32

  /// A window.
  struct Window {
    var request: DMAMap
    /// Index of the file; nil if the memory is accessed by messages.
    var file: Int?
  }

  mutating func append(_ window: Window) {
    windows.append(littleEndian: window.request.address)
    windows.append(littleEndian: window.request.size)
    windows.append(littleEndian: window.request.offset)
    windows.append(littleEndian: window.request.flags.rawValue)
    windows.append(littleEndian: Int32(window.file ?? -1))
  }

  /// The windows, checked against the list of files.
  func decoded() throws(HandoverError) -> [Window] {
    guard windows.count % Self.bytesOfWindow == 0 else {
      throw HandoverError("the DMA windows take \(windows.count) bytes, \(Self.bytesOfWindow) each")
    }
    var result: [Window] = []
    for start in stride(from: 0, to: windows.count, by: Self.bytesOfWindow) {
      let bytes = windows.span.extracting(start..<start + Self.bytesOfWindow)
      let file: Int32 = bytes.littleEndian(at: 28)
      guard file == -1 || files.indices ~= Int(file) else {
        throw HandoverError("a DMA window is in file \(file), of \(files.count)")
      }
      let request = DMAMap(
        flags: DMAMapFlags(rawValue: bytes.littleEndian(at: 24)),
        offset: bytes.littleEndian(at: 16), address: bytes.littleEndian(at: 0),
        size: bytes.littleEndian(at: 8))
      result.append(Window(request: request, file: file < 0 ? nil : Int(file)))
    }
    return result
  }
}

extension GuestMemory {
  /// The windows of the present client.
  ///
  /// - Throws: when a file is not kept open, because there are too many.
  func record() throws(HandoverError) -> MemoryRecord {
    let windows = state.withLock { $0.table.all }
    var record = MemoryRecord()
    var places: [ObjectIdentifier: Int] = [:]
    for window in windows {
      var place: Int?
      if window.mapping != nil {
        guard let file = window.file else {
          throw HandoverError(
            "the client's memory is in more than \(KeptFiles.limit) files, which cannot all be kept open"
          )
        }
        place = places[ObjectIdentifier(file)] ?? record.files.count
        if place == record.files.count { record.files.append(file.descriptor.number) }
        places[ObjectIdentifier(file)] = place
      }
      let request = DMAMap(
        flags: window.flags, offset: window.offset, address: window.address, size: window.size)
      record.append(MemoryRecord.Window(request: request, file: place))
    }
    return record
  }

  /// Maps the windows of a client whose connection is taken over; the descriptors of the files become this process's.
  func takeOver(
    _ record: MemoryRecord, from sender: PeerDescriptors, limit: Int, files: MemoryFiles
  ) throws(HandoverError) {
    let opened = record.files.map { HandedOverFile(OwnedDescriptor(adopting: $0, from: sender)) }
    for window in try record.decoded() {
      let request = window.request
      try HandoverError.wrapping(
        "\(request.size) bytes of the client's memory at \(hex(request.address)) cannot be mapped again"
      ) {
        try add(
          request, try window.file.map { try opened[$0].descriptor.duplicate(from: sender) },
          limit: limit, files: files)
      }
    }
  }
}

private final class HandedOverFile {
  let descriptor: OwnedDescriptor
  init(_ descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }
}
