import Testing
import VFIOUserProtocol

@Suite struct `VERSION` {
  private func capabilities(_ text: String) throws(WireError) -> Capabilities {
    try decoded(version(#"{"capabilities": \#(text)}"#), as: VersionMessage.self).capabilities
  }

  @Test(arguments: [
    hex("0000 0100"), hex("0000 0100 00"), version("{}"), version(#"{"capabilities":{}}"#),
    version(#" {"other": [1, {"a": null}]} "#),
  ])
  func `VERSION without capabilities means their default values`(bytes: [UInt8]) throws {
    let read = try decoded(bytes, as: VersionMessage.self)
    #expect(read == VersionMessage(major: 0, minor: 1))
    let capabilities = read.capabilities
    #expect(capabilities.effectiveMaxMessageDescriptors == 1)
    #expect(capabilities.effectiveMaxDataTransfer == 1_048_576)
    #expect(capabilities.effectiveMaxDMAWindows == 65535)
    #expect(capabilities.effectivePageSizes == 4096)
    #expect(!capabilities.effectiveWriteMultiple && !capabilities.effectiveTwinSocket.supported)
  }

  @Test func `VERSION capabilities replace the default values`() throws {
    let read = try capabilities(
      #"{"max_msg_fds":8,"max_data_xfer_size":4096,"max_dma_maps":7,"pgsizes":8192,"#
        + #""write_multiple":true,"twin_socket":{"supported":true}}"#)
    #expect(read.effectiveMaxMessageDescriptors == 8 && read.effectiveMaxDataTransfer == 4096)
    #expect(read.effectiveMaxDMAWindows == 7 && read.effectivePageSizes == 8192)
    #expect(read.effectiveWriteMultiple && read.effectiveTwinSocket.supported)
  }

  @Test func `VERSION of QEMU is decoded`() throws {
    let read = try capabilities(
      """
      {"migration": {"max_bitmap_size": 268435456, "pgsize": 4096}, "max_msg_fds": 16,
       "max_data_xfer_size": 1048576, "pgsizes": 4096, "max_dma_maps": 65535,
       "write_multiple": true}
      """)
    #expect(
      read
        == Capabilities(
          maxMessageDescriptors: 16, maxDataTransfer: 1 << 20, maxDMAWindows: 65535,
          pageSizes: 4096, writeMultiple: true,
          migration: MigrationCapability(pageSize: 4096, maxBitmapSize: 268_435_456)))
  }

  @Test func `VERSION of libvfio-user is decoded`() throws {
    let read = try capabilities(
      #"{ "max_msg_fds": 8, "max_data_xfer_size": 1048576, "migration": { "pgsize": 4096 },"#
        + #" "twin_socket": { "supported": true, "fd_index": 0 } }"#)
    #expect(read.twinSocket == TwinSocket(supported: true, descriptorIndex: 0))
    #expect(read.migration == MigrationCapability(pageSize: 4096))
  }

  @Test func `VERSION keeps the names of unknown capabilities`() throws {
    let read = try capabilities(#"{"zeta":1,"max_msg_fds":2,"alpha":{"b":[]},"max_DMA_maps":0}"#)
    #expect(read.unknownNames == ["alpha", "max_DMA_maps", "zeta"])
    #expect(read.maxMessageDescriptors == 2)
  }

  @Test(
    arguments: [
      (#"{"max_msg_fds":1}"#, Capabilities(maxMessageDescriptors: 1)),
      (#"{"max_msg_fds":4294967295}"#, Capabilities(maxMessageDescriptors: 4_294_967_295)),
      (#"{"max_data_xfer_size":1}"#, Capabilities(maxDataTransfer: 1)),
      (#"{"max_data_xfer_size":67108864}"#, Capabilities(maxDataTransfer: 64 << 20)),
      // Larger limits are never reached.
      (#"{"max_data_xfer_size":67108865}"#, Capabilities(maxDataTransfer: 64 << 20)),
      (#"{"max_data_xfer_size":18446744073709551615}"#, Capabilities(maxDataTransfer: 64 << 20)),
      (#"{"max_dma_maps":1}"#, Capabilities(maxDMAWindows: 1)),
      (#"{"max_dma_maps":65536}"#, Capabilities(maxDMAWindows: 65536)),
      (#"{"max_dma_maps":18446744073709551615}"#, Capabilities(maxDMAWindows: .max)),
      (#"{"pgsizes":4096}"#, Capabilities(pageSizes: 4096)),
      (#"{"pgsizes":18446744073709547520}"#, Capabilities(pageSizes: ~0xFFF)),
      (#"{"write_multiple":false}"#, Capabilities(writeMultiple: false)),
      (#"{"twin_socket":{}}"#, Capabilities(twinSocket: TwinSocket(supported: false))),
      (#"{"migration":{}}"#, Capabilities(migration: MigrationCapability())),
      (#"{"migration":{"pgsize":1}}"#, Capabilities(migration: MigrationCapability(pageSize: 1))),
    ] as [(String, Capabilities)])
  func `VERSION accepts capability values at their limits`(text: String, expected: Capabilities)
    throws
  {
    #expect(try capabilities(text) == expected)
  }

  @Test func `VERSION is encoded without unset capabilities and ends in a NUL byte`() {
    let message = VersionMessage(
      major: 0, minor: 1, capabilities: Capabilities(pageSizes: 4096, writeMultiple: false))
    #expect(
      encoded(message) == version(#"{"capabilities":{"pgsizes":4096,"write_multiple":false}}"#))
  }

  @Test func `VERSION is encoded without unknown capabilities`() {
    var message = VersionMessage(major: 1, minor: 2)
    message.capabilities.unknownNames = ["alpha"]
    #expect(encoded(message) == hex("0100 0200"))
  }

  @Test(arguments: 0..<4)
  func `VERSION without major and minor version is refused`(length: Int) {
    #expect(throws: WireError.truncated(needed: 4, had: length)) {
      try decoded([UInt8](repeating: 0, count: length), as: VersionMessage.self)
    }
  }
}
