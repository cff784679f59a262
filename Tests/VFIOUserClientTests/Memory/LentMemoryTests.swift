import SystemPackage
import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserTransport

@testable import VFIOUserClient

private let page: UInt64 = 4096
private let hugePage: UInt64 = 2 << 20

/// How memory of others becomes memory that a client shares.
enum Lending: CaseIterable, Sendable {
  case adopting
  case adoptingMapped
  case lending

  func memory(
    _ file: MemoryFile, at offset: UInt64 = 0, size: UInt64
  ) throws -> SharedMemory {
    switch self {
    case .adopting:
      return try SharedMemory(adopting: file.descriptor(), offset: offset, size: size)
    case .adoptingMapped:
      let address = unsafe try file.map(at: offset, size: size)
      return unsafe try SharedMemory(
        adopting: file.descriptor(), offset: offset, size: size, mappedAt: address)
    case .lending:
      return try SharedMemory(lending: file.descriptor(), offset: offset, size: size)
    }
  }
}

/// Why memory is not lent, nil when it is.
private func refusal(_ body: () throws -> SharedMemory) -> SharedMemoryError? {
  do {
    _ = try body()
    return nil
  } catch {
    return error as? SharedMemoryError
  }
}

@Suite struct `Memory that somebody else has allocated` {
  struct Part: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let offset: UInt64
    let size: UInt64
    let code: SharedMemoryError.Code?

    init(_ name: String, _ offset: UInt64, _ size: UInt64, _ code: SharedMemoryError.Code? = nil) {
      testDescription = name
      self.offset = offset
      self.size = size
      self.code = code
    }
  }

  static let parts: [Part] = [
    .init("the whole file", 0, 4 * page),
    .init("the first page", 0, page),
    .init("the last page", 3 * page, page),
    .init("all but the first page", page, 3 * page),
    .init("no bytes", 0, 0, .empty),
    .init("no bytes at the end", 4 * page, 0, .empty),
    .init("a byte less than a page", 0, page - 1, .misaligned),
    .init("a byte more than a page", 0, page + 1, .misaligned),
    .init("a page from a byte below a border", page - 1, page, .misaligned),
    .init("a page from a byte above a border", page + 1, page, .misaligned),
    .init("a page more than the file", 0, 5 * page, .outsideOfFile),
    .init("a page across the end", 3 * page, 2 * page, .outsideOfFile),
    .init("a page behind the end", 4 * page, page, .outsideOfFile),
    .init("the last page of all offsets", 0 &- page, page, .outsideOfFile),
    .init("an end past 2^64", 0 &- page, 2 * page, .outsideOfFile),
    .init("an end just below 2^64", 0 &- 2 * page, page, .outsideOfFile),
    .init("as many bytes as there are", 0, 0 &- page, .outsideOfFile),
    .init("as many bytes as there are, from a page", page, 0 &- page, .outsideOfFile),
  ]

  @Test(arguments: parts)
  func `A part of a file is lent if it consists of whole pages inside of the file`(_ part: Part)
    throws
  {
    let file = try MemoryFile(size: 4 * page)
    let adopted = refusal {
      try SharedMemory(adopting: file.descriptor(), offset: part.offset, size: part.size)
    }
    let lent = refusal {
      try SharedMemory(lending: file.descriptor(), offset: part.offset, size: part.size)
    }
    #expect(adopted?.code == part.code)
    #expect(lent == adopted)
  }

  @Test func `A refusal of memory says the cause with its numbers, and the remedy`() throws {
    let file = try MemoryFile(size: 4 * page)
    let error = refusal { try Lending.adopting.memory(file, at: page, size: 4 * page) }
    #expect(
      error?.description
        == "16384 bytes at 4096 are not inside of a file of 16384 bytes; "
        + "make the file larger first (ftruncate)")
  }

  @Test(arguments: Lending.allCases)
  func `Lent memory begins at its offset in the file`(_ way: Lending) throws {
    let file = try MemoryFile(size: 4 * page)
    let memory = try way.memory(file, at: 2 * page, size: page)
    #expect(memory.size == page && memory.permissions == [.readable, .writable])
    guard let address = unsafe memory.baseAddress else {
      #expect(way == .lending)
      return
    }
    memory.write(at: 0, from: [1, 2, 3])
    #expect(file.read(at: 2 * page, count: 4) == [1, 2, 3, 0])
    file.write(at: 3 * page - 1, from: [9])
    #expect(memory.read(at: page - 1, count: 1) == [9])
    memory.store(0x0403_0201 as UInt32, at: 8)
    #expect(file.read(at: 2 * page + 8, count: 4) == [1, 2, 3, 4])
    let first = unsafe address.load(as: UInt8.self)
    #expect(first == 1)
  }

  @Test func `Memory whose descriptor permits only reading is lent for reading`() throws {
    let file = try MemoryFile(size: page)
    file.write(at: 7, from: [42])
    let memory = try SharedMemory(adopting: file.descriptor(onlyWriting: false), size: page)
    #expect(memory.permissions == .readable)
    #expect(memory.read(at: 7, count: 1) == [42])
    try expectOnlyReadable(memory)
  }

  @Test func `Memory that is sealed against writing is lent for reading`() throws {
    let file = try MemoryFile(size: page)
    file.write(at: 7, from: [42])
    try file.seal(writing: true)
    let memory = try Lending.adopting.memory(file, size: page)
    #expect(memory.permissions == .readable)
    #expect(memory.read(at: 7, count: 1) == [42])
    try expectOnlyReadable(memory)
    try expectOnlyReadable(Lending.lending.memory(file, size: page))
  }

  private func expectOnlyReadable(_ memory: SharedMemory) throws {
    let client = try client { try $0.serve() }
    for flags in [.writable, [.readable, .writable]] as [DMAMapFlags] {
      for isShared in [true, false] {
        let error = failure { () throws(ClientError) in
          try client.map(memory, at: 0, size: page, flags, isShared: isShared)
        }
        guard case .badWindow(let why) = error?.reason else {
          Issue.record("a device may write to memory that is read-only")
          return
        }
        #expect(why.contains("O_RDWR") && why.contains("F_SEAL_WRITE"))
      }
    }
    try client.map(memory, at: 0, size: page, .readable)
  }

  @Test func `A descriptor that permits no reading, or is none of a file, is refused`() throws {
    let file = try MemoryFile(size: page)
    let writing = refusal {
      try SharedMemory(lending: file.descriptor(onlyWriting: true), size: page)
    }
    #expect(writing?.code == .notReadable)
    let event = refusal { try SharedMemory(lending: EventFD().descriptor.duplicate(), size: page) }
    #expect(event?.code == .notAFile)
    let (socket, _) = try MessageSocket.pair()
    let pair = refusal {
      try SharedMemory(adopting: socket.descriptor.duplicate(), size: page)
    }
    #expect(pair?.code == .notAFile)
  }

  @Test(arguments: [Lending.adopting, .adoptingMapped])
  func `Memory whose file was truncated reads as ones and ends no process`(_ way: Lending) throws {
    let file = try MemoryFile(size: 2 * page)
    let memory = try way.memory(file, size: 2 * page)
    memory.write(at: 0, from: [7])
    #expect(memory.isGuarded && !memory.isTruncated)
    file.resize(to: page)
    #expect(memory.load(at: 0, as: UInt16.self) == 7)
    #expect(!memory.isTruncated)
    #expect(memory.load(at: page, as: UInt32.self) == .max)
    #expect(memory.isTruncated)
    #expect(memory.load(at: page + 8, as: UInt64.self) == .max)
    #expect(memory.read(at: page, count: 3) == [255, 255, 255])
    memory.store(1 as UInt32, at: page)
    memory.store(1 as UInt64, at: page)
    memory.write(at: page, from: [1])
    memory.fill(at: page, count: 8)
    file.resize(to: 2 * page)
    #expect(memory.read(at: page, count: 2) == [0, 0])
  }

  @Test func `Memory that is sealed against shrinking is accessed directly`() throws {
    let file = try MemoryFile(size: page)
    try file.seal()
    #expect(try !Lending.adopting.memory(file, size: page).isGuarded)
    #expect(try !SharedMemory(size: page).isGuarded)
  }

  @Test func `Memory without an address ends the process that accesses it`() async {
    await #expect(processExitsWith: .failure) {
      _ = try Lending.lending.memory(MemoryFile(size: 4096), size: 4096).read(at: 0, count: 1)
    }
  }

  @Test func `Memory of huge pages is lent in whole ones`() throws {
    let file = try MemoryFile(size: 2 * hugePage, isHuge: true)
    for (offset, size) in [(0, page), (page, hugePage), (0, hugePage + page), (0, hugePage - page)]
      as [(UInt64, UInt64)]
    {
      let error = refusal { try Lending.lending.memory(file, at: offset, size: size) }
      #expect(error?.code == .misaligned)
      #expect(error?.description.contains("pages of 2097152 bytes") == true)
    }
    let memory = try Lending.lending.memory(file, at: hugePage, size: hugePage)
    #expect(memory.size == hugePage)
  }

  @Test func `Memory of huge pages is mapped if there are any`() throws {
    let file = try MemoryFile(size: 2 * hugePage, isHuge: true)
    let error = refusal { try Lending.adopting.memory(file, at: hugePage, size: hugePage) }
    guard let error else { return }
    #expect(error.code == .system && error.systemCall?.call == "mmap")
    #expect(error.description.contains("lending"))
  }
}
