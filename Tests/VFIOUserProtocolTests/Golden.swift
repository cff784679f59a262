import Testing
import VFIOUserProtocol

/// A message beside its bytes, written by hand from the tables of the specification.
struct Golden: Sendable, CustomTestStringConvertible {
  let name: String
  let bytes: [UInt8]
  /// Lengths below the whole at which the payload is another valid message.
  let validPrefixes: Range<Int>
  /// Whether more bytes may follow: bulk data, or what a later version adds.
  let takesMore: Bool
  let encode: @Sendable () -> [UInt8]
  let isDecoded: @Sendable ([UInt8]) throws(WireError) -> Bool

  init<Message: WireMessage>(
    _ name: String, _ message: Message, _ text: String, validPrefixes: Range<Int> = 0..<0,
    takesMore: Bool = false
  ) {
    self.init(
      name, message, bytes: hex(text), validPrefixes: validPrefixes, takesMore: takesMore)
  }

  init<Message: WireMessage>(
    _ name: String, _ message: Message, bytes: [UInt8], validPrefixes: Range<Int> = 0..<0,
    takesMore: Bool = false
  ) {
    self.name = name
    self.bytes = bytes
    self.validPrefixes = validPrefixes
    self.takesMore = takesMore
    encode = { encoded(message) }
    isDecoded = { bytes throws(WireError) in try decoded(bytes, as: Message.self) == message }
  }

  var testDescription: String { name }

  static let all = memory + device + regions + interrupts + features + versions
}

extension Golden {
  static let memory = [
    Golden(
      "DMA_MAP request",
      DMAMap(
        flags: [.readable, .writable], offset: 0x1122_3344_5566_7788,
        address: 0x0102_0304_0506_0708, size: 0x20_0000),
      "20000000 03000000 8877665544332211 0807060504030201 0000200000000000"),
    Golden(
      "DMA_UNMAP request and reply",
      DMAUnmap(address: 0x0102_0304_0506_0708, size: 0x20_0000),
      "18000000 00000000 0807060504030201 0000200000000000"),
    Golden(
      "DMA_UNMAP of everything", DMAUnmap.everything,
      "18000000 02000000 0000000000000000 0000000000000000"),
    Golden(
      "DMA_UNMAP with a bitmap",
      DMAUnmap(address: 0x1000, size: 0x2000, flags: .getDirtyBitmap),
      "18000000 01000000 0010000000000000 0020000000000000", takesMore: true),
    Golden(
      "DMA_READ, DMA_WRITE",
      DMAAccess(address: 0x0102_0304_0506_0708, count: 0x1000),
      "0807060504030201 0010000000000000", takesMore: true),
    Golden("DMA_WRITE reply without payload", DMAWriteReply.bare, ""),
    Golden(
      "DMA_WRITE reply of the specification",
      DMAWriteReply.narrow(address: 0x0102_0304_0506_0708, count: 0x1000),
      "0807060504030201 00100000", validPrefixes: 0..<1),
    Golden(
      "DMA_WRITE reply of libvfio-user",
      DMAWriteReply(confirming: DMAAccess(address: 0x0102_0304_0506_0708, count: 0x1000)),
      "0807060504030201 0010000000000000", validPrefixes: 0..<1),
  ]

  static let device = [
    Golden(
      "DEVICE_GET_INFO request", DeviceInfo.request(),
      "10000000 00000000 00000000 00000000", takesMore: true),
    Golden(
      "DEVICE_GET_INFO reply",
      DeviceInfo(flags: [.reset, .pci], regionCount: 9, interruptTypeCount: 5),
      "10000000 03000000 09000000 05000000", takesMore: true),
  ]

  static let regions = [
    Golden(
      "DEVICE_GET_REGION_INFO request",
      RegionInfo.request(.configuration, argumentSize: 0x60),
      "60000000 00000000 07000000 00000000 0000000000000000 0000000000000000", takesMore: true),
    Golden(
      "DEVICE_GET_REGION_INFO reply without capabilities",
      RegionInfoReply(
        RegionInfo(flags: [.readable, .writable], index: .bar2, size: 0x4000, offset: 0x10_0000)),
      "20000000 03000000 02000000 00000000 0040000000000000 0000100000000000"),
    Golden(
      "DEVICE_GET_REGION_INFO reply with capabilities",
      RegionInfoReply(
        RegionInfo(flags: [.readable, .writable, .mappable], index: .bar0, size: 0x8000),
        capabilities: RegionCapabilities(
          sparseAreas: [
            SparseMapArea(offset: 0x1000, size: 0x2000),
            SparseMapArea(offset: 0x4000, size: 0x1000),
          ],
          type: RegionType(type: 0x8000_1234, subtype: 5), msixMappable: true)),
      """
      68000000 0f000000 00000000 20000000 0080000000000000 0000000000000000
      0100 0100 50000000 02000000 00000000
        0010000000000000 0020000000000000 0040000000000000 0010000000000000
      0200 0100 60000000 34120080 05000000
      0300 0100 00000000
      """, validPrefixes: 32..<104),
    Golden(
      "DEVICE_GET_REGION_IO_FDS request",
      RegionIOFDsRequest(index: .bar0, argumentSize: 0x38),
      "38000000 00000000 00000000 00000000"),
    Golden(
      "DEVICE_GET_REGION_IO_FDS reply",
      RegionIOFDsReply(
        index: .bar0,
        subRegions: [
          SubRegion(
            kind: .event, offset: 0x1000, size: 4, descriptorIndex: 0, flags: .dataMatch,
            value: 0x0102_0304_0506_0708),
          SubRegion(
            kind: .region, offset: 0x2000, size: 0, descriptorIndex: 1, flags: .postedWrites,
            value: 0x1112_1314_1516_1718),
        ]),
      """
      60000000 00000000 00000000 02000000
      0010000000000000 0400000000000000 00000000 00000000 01000000 00000000 0807060504030201
      0020000000000000 0000000000000000 01000000 01000000 02000000 00000000 1817161514131211
      """, validPrefixes: 16..<17),
    Golden(
      "REGION_READ, REGION_WRITE",
      RegionAccess(offset: 0x0102_0304_0506_0708, region: .bar4, count: 8),
      "0807060504030201 04000000 08000000", takesMore: true),
    Golden(
      "REGION_WRITE_MULTI request",
      RegionWriteMulti(writes: [
        RegionWrite(offset: 0x1008, region: .bar0, count: 4, value: 0xAABB_CCDD),
        RegionWrite(offset: 0x10, region: .bar5, count: 8, value: 0x0102_0304_0506_0708),
      ]),
      """
      0200000000000000
      0810000000000000 00000000 04000000 ddccbbaa00000000
      1000000000000000 05000000 08000000 0807060504030201
      """),
    Golden(
      "REGION_WRITE_MULTI reply", RegionWriteMultiReply(writeCount: 2), "0200000000000000"),
  ]

  static let interrupts = [
    Golden(
      "DEVICE_GET_IRQ_INFO request", InterruptInfo.request(.msix),
      "10000000 00000000 02000000 00000000", takesMore: true),
    Golden(
      "DEVICE_GET_IRQ_INFO reply",
      InterruptInfo(flags: [.eventDescriptors, .noResize], index: .msix, count: 2048),
      "10000000 09000000 02000000 00080000", takesMore: true),
    Golden(
      "DEVICE_SET_IRQS with descriptors",
      SetInterrupts(data: .eventDescriptors, action: .trigger, index: .msix, start: 3, count: 16),
      "14000000 24000000 02000000 03000000 10000000"),
    Golden(
      "DEVICE_SET_IRQS without data",
      SetInterrupts(data: .none, action: .unmask, index: .intx, start: 0, count: 1),
      "14000000 11000000 00000000 00000000 01000000"),
  ]

  static let features = [
    Golden(
      "DEVICE_FEATURE request", DeviceFeature(.get, .dmaLoggingReport, dataSize: 0x20),
      "28000000 08000100", takesMore: true),
    Golden(
      "DEVICE_FEATURE probe", DeviceFeature([.probe, .get, .set], .migrationDeviceState),
      "08000000 02000700", takesMore: true),
    Golden(
      "MIGRATION", MigrationFlags([.stopCopy, .preCopy]), "0500000000000000", takesMore: true),
    Golden(
      "MIG_DEVICE_STATE", MigrationState(.stopCopy, dataDescriptor: 0xFFFF_FFFF),
      "03000000 ffffffff", takesMore: true),
    Golden(
      "DMA_LOGGING_START",
      DMALoggingControl(
        pageSize: 4096,
        ranges: [
          DMALoggingRange(address: 0x1_0000_0000, length: 0x2000),
          DMALoggingRange(address: 0, length: 0xA0000),
        ]),
      """
      0010000000000000 02000000 00000000
      0000000001000000 0020000000000000 0000000000000000 00000a0000000000
      """, takesMore: true),
    Golden(
      "DMA_LOGGING_REPORT",
      DMALoggingReport(address: 0x1_0000_0000, length: 0x2000, pageSize: 4096),
      "0000000001000000 0020000000000000 0010000000000000", takesMore: true),
    Golden(
      "MIG_DATA_READ, MIG_DATA_WRITE", MigrationData(size: 0x1_0000), "08000100 00000100",
      takesMore: true),
  ]

  static let versions = [
    Golden(
      "VERSION with everything",
      VersionMessage(
        major: 0, minor: 1,
        capabilities: Capabilities(
          maxMessageDescriptors: 16, maxDataTransfer: 1 << 20, maxDMAWindows: 65535,
          pageSizes: 0x20_1000, twinSocket: TwinSocket(supported: true, descriptorIndex: 0),
          writeMultiple: true,
          migration: MigrationCapability(pageSize: 4096, maxBitmapSize: 1 << 28))),
      bytes: version(
        #"{"capabilities":{"max_data_xfer_size":1048576,"max_dma_maps":65535,"max_msg_fds":16,"#
          + #""migration":{"max_bitmap_size":268435456,"pgsize":4096},"pgsizes":2101248,"#
          + #""twin_socket":{"fd_index":0,"supported":true},"write_multiple":true}}"#),
      validPrefixes: 4..<5),
    Golden(
      "VERSION with nothing", VersionMessage(major: 0, minor: 1),
      bytes: hex("0000 0100"), takesMore: true),
  ]
}
