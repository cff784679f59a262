internal import CLinux
internal import Glibc
internal import NVMeProtocol
internal import VFIOUserServer

/// Where the data of commands is in the client's memory, piece by piece; used again and again.
@safe
struct GuestPieces: ~Copyable {
  /// Most bytes of one command, of the pages that PRPs lead to.
  static let mostBytes: UInt64 = 128 << 10
  /// Room for a list, in bytes.
  private static let mostListBytes = 4096
  /// Room for the pages of a command, or of several that follow each other, and one more for a first page that is not whole.
  private static let capacity = 2 * Int(mostBytes >> 12) + 2

  // Sound: each has room for `capacity` elements, of which the first `count` are initialised; `list` for a page of PRPs or descriptors.
  // Nobody else has them.
  private let slices: UnsafeMutablePointer<iovec>
  private let addresses: UnsafeMutablePointer<UInt64>
  private let list: UnsafeMutablePointer<UInt64>
  private(set) var count = 0

  init() {
    unsafe slices = .allocate(capacity: Self.capacity)
    unsafe addresses = .allocate(capacity: Self.capacity)
    unsafe list = .allocate(capacity: Self.mostListBytes / 8)
  }

  deinit {
    unsafe slices.deallocate()
    unsafe addresses.deallocate()
    unsafe list.deallocate()
  }

  mutating func removeAll() { count = 0 }

  /// Removes all behind the first `count`.
  mutating func truncate(to count: Int) { self.count = count }

  /// Whether the pages of another command fit.
  var hasRoom: Bool { count <= Self.capacity / 2 }

  /// The pieces, for a system call or a copy.
  @unsafe
  var all: UnsafeBufferPointer<iovec> { unsafe UnsafeBufferPointer(start: slices, count: count) }

  /// Adds the pages of a command (NVMe 1.4, section 4.3).
  ///
  /// - Returns: false when they are not where a guarded access leads at once, or the PRPs break a rule; ``DataPointer``
  ///   says what is wrong then.
  mutating func add(
    _ command: SimpleCommand, _ size: UInt64, _ pages: PRPGeometry,
    for direction: GuestMemoryAccess.Direction,
    in windows: inout WindowCache
  ) -> Bool {
    if command.hasDescriptor { return addDescriptors(command, size, direction, &windows) }
    let offset = pages.offset(of: command.pointer1)
    guard command.pointer1 & 3 == 0 else { return false }
    let head = min(size, pages.pageSize - offset)
    guard add(command.pointer1, head, direction, &windows) else { return false }
    let rest = size - head
    if rest == 0 { return true }
    if rest <= pages.pageSize {
      guard pages.offset(of: command.pointer2) == 0 else { return false }
      return add(command.pointer2, rest, direction, &windows)
    }
    return addList(command.pointer2, rest, pages, direction, &windows)
  }

  /// Adds what an SGL of one segment describes (NVMe 1.4, section 4.4): what hosts use for data that is in few places.
  private mutating func addDescriptors(
    _ command: SimpleCommand, _ size: UInt64, _ direction: GuestMemoryAccess.Direction,
    _ windows: inout WindowCache
  ) -> Bool {
    let first = SGLDescriptor(address: command.pointer1, second: command.pointer2)
    guard first.subtype == 0 else { return false }
    if first.kind == .dataBlock {
      return UInt64(first.length) == size && add(first.address, size, direction, &windows)
    }
    let length = Int(first.length)
    guard first.kind == .lastSegment, length % 16 == 0, 16...Self.mostListBytes ~= length,
      let place = unsafe windows.place(first.address, UInt64(length), .reading),
      unsafe clinux_guarded_copy(list, place, length) == 0
    else { return false }
    var rest = size
    for index in 0..<length / 16 {
      let next = unsafe SGLDescriptor(address: list[2 * index], second: list[2 * index + 1])
      let count = UInt64(next.length)
      guard next.kind == .dataBlock, next.subtype == 0, 1...rest ~= count,
        add(next.address, count, direction, &windows)
      else { return false }
      rest -= count
      if rest == 0 { return index == length / 16 - 1 }
    }
    return false
  }

  /// Adds the pages of a PRP list that has no second page.
  private mutating func addList(
    _ address: UInt64, _ size: UInt64, _ pages: PRPGeometry,
    _ direction: GuestMemoryAccess.Direction,
    _ windows: inout WindowCache
  ) -> Bool {
    let entries = Int((size + pages.pageSize - 1) / pages.pageSize)
    guard address & 7 == 0, entries <= pages.entries(from: address), entries <= 512,
      let place = unsafe windows.place(address, UInt64(8 * entries), .reading),
      unsafe clinux_guarded_copy(list, place, 8 * entries) == 0
    else { return false }
    var rest = size
    var index = 0
    while index < entries {
      // Pages that follow each other are one piece.
      let first = unsafe list[index]
      var run = min(rest, pages.pageSize)
      guard pages.offset(of: first) == 0 else { return false }
      index += 1
      while index < entries, unsafe list[index] == first &+ run {
        run += min(rest - run, pages.pageSize)
        index += 1
      }
      guard add(first, run, direction, &windows) else { return false }
      rest -= run
    }
    return true
  }

  private mutating func add(
    _ address: UInt64, _ size: UInt64, _ direction: GuestMemoryAccess.Direction,
    _ windows: inout WindowCache
  ) -> Bool {
    guard count < Self.capacity, let place = unsafe windows.place(address, size, direction) else {
      return false
    }
    unsafe (slices + count).initialize(to: iovec(iov_base: place, iov_len: Int(size)))
    unsafe (addresses + count).initialize(to: address)
    count += 1
    return true
  }

  /// Reports that all of it was written, if anybody wants to know.
  func noteWrites(in windows: borrowing WindowCache) {
    guard windows.isObserved else { return }
    for index in 0..<count {
      windows.noteWrite(unsafe addresses[index], UInt64(unsafe slices[index].iov_len))
    }
  }
}
