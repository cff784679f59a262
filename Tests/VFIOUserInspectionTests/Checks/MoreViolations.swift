import TestSupport
import Testing
import VFIOUserProtocol

@testable import VFIOUserInspection

extension WrongDoing {
  static func dma(_ command: Command, _ address: UInt64, _ count: UInt64) -> [UInt8] {
    let data = command == .dmaWrite ? [UInt8](repeating: 0, count: Int(count)) : []
    return message(command, bytes(of: DMAAccess(address: address, count: count)) + data)
  }

  static func map(_ address: UInt64, _ size: UInt64, offset: UInt64 = 0) -> [UInt8] {
    bytes(of: DMAMap(flags: [.readable], offset: offset, address: address, size: size))
  }

  static let memory: [WrongDoing] = [
    .init("VFIO_USER_DMA_MAP", "a window of size 0") { $0.command(.dmaMap, map(0x1000, 0)) },
    .init("VFIO_USER_DMA_MAP", "beyond the last address") {
      $0.command(.dmaMap, map(UInt64.max - 0xFFF, 0x2000))
    },
    .init("VFIO_USER_DMA_MAP", "overlaps the window at 0x1000") {
      $0.map(0x1000, 0x2000)
      return $0.command(.dmaMap, map(0x2000, 0x1000))
    },
    .init("VFIO_USER_DMA_MAP", "offset is 0x1000 without a descriptor") {
      $0.command(.dmaMap, map(0, 0x1000, offset: 0x1000))
    },
    .init("VFIO_USER_DMA_MAP", "argsz is 33") {
      $0.command(.dmaMap, [33] + map(0, 0x1000).dropFirst())
    },
    .init("VFIO_USER_DMA_MAP", "undefined bits 0x10") {
      var map = map(0, 0x1000)
      map[4] |= 0x10
      return $0.command(.dmaMap, map)
    },
    .init("VFIO_USER_DMA_MAP", "2 descriptors, at most one") {
      $0.command(.dmaMap, map(0, 0x1000), descriptors: 2)
    },
    .init("VFIO_USER_DMA_MAP", "truncated: needs 32 bytes, has 31") {
      $0.command(.dmaMap, map(0, 0x1000).dropLast())
    },
    .init("VFIO_USER_VERSION", "more windows than max_dma_maps, 2") {
      $0.map(0, 0x1000)
      $0.map(0x2000, 0x1000)
      return $0.command(.dmaMap, map(0x4000, 0x1000))
    },
    .init("VFIO_USER_VERSION", "not aligned to the smallest of pgsizes") {
      $0.command(.dmaMap, map(0x800, 0x1000))
    },
    .init("VFIO_USER_DMA_UNMAP", "not exactly those of a window") {
      $0.map(0, 0x2000)
      return $0.command(.dmaUnmap, bytes(of: DMAUnmap(address: 0, size: 0x1000)))
    },
    .init("VFIO_USER_DMA_READ", "4 bytes at 0x1ffe are not in windows that are readable") {
      $0.map(0, 0x2000)
      return $0.say(.toClient, dma(.dmaRead, 0x1FFE, 4))
    },
    .init("VFIO_USER_DMA_WRITE", "not in windows that are writable") {
      $0.map(0, 0x2000, .readable)
      return $0.say(.toClient, dma(.dmaWrite, 0, 4))
    },
    .init("VFIO_USER_DMA_READ", "are not in windows") {
      $0.map(0, 0x2000)
      _ = $0.command(.dmaUnmap, id: 2, bytes(of: DMAUnmap(address: 0, size: 0x2000)))
      _ = $0.reply(.dmaUnmap, id: 2, bytes(of: DMAUnmap(address: 0, size: 0x2000)))
      return $0.say(.toClient, dma(.dmaRead, 0, 4))
    },
    .init("Read and Write Operations", "count is 4097, max_data_xfer_size of the client is 4096") {
      $0.map(0, 0x2000)
      return $0.say(.toClient, dma(.dmaRead, 0, 4097))
    },
    .init("Read and Write Operations", "count is 8193, max_data_xfer_size of the server is 8192") {
      $0.command(.regionRead, bytes(of: RegionAccess(offset: 0, region: .bar0, count: 8193)))
    },
    .init("VFIO_USER_DMA_UNMAP", "at offset 16, the command has 0x2000") {
      $0.map(0, 0x2000)
      _ = $0.command(.dmaUnmap, id: 2, bytes(of: DMAUnmap(address: 0, size: 0x2000)))
      return $0.reply(.dmaUnmap, id: 2, bytes(of: DMAUnmap(address: 0, size: 0x1000)))
    },
  ]

  static func answered(
    _ command: Command, _ request: [UInt8], _ reply: [UInt8], _ talk: inout Conversation,
    descriptors: Int = 0
  ) -> CheckedMessage {
    _ = talk.command(command, request)
    return talk.reply(command, reply, descriptors: descriptors)
  }

  static let replies: [WrongDoing] = [
    .init("VFIO_USER_DEVICE_RESET", "1 descriptor with a message that has none") {
      $0.command(.deviceReset, descriptors: 1)
    },
    .init("VFIO_USER_DEVICE_RESET", "too long: 0 bytes expected, has 1") {
      answered(.deviceReset, [], [0], &$0)
    },
    .init("VFIO_USER_REGION_READ", "1 descriptor with") {
      answered(.regionRead, readInfo, readInfo + [0, 0, 0, 0], &$0, descriptors: 1)
    },
    .init("VFIO_USER_REGION_READ", "region or offset are not") {
      let other = bytes(of: RegionAccess(offset: 4, region: .bar0, count: 4))
      return answered(.regionRead, readInfo, other + [0, 0, 0, 0], &$0)
    },
    .init("VFIO_USER_REGION_READ", "count is 5, the command has 4") {
      let more = bytes(of: RegionAccess(offset: 0, region: .bar0, count: 5))
      return answered(.regionRead, readInfo, more + [0, 0, 0, 0, 0], &$0)
    },
    .init("VFIO_USER_REGION_READ", "truncated") {
      answered(.regionRead, readInfo, readInfo + [0, 0, 0], &$0)
    },
    .init("Message sizes", "17 bytes of payload, argsz of the command is 16") {
      answered(
        .deviceGetInfo, bytes(of: DeviceInfo.request()),
        bytes(of: DeviceInfo(argumentSize: 17, flags: .pci, regionCount: 9, interruptTypeCount: 5))
          + [0], &$0)
    },
    .init("VFIO_USER_DEVICE_GET_INFO", "num_regions must be zero") {
      $0.command(
        .deviceGetInfo, bytes(of: DeviceInfo(flags: [], regionCount: 1, interruptTypeCount: 0)))
    },
    .init("VFIO_USER_DEVICE_GET_REGION_INFO", "VFIO_REGION_INFO_FLAG_MMAP without a descriptor") {
      answered(
        .deviceGetRegionInfo, bytes(of: RegionInfo.request(.bar0)),
        bytes(of: RegionInfo(flags: [.mappable], index: .bar0, size: 4096)), &$0)
    },
    .init("VFIO_USER_DEVICE_GET_REGION_INFO", "a descriptor without VFIO_REGION_INFO_FLAG_MMAP") {
      answered(
        .deviceGetRegionInfo, bytes(of: RegionInfo.request(.bar0)),
        bytes(of: RegionInfo(flags: [], index: .bar0, size: 4096)), &$0, descriptors: 1)
    },
    .init("VFIO_USER_DEVICE_GET_REGION_INFO", "0x1 at offset 8, the command has 0x0") {
      answered(
        .deviceGetRegionInfo, bytes(of: RegionInfo.request(.bar0)),
        bytes(of: RegionInfo(flags: [], index: .bar1, size: 4096)), &$0)
    },
    .init("VFIO_USER_DEVICE_SET_IRQS", "1 descriptors for 2 interrupts") {
      $0.command(
        .deviceSetIRQs,
        bytes(
          of: SetInterrupts(
            data: .eventDescriptors, action: .trigger, index: .msix, start: 0, count: 2)),
        descriptors: 1)
    },
    .init("VFIO_USER_DEVICE_SET_IRQS", "1 descriptors without VFIO_IRQ_SET_DATA_EVENTFD") {
      $0.command(
        .deviceSetIRQs,
        bytes(of: SetInterrupts(data: .none, action: .trigger, index: .msix, start: 0, count: 1)),
        descriptors: 1)
    },
    .init("VFIO_USER_DEVICE_SET_IRQS", "exactly one of ACTION_MASK") {
      $0.command(.deviceSetIRQs, hex("14000000 19000000 00000000 00000000 01000000"))
    },
    .init("VFIO_USER_DEVICE_FEATURE", "MIG_DEVICE_STATE, the command has MIGRATION") {
      answered(
        .deviceFeature, hex("10000000 01000100"), hex("10000000 02000100 0100000000000000"), &$0)
    },
    .init("VFIO_USER_MIG_DATA_READ", "size is 3, the command has 2") {
      answered(
        .migrationDataRead, bytes(of: MigrationData(size: 2)),
        bytes(of: MigrationData(size: 3)) + [1, 2, 3], &$0)
    },
    .init("VFIO_USER_REGION_WRITE_MULTI", "2 writes completed, the command has 1") {
      answered(
        .regionWriteMulti,
        bytes(
          of: RegionWriteMulti(writes: [
            RegionWrite(offset: 0, region: .bar0, count: 4, value: 0)
          ])), bytes(of: RegionWriteMultiReply(writeCount: 2)), &$0)
    },
    .init("VFIO_USER_DMA_READ", "address or count are not those") {
      $0.map(0, 0x1000)
      _ = $0.say(.toClient, dma(.dmaRead, 0, 4))
      let reply = bytes(of: DMAAccess(address: 4, count: 4)) + [0, 0, 0, 0]
      return $0.say(.toServer, message(.dmaRead, flags: .reply, reply))
    },
    .init("VFIO_USER_DMA_WRITE", "address or count are not those") {
      $0.map(0, 0x1000)
      _ = $0.say(.toClient, dma(.dmaWrite, 0, 4))
      return $0.say(
        .toServer,
        message(.dmaWrite, flags: .reply, bytes(of: DMAAccess(address: 0, count: 3))))
    },
  ]
}

@Suite struct `Violations of the specification` {
  @Test(
    arguments: WrongDoing.headers + WrongDoing.negotiation + WrongDoing.memory + WrongDoing.replies)
  func `What a peer does wrong is said with the section`(wrong: WrongDoing) {
    var talk = Conversation()
    let found = wrong.act(&talk).violations
    #expect(
      found.contains { $0.clause == wrong.clause && $0.text.contains(wrong.says) }, "\(found)")
    #expect(found.count == 1 || wrong.says.hasPrefix("not a command"), "\(found)")
  }
}
