import Testing

@testable import vfio_user

@Suite struct `The warning of lost interrupts` {
  @Test func `All that were lost are said with the vector and the command to look with`() {
    let lost = LostInterrupts(vector: 1, awaited: 16, withoutInterrupt: 16)
    #expect(
      lost.text("/tmp/disk.sock")
        == "warning: 16 of 16 completions were found without an interrupt: interrupts of vector 1 do not "
        + "arrive. Look with vfio-user irq /tmp/disk.sock --trigger 1")
  }

  @Test func `Some that were lost are said as such`() {
    let lost = LostInterrupts(vector: 0, awaited: 16, withoutInterrupt: 1)
    #expect(
      lost.text("a").contains("1 of 16 completions") && lost.text("a").contains("some interrupts"))
  }
}
