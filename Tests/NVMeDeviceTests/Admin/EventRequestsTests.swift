import NVMeProtocol
import Testing

@testable import NVMeDevice

@Suite struct `Asynchronous event requests` {
  private let parts: ControllerParts
  private let events = EventRequests()

  init() throws { parts = try ControllerParts() }

  @discardableResult
  private func request() throws -> CommandSlot? {
    let slot = try #require(parts.slots.take())
    return events.add(slot) ? slot : nil
  }

  @Test func `An event goes with the oldest request, and waits for one`() throws {
    events.add(.temperatureThreshold)
    #expect(events.next() == nil)
    let first = try request()
    try request()
    let (event, slot) = try #require(events.next())
    #expect(event == .temperatureThreshold && slot === first)
    #expect(events.next() == nil && events.requests.count == 1)
  }

  @Test func `A kind of event is masked until the host has read its log`() throws {
    for _ in 0..<3 { try request() }
    events.add(.invalidDoorbellValue)
    #expect(events.next()?.0 == .invalidDoorbellValue)
    events.add(.invalidDoorbellRegister)
    events.add(.namespaceChanged)
    #expect(events.next()?.0 == .namespaceChanged)
    #expect(events.next() == nil)
    events.allow(.error)
    #expect(events.next()?.0 == .invalidDoorbellRegister)
  }

  @Test func `There are no more requests than the limit, and an event waits once`() throws {
    for _ in 0..<EventRequests.maxRequests { #expect(try request() != nil) }
    #expect(try request() == nil)
    for _ in 0..<2 { events.add(.namespaceChanged) }
    #expect(events.next() != nil)
    events.allow(.notice)
    #expect(events.next() == nil)
  }
}
