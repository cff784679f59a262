internal import VFIOUserProtocol

extension ClientCheck {
  static let requests: [ClientCheck] = [
    ClientCheck(2101, "requests", "All bytes belong to messages", Clause.header) {
      transcript, _ throws(Verdict) in
      try requireWhole(transcript)
    },
    ClientCheck(2102, "requests", "Only commands of clients are sent", Clause.commands) {
      transcript, _ throws(Verdict) in
      for message in transcript.messages where message.header.flags.type == 0 {
        try require(
          message.header.command.sender == .client, "a command of clients",
          saw: "\(message.header.command)")
      }
    },
    ClientCheck(
      2103, "requests", "Commands have no flags but No_reply, and no error number",
      Clause.header
    ) { transcript, _ throws(Verdict) in
      for message in transcript.messages where message.header.flags.type != 1 {
        let flags = message.header.flags.rawValue
        try require(
          flags & ~0x10 == 0 && message.header.error == 0, "flags 0x0 or 0x10, error 0",
          saw: "flags \(hex(flags)), error \(message.header.error)")
      }
    },
    ClientCheck(2104, "requests", "Nothing is answered that was not asked", Clause.header) {
      transcript, _ throws(Verdict) in
      let replies = transcript.messages.count { $0.header.flags.isReply }
      try require("the number of replies to a server that asks nothing", replies, is: 0)
    },
    ClientCheck(2105, "requests", "DEVICE_GET_INFO has room for the reply and zeros", Clause.info) {
      transcript, _ throws(Verdict) in
      try each(.deviceGetInfo, transcript) { message throws(Verdict) in
        try requireInfo(message, size: 16, zeros: [4, 8, 12])
      }
    },
    ClientCheck(
      2106, "requests", "DEVICE_GET_REGION_INFO has room for the reply and zeros",
      Clause.region
    ) { transcript, _ throws(Verdict) in
      try each(.deviceGetRegionInfo, transcript) { message throws(Verdict) in
        try requireInfo(message, size: 32, zeros: [4, 12, 16, 20, 24, 28])
      }
    },
    ClientCheck(2107, "requests", "Only regions that are there are asked for", Clause.region) {
      transcript, _ throws(Verdict) in
      try each(.deviceGetRegionInfo, transcript) { message throws(Verdict) in
        let index = message.word(8)
        try require(index < PlayedDevice.regionCount, "an index below 9", saw: "\(index)")
      }
    },
    ClientCheck(
      2108, "requests", "DEVICE_GET_IRQ_INFO has room for the reply and zeros",
      Clause.irqInfo
    ) { transcript, _ throws(Verdict) in
      try each(.deviceGetIRQInfo, transcript) { message throws(Verdict) in
        try requireInfo(message, size: 16, zeros: [4, 12])
      }
    },
    ClientCheck(
      2109, "requests", "Only interrupt types that are there are asked for",
      Clause.irqInfo
    ) { transcript, _ throws(Verdict) in
      try each(.deviceGetIRQInfo, transcript) { message throws(Verdict) in
        let count = UInt32(PlayedDevice.irqCounts.count)
        try require(message.word(8) < count, "an index below \(count)", saw: "\(message.word(8))")
      }
    },
    ClientCheck(2110, "requests", "DEVICE_RESET has no payload", Clause.reset) {
      transcript, _ throws(Verdict) in
      try each(.deviceReset, transcript) { message throws(Verdict) in
        try require("the bytes of its payload", message.payload.count, is: 0)
      }
    },
    ClientCheck(2111, "requests", "DEVICE_FEATURE names one method, or PROBE", Clause.feature) {
      transcript, _ throws(Verdict) in
      try each(.deviceFeature, transcript) { message throws(Verdict) in
        try require(message.payload.count >= 8, "8 bytes or more", saw: "\(message.payload.count)")
        let methods = message.word(4) >> 16
        try require(
          methods == 1 || methods == 2 || 4...7 ~= methods, "GET, SET, or PROBE with either",
          saw: "flags \(hex(message.word(4)))")
      }
    },
    ClientCheck(
      2112, "requests", "DEVICE_GET_INFO is asked before anything of the device",
      "VFIO Device Model"
    ) { transcript, _ throws(Verdict) in
      let order = transcript.commands(.deviceGetInfo).isEmpty
      guard !order else { throw .skipped("the client sent no DEVICE_GET_INFO") }
      let first = transcript.messages.first { message in
        [.deviceGetInfo, .deviceGetRegionInfo, .deviceGetIRQInfo, .regionRead, .regionWrite]
          .contains(message.header.command)
      }
      try require(
        first?.header.command == .deviceGetInfo, "DEVICE_GET_INFO",
        saw: first.map { "\($0.header.command)" } ?? "nothing")
    },
  ]

  /// Fails unless a request is as large as its structure, has room for as much, and the other fields are zero.
  private static func requireInfo(
    _ message: Message, size: Int, zeros: [Int]
  ) throws(Verdict) {
    try require("the payload's size", message.payload.count, is: size)
    try require(message.word(0) >= size, "argsz \(size) or more", saw: "\(message.word(0))")
    for offset in zeros {
      try require("the field at \(offset)", message.word(offset), is: 0)
    }
  }
}
