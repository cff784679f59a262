import NVMeProtocol
import TestSupport
import Testing
import VFIOUserTransport

@testable import NVMeDevice

@Suite struct `The generations of a controller` {
  private let generations = ControllerGenerations()

  @Test func `A generation is current from its reset until the next one`() {
    #expect(generations.isCurrent)
    #expect(generations.end() == 2)
    #expect(!generations.isCurrent && generations.served == 1)
    generations.serve(2)
    #expect(generations.isCurrent)
  }

  @Test func `A reset waits until its generation is served`() throws {
    generations.end()
    #expect(!generations.waitUntilServed(2, before: .after(.milliseconds(20))))
    let generations = generations
    try DetachedThread.start("controller") { generations.serve(2) }
    #expect(generations.waitUntilServed(2, before: .after(.seconds(10))))
  }

  @Test func `A thread that has ended serves no generation, and nobody waits for it`() {
    generations.close()
    #expect(!generations.isCurrent)
    #expect(generations.waitUntilServed(7, before: .never))
    #expect(generations.waitUntilServed(.max, before: .never))
  }

  @Test func `A status of an earlier generation is not written`() {
    let registers = RegisterBlock(
      capabilities: ControllerCapabilities(rawValue: 0), generations: generations)
    registers.setStatus(generation: 1) { $0.isReady = true }
    #expect(registers.load(at: RegisterOffset.status, interruptMask: 0) & 1 == 1)
    registers.reset()
    registers.setStatus(generation: 1) { $0.isReady = true }
    #expect(registers.load(at: RegisterOffset.status, interruptMask: 0) & 1 == 0)
    registers.setStatus(generation: 2) { $0.isReady = true }
    #expect(registers.load(at: RegisterOffset.status, interruptMask: 0) & 1 == 1)
  }
}
