import ArgumentParser
import NVMeDriver
import TestSupport
import Testing
import VFIOUserClient

@testable import vfio_user

@Suite(.timeLimit(.minutes(1))) struct `A disk whose interrupts are lost` {
  @Test func `Blocks are read all the same, and the vector is told`() throws {
    let served = try NVMeDisk(megabytes: 1)
    let disk = try Disk(NVMeTarget.parse([served.device.socket]), depth: 8, transfer: 1 << 18)
    defer { disk.close() }
    try disk.controller.client.setTrigger(.msix, vector: 1, nil)
    var count = 0
    try BlockCopy(disk).read(0..<1 << 18) { count += $0.count }
    #expect(count == 1 << 18)
    #expect(
      disk.lostInterrupts == [LostInterrupts(vector: 1, awaited: 1, withoutInterrupt: 1)])
  }
}
