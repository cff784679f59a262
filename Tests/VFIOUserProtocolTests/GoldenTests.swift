import Testing
import VFIOUserProtocol

@Suite struct `Every message` {
  @Test(arguments: Golden.all)
  func `Every message is encoded to the bytes of the specification`(golden: Golden) {
    #expect(golden.encode() == golden.bytes)
  }

  @Test(arguments: Golden.all)
  func `Every message is decoded from the bytes of the specification`(golden: Golden) throws {
    #expect(try golden.isDecoded(golden.bytes))
  }

  @Test(arguments: Golden.all)
  func `Every message is refused if bytes are missing at its end`(golden: Golden) {
    for length in golden.bytes.indices {
      let prefix = Array(golden.bytes[..<length])
      if golden.validPrefixes.contains(length) || (length == 12 && golden.isWriteReply) {
        #expect(throws: Never.self) { _ = try golden.isDecoded(prefix) }
      } else {
        #expect(throws: WireError.self, "\(length) of \(golden.bytes.count)") {
          _ = try golden.isDecoded(prefix)
        }
      }
    }
  }

  @Test(arguments: Golden.all.filter { !$0.isVersion })
  func `The error for a truncated message names the needed and the actual size`(golden: Golden) {
    for length in golden.bytes.indices {
      do throws(WireError) {
        _ = try golden.isDecoded(Array(golden.bytes[..<length]))
      } catch {
        guard case .truncated(let needed, let had) = error else {
          Issue.record("\(error) at \(length)")
          return
        }
        #expect(had == length && needed > had)
        #expect(golden.isWriteReply || needed <= golden.bytes.count)
      }
    }
  }

  @Test(arguments: Golden.all)
  func `Every message accepts or refuses surplus bytes as specified`(golden: Golden) throws {
    let longer = golden.bytes + [0]
    if golden.takesMore {
      #expect(try golden.isDecoded(longer))
    } else {
      #expect(throws: WireError.self) { _ = try golden.isDecoded(longer) }
    }
  }
}

extension Golden {
  var isVersion: Bool { name.hasPrefix("VERSION") }
  /// The three forms of this reply are told apart by length, so the shorter are valid prefixes.
  var isWriteReply: Bool { name.hasPrefix("DMA_WRITE reply") }
}
