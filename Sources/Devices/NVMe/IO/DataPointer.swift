internal import NVMeProtocol

/// Finds out where the data of a command is (NVMe 1.4, section 4.3).
///
/// The result goes into an array that is used again and again. What the host describes is bounded by
/// the size of the data: each step of a list accounts for a page of it.
struct DataPointer {
  let access: GuestMemoryAccess
  let geometry: PRPGeometry
  /// A page of ours for lists.
  let scratch: PageBuffer

  init(access: GuestMemoryAccess, pageSize: UInt64, scratch: PageBuffer) {
    self.access = access
    geometry = PRPGeometry(pageSize: pageSize)
    self.scratch = scratch
  }

  /// Where `count` bytes are, by PRPs or an SGL, as the command says.
  func resolve(
    _ entry: SubmissionEntry, count: UInt64, into ranges: inout [GuestRange]
  ) throws(CommandError) {
    ranges.removeAll(keepingCapacity: true)
    switch entry.flags.dataDescription {
    case 0: try resolvePages(entry, count, &ranges)
    case 1, 2: try resolveList(entry, count, &ranges)
    default: throw .field(1)
    }
  }

  /// As ``resolve(_:count:into:)``, for admin commands, which use PRPs only.
  func resolvePages(
    _ entry: SubmissionEntry, _ count: UInt64, _ ranges: inout [GuestRange]
  ) throws(CommandError) {
    guard count > 0 else { return }
    let first = entry.dataPointer1
    guard first & 3 == 0 else { throw CommandError(Status.prpOffsetInvalid.final, byte: 24) }
    let head = min(count, geometry.pageSize - geometry.offset(of: first))
    Self.append(GuestRange(address: first, count: head), &ranges)
    let rest = count - head
    guard rest > 0 else { return }
    if rest <= geometry.pageSize {
      guard geometry.offset(of: entry.dataPointer2) == 0 else {
        throw CommandError(Status.prpOffsetInvalid.final, byte: 32)
      }
      return Self.append(GuestRange(address: entry.dataPointer2, count: rest), &ranges)
    }
    guard entry.dataPointer2 & 7 == 0 else {
      throw CommandError(Status.prpOffsetInvalid.final, byte: 32)
    }
    try walk(from: entry.dataPointer2, rest, &ranges)
  }

  /// Walks the pages of a PRP list; the last entry of a full page leads to the next.
  private func walk(
    from start: UInt64, _ count: UInt64, _ ranges: inout [GuestRange]
  ) throws(CommandError) {
    var list = start
    var rest = count
    while rest > 0 {
      let pages = (rest + geometry.pageSize - 1) / geometry.pageSize
      let room = geometry.entries(from: list)
      let goesOn = pages > UInt64(room)
      // A list's last page holds only entries; a page before it also holds the way to the next, and
      // at least that makes progress: a lone link at the end of a page is followed by a whole page.
      var left = goesOn ? room - 1 : Int(pages)
      var place = list
      while left > 0 {
        let piece = min(left, scratch.size / 8)
        try load(piece, at: place)
        for index in 0..<piece {
          let address = entry(index)
          guard geometry.offset(of: address) == 0 else {
            throw CommandError(Status.prpOffsetInvalid.final, byte: 32)
          }
          let size = min(rest, geometry.pageSize)
          Self.append(GuestRange(address: address, count: size), &ranges)
          rest -= size
        }
        left -= piece
        place &+= UInt64(8 * piece)
      }
      guard goesOn else { return }
      try load(1, at: place)
      list = entry(0)
      guard geometry.offset(of: list) == 0 else {
        throw CommandError(Status.prpOffsetInvalid.final, byte: 32)
      }
    }
  }

  func load(_ entries: Int, at address: UInt64) throws(CommandError) {
    do throws(MemoryError) {
      try scratch.fill(8 * entries, from: address, by: access)
    } catch {
      throw CommandError(Status.dataTransferError, byte: 32)
    }
  }

  private func entry(_ index: Int) -> UInt64 {
    scratch.number(at: 8 * index)
  }

  /// Adds a piece; one that follows directly makes the last one longer.
  static func append(_ range: GuestRange, _ ranges: inout [GuestRange]) {
    guard range.count > 0 else { return }
    if let last = ranges.indices.last,
      ranges[last].address &+ ranges[last].count == range.address, range.address != 0
    {
      ranges[last].count += range.count
    } else {
      ranges.append(range)
    }
  }
}
