/// A namespace of a controller.
public struct NVMeNamespace: Sendable {
  /// The namespace ID (NSID).
  public let id: UInt32
  /// Size of a logical block in bytes.
  public let blockSize: Int
  /// Number of logical blocks.
  public let blocks: UInt64
  /// Maximum size of one transfer in bytes, limited by the controller and by ``DataBuffer``.
  public let maxBytes: Int
  /// The Identify Namespace data structure.
  public let description: IdentifyNamespace

  /// Identifies a namespace.
  ///
  /// - Throws: ``NVMeDriverError/unsuitable(_:)`` if it does not exist or has an unsupported block
  ///   size.
  public init(_ id: UInt32, of controller: NVMeController) throws(NVMeDriverError) {
    let description: IdentifyNamespace
    do throws(NVMeDriverError) {
      description = try controller.identifyNamespace(id)
    } catch .refused(_, let status) where status.means(.invalidNamespace) {
      throw .unsuitable("there is no namespace \(id)")
    }
    let limit = try controller.identifyController().maximumTransfer
    let shift = description.format.dataShift
    guard description.size > 0 else { throw .unsuitable("there is no namespace \(id)") }
    guard 9...16 ~= shift else {
      throw .unsuitable("namespace \(id) has blocks of 2^\(shift) bytes")
    }
    self.id = id
    self.description = description
    blockSize = 1 << Int(shift)
    blocks = description.size
    let controllerLimit =
      limit == 0 || limit > 20 ? DataBuffer.maxBytes : DMAArena.pageSize << Int(limit)
    maxBytes = min(DataBuffer.maxBytes, controllerLimit, 65536 << Int(shift))
  }

  /// Size in bytes.
  public var size: UInt64 { blocks.multipliedReportingOverflow(by: UInt64(blockSize)).partialValue }
}

extension NVMeController {
  /// Reads blocks and waits for completion; for occasional use, as it allocates.
  public func read(
    _ namespace: NVMeNamespace, from block: UInt64, blocks: Int, on queue: QueuePair
  ) throws(NVMeDriverError) -> [UInt8] {
    let count = blocks * namespace.blockSize
    let buffer = try DataBuffer(count, in: arena)
    var entry = SubmissionEntry.read(namespace.id, from: block, blocks: blocks)
    entry.point(to: buffer, count: count)
    // If the command times out, the controller may still write to the buffer, which is not freed
    // then.
    let answer = try answer(to: entry, on: queue)
    defer { arena.free(buffer) }
    guard answer.status.isSuccess else { throw .refused(opcode: entry.opcode, answer.status) }
    return buffer.data.read(count: count)
  }

  /// Executes a command that sends data, and waits for completion.
  public func send(
    _ entry: SubmissionEntry, _ bytes: [UInt8], on queue: QueuePair
  ) throws(NVMeDriverError) {
    let buffer = try DataBuffer(bytes.count, in: arena)
    buffer.data.write(from: bytes)
    var entry = entry
    entry.point(to: buffer, count: bytes.count)
    let answer = try answer(to: entry, on: queue)
    defer { arena.free(buffer) }
    guard answer.status.isSuccess else { throw .refused(opcode: entry.opcode, answer.status) }
  }

  /// Writes whole blocks and waits for completion; for occasional use, as it allocates.
  public func write(
    _ namespace: NVMeNamespace, to block: UInt64, _ bytes: [UInt8], on queue: QueuePair
  ) throws(NVMeDriverError) {
    let blocks = bytes.count / namespace.blockSize
    try send(.write(namespace.id, to: block, blocks: blocks), bytes, on: queue)
  }

  /// Deallocates ranges of blocks and waits for completion.
  ///
  /// - Precondition: 1 to 256 ranges.
  public func deallocate(
    _ namespace: NVMeNamespace, _ ranges: [DatasetRange], on queue: QueuePair
  ) throws(NVMeDriverError) {
    var bytes = [UInt8](repeating: 0, count: ranges.count * DatasetRange.wireSize)
    for (index, range) in ranges.enumerated() {
      var span = bytes.mutableSpan
      var raw = unsafe span.mutableBytes
      var place = raw._mutatingExtracting((index * DatasetRange.wireSize)...)
      range.encode(into: &place)
    }
    try send(
      .datasetManagement(namespace.id, ranges: ranges.count, .deallocate), bytes, on: queue)
  }
}
