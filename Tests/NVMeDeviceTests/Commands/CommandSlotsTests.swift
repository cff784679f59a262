import NVMeProtocol
import Testing

@testable import NVMeDevice

@Suite struct `The slots of commands in flight` {
  private let parts: ControllerParts

  init() throws { parts = try ControllerParts() }

  @Test func `A slot is used again, and there are never more than the limit`() throws {
    let first = try #require(parts.slots.take())
    parts.slots.giveBack(first)
    #expect(parts.slots.take() === first)
    while parts.slots.take() != nil {}
    #expect(parts.slots.all.count == CommandSlots.limit && !parts.slots.hasRoom)
    #expect(parts.slots.all.enumerated().allSatisfy { $0 == $1.request.tag })
    parts.slots.giveBack(first)
    #expect(parts.slots.hasRoom)
  }

  @Test func `A slot that was given back belongs to no command`() throws {
    let (queue, _, _) = parts.makePair(1)
    let slot = try parts.command(.io(.flush), from: queue)
    slot.work = .flush(next: 1)
    slot.isSubmitted = true
    parts.slots.giveBack(slot)
    guard case .once = slot.work else { return #expect(Bool(false), "\(slot.work)") }
    #expect(slot.queue == nil && !slot.isSubmitted)
  }

  @Test func `Aborted commands are completed in their order`() throws {
    let (queue, _, _) = parts.makePair(1)
    let aborted = try (0..<3).map { _ in try parts.command(.io(.read), from: queue) }
    for slot in aborted { parts.slots.abort(slot, CommandError(.abortRequested)) }
    for slot in aborted { #expect(parts.slots.takeAborted()?.slot === slot) }
    #expect(parts.slots.takeAborted() == nil)
  }
}
