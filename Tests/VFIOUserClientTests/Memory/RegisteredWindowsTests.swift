import Testing
import VFIOUserProtocol
import VFIOUserTransport

@testable import VFIOUserClient

/// A window of pages.
private func window(_ first: UInt64, pages: UInt64 = 1) throws -> MemoryService.DMAWindow {
  MemoryService.DMAWindow(
    address: first << 12, size: pages << 12, memory: try .ofOnePage(), offset: 0,
    flags: .readable, isShared: false)
}

@Suite struct `The DMA windows of a client` {
  /// Windows that the device has.
  private func windows(_ all: [MemoryService.DMAWindow]) throws -> RegisteredWindows {
    var windows = RegisteredWindows()
    for window in all {
      try add(window, to: &windows)
      windows.arrived(window)
    }
    return windows
  }

  private func add(_ window: MemoryService.DMAWindow, to windows: inout RegisteredWindows) throws {
    let isAdded = windows.add(window)
    try #require(isAdded)
  }

  @Test func `A DMA window returns when all that were to replace it are refused`() throws {
    let (old, others) = (try window(0, pages: 2), [try window(0), try window(1)])
    var windows = try windows([old])
    windows.beginUnmap(old)
    for other in others { try add(other, to: &windows) }
    #expect(windows.count == 3)
    windows.stays(old)
    #expect(windows.window(holding: 4096) === old)
    windows.refused(others[0])
    #expect(!windows.registered.all.contains { $0 === old })
    windows.refused(others[1])
    #expect(windows.registered.all.map(ObjectIdentifier.init) == [ObjectIdentifier(old)])
    #expect(windows.count == 1)
  }

  @Test func `An unwanted DMA window is unmapped once, as soon as no other is in its place`() throws
  {
    let (late, other, elsewhere) = (try window(0), try window(0, pages: 2), try window(5))
    var windows = RegisteredWindows()
    try add(other, to: &windows)
    windows.arrivedUnwanted(late)
    windows.arrivedUnwanted(elsewhere)
    let first = windows.takeUnwanted()
    windows.refused(other)
    let (second, third) = (windows.takeUnwanted(), windows.takeUnwanted())
    #expect(first.map(\.address) == [elsewhere.address])
    #expect(second.map(\.address) == [late.address])
    #expect(third.isEmpty)
  }

  @Test func `An unwanted DMA window is forgotten when another was mapped in its place`() throws {
    let (late, other) = (try window(1), try window(0, pages: 2))
    var windows = RegisteredWindows()
    try add(other, to: &windows)
    windows.arrivedUnwanted(late)
    windows.arrived(other)
    windows.beginUnmap(other)
    let unwanted = windows.takeUnwanted()
    #expect(unwanted.isEmpty)
  }

  @Test func `A DMA window does not return when the device has mapped another in its place`() throws
  {
    let (old, other) = (try window(0, pages: 2), try window(1))
    var windows = try windows([old])
    windows.beginUnmap(old)
    try add(other, to: &windows)
    windows.stays(old)
    windows.arrived(other)
    #expect(windows.window(holding: 0) == nil)
    #expect(windows.window(holding: 4096) === other)
    #expect(windows.count == 1)
  }

  @Test func `A DMA window that seemed to stay may still be unmapped late, and only once`() throws {
    let (old, other) = (try window(0), try window(0))
    var windows = try windows([old])
    windows.beginUnmap(old)
    windows.stays(old)
    #expect(windows.registered.count == 1)
    windows.left(old)
    #expect(windows.count == 0)
    try add(other, to: &windows)
    windows.left(old)
    windows.stays(old)
    #expect(windows.window(holding: 0) === other)
    #expect(windows.count == 1)
  }

  @Test func `A DMA window that was never mapped does not stay`() throws {
    let new = try window(0)
    var windows = RegisteredWindows()
    try add(new, to: &windows)
    windows.beginUnmap(new)
    windows.refused(new)
    windows.stays(new)
    #expect(windows.count == 0)
  }

  @Test func `Two DMA windows may be unmapped from one place one after the other`() throws {
    let (first, second) = (try window(0), try window(0))
    var windows = try windows([first])
    windows.beginUnmap(first)
    try add(second, to: &windows)
    windows.beginUnmap(second)
    #expect(windows.window(holding: 0) === first)
    windows.left(first)
    windows.arrived(second)
    windows.left(second)
    #expect(windows.count == 0)
  }

  @Test func `A DMA window returns at once when the others are mapped elsewhere`() throws {
    let (old, other) = (try window(0), try window(1))
    var windows = try windows([old])
    windows.beginUnmap(old)
    try add(other, to: &windows)
    windows.stays(old)
    #expect(windows.registered.count == 2)
  }

  @Test func `A DMA window that was unmapped late does not return when another is refused`() throws
  {
    let (old, other) = (try window(0), try window(0))
    var windows = try windows([old])
    windows.beginUnmap(old)
    try add(other, to: &windows)
    windows.stays(old)
    windows.left(old)
    #expect(windows.window(holding: 0) === other)
    windows.refused(other)
    #expect(windows.count == 0)
  }

  @Test func `A DMA window does not return where others arrive that are being unmapped already`()
    throws
  {
    let (old, others) = (try window(0), [try window(0), try window(0)])
    var windows = try windows([old])
    windows.beginUnmap(old)
    for other in others {
      try add(other, to: &windows)
      windows.beginUnmap(other)
    }
    windows.stays(old)
    #expect(windows.registered.count == 0)
    windows.refused(others[0])
    windows.arrived(others[1])
    windows.left(others[1])
    #expect(windows.count == 0)
  }
}
