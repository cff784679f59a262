import Testing

@testable import VFIOUserProgram

@Suite struct `The callers of a control socket` {
  @Test func `One process gets eight connections, and leaves the others to other processes`() {
    let callers = Callers()
    for _ in 0..<8 { #expect(callers.admit(4711) == nil) }
    #expect(callers.admit(4711)?.contains("8") == true)
    #expect(callers.admit(4712) == nil)
    callers.release(4711)
    #expect(callers.admit(4711) == nil)
  }

  @Test func `All processes together get 32 connections`() {
    let callers = Callers()
    for process in 1...32 as ClosedRange<Int32> { #expect(callers.admit(process) == nil) }
    #expect(callers.admit(33)?.contains("32") == true)
    callers.release(7)
    #expect(callers.admit(33) == nil)
  }
}
