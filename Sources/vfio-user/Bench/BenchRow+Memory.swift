import CLinux
import LinuxPrimitives
import VFIOUserClient
import VFIOUserProgram
import VFIOUserProtocol

/// Windows of memory.
extension BenchRow {
  /// Where the guest's memory seems to be; what edu can reach has 28 bits.
  static let base: UInt64 = 0x10_0000
  static let memorySize: UInt64 = 1 << 20

  /// DMA_MAP with a descriptor and DMA_UNMAP, each waited for.
  static var mapAndUnmap: BenchRow {
    BenchRow(
      "map and unmap 1 MiB", bytes: 0,
      floor: [
        FloorExchange(Header.wireSize + DMAMap.wireSize, Header.wireSize),
        FloorExchange(
          Header.wireSize + DMAUnmap.wireSize, Header.wireSize + DMAUnmap.wireSize),
      ]
    ) { subject in
      let file = OwnedDescriptor(
        adopting: try checked(
          "memfd_create", unsafe clinux_memory_file("vfio-user-bench", memorySize)))
      let shared = SharedFile(file)
      let map = BenchWire.message(
        .dmaMap, DMAMap(flags: [.readable, .writable], address: base, size: memorySize))
      let unmap = BenchWire.message(.dmaUnmap, DMAUnmap(address: base, size: memorySize))
      let wire = try subject.wire()
      return {
        try wire.exchange(map, .dmaMap, descriptors: [shared.descriptor.number])
        try wire.exchange(unmap, .dmaUnmap)
      }
    }
  }

  /// Keeps a descriptor as long as a closure lives.
  private final class SharedFile {
    let descriptor: OwnedDescriptor
    init(_ descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }
  }
}
