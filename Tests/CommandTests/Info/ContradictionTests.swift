import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserInspection
import VFIOUserProtocol

@testable import vfio_user

@Suite struct `Contradictions that info finds` {
  /// A device with a 64-bit BAR 0 of 8 KiB that has the MSI-X table of 17 vectors, and MSI with 4 messages.
  private func space(tableAt table: UInt32 = 0x1000) -> ConfigurationBytes {
    var bytes = [UInt8](repeating: 0, count: 256)
    func store(_ value: UInt32, _ place: Int) {
      for index in 0..<4 {
        bytes[place + index] = UInt8(truncatingIfNeeded: value >> UInt32(8 * index))
      }
    }
    store(0x0010_0000, 0x04)
    store(0x4, 0x10)
    store(0x40, 0x34)
    store(0x0010_5011, 0x40)
    store(table, 0x44)
    store(0x1800, 0x48)
    store(0x0004_0005, 0x50)
    return ConfigurationBytes(bytes)
  }

  private func region(size: UInt64) -> DeviceSummary.Region {
    DeviceSummary.Region(
      index: 0, name: "BAR 0", kind: nil, size: size, readable: true, writable: true,
      mappable: false, areas: [], msixMappable: false, type: nil, unknownCapabilities: [])
  }

  private func problems(
    _ space: ConfigurationBytes? = nil, size: UInt64 = 0x2000, msi: UInt32 = 4, msix: UInt32 = 17
  ) -> [String] {
    let space = space ?? self.space()
    let interrupts = [(1, "MSI", msi), (2, "MSI-X", msix)].map { index, name, count in
      DeviceSummary.Interrupt(
        index: index, name: name, count: count, maskable: false, automasked: false, eventfd: true,
        noResize: true)
    }
    let found = PCICapabilities(of: space).standard.map(DeviceSummary.Capability.init)
    return DeviceSummary.problems(
      PCIHeader(space), found, size == 0 ? [] : [region(size: size)], interrupts)
  }

  @Test func `A device that agrees with itself has none`() {
    #expect(problems() == [])
  }

  @Test(arguments: [0, 16, 18] as [UInt32])
  func `Another number of MSI-X vectors than the capability has is one`(count: UInt32) {
    #expect(
      problems(msix: count) == [
        "number of MSI-X vectors: \(count) by DEVICE_GET_IRQ_INFO, 17 by its capability"
      ])
  }

  @Test func `Another number of MSI messages than the capability has is one`() {
    #expect(
      problems(msi: 1) == ["number of MSI vectors: 1 by DEVICE_GET_IRQ_INFO, 4 by its capability"])
  }

  @Test func `A table that ends behind its BAR is one, and one that ends with it is none`() {
    #expect(problems(space(tableAt: 0x2000 - 17 * 16)) == [])
    let found = problems(space(tableAt: 0x2000 - 16 * 16))
    #expect(
      found.count == 1 && found[0].contains("table of 272 bytes at 0x1f00 is outside of BAR 0"))
    #expect(problems(space(tableAt: 0x1007)).contains { $0.contains("BAR 7") })
  }

  @Test func `A BAR register without a region is one`() {
    #expect(problems(size: 0).contains { $0.hasPrefix("BAR 0: configuration space has") })
  }
}

@Suite(.timeLimit(.minutes(1))) struct `What info says of a disk` {
  @Test func `The command for disks is named, and nothing contradicts`() throws {
    let served = try ServedProcess(["nvme", "--memory", "1M"])
    let run = try served.run("info")
    #expect(run.text.contains("  More: vfio-user nvme identify \(served.socket)"))
    #expect(!run.text.contains("Problem"), "\(run.text)")
    #expect(try served.run("info", "--json").text.contains(#""problems" : ["#))
  }
}
