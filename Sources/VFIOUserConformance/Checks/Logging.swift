internal import VFIOUserProtocol

/// Requests for the log of written pages.
enum Logging {
  static let page: UInt64 = 4096

  static func start(_ page: UInt64 = page, ranges: [Range<UInt64>]? = nil) -> Request {
    let ranges = ranges ?? [Window.address..<Window.address + Window.size]
    let list = ranges.flatMap { [UInt8].u64($0.lowerBound, $0.upperBound - $0.lowerBound) }
    return .feature(
      Feature.set | Feature.loggingStart, .u64(page) + .u32(UInt32(ranges.count), 0) + list)
  }

  static func report(_ page: UInt64 = page, size: UInt64 = Window.size) -> Request {
    .feature(Feature.get | Feature.loggingReport, .u64(Window.address, size, page))
  }

  static let stop = Request.feature(Feature.set | Feature.loggingStop)
}

extension Probe {
  /// A client of a device that logs what it writes; skips when it does not.
  func openLogging() throws(Verdict) -> Peer {
    let peer = try open()
    for feature in [Feature.set | Feature.loggingStart, Feature.get | Feature.loggingReport] {
      guard try peer.ask(.feature(Feature.probe | feature)).errno == nil else {
        throw .skipped("the device does not log what it writes")
      }
    }
    return peer
  }
}

extension Check {
  static let logging: [Check] = [
    logging(932, "The log can be started and stopped", Clause.logging) { peer throws(Verdict) in
      try peer.succeed(Logging.start())
      try peer.succeed(Logging.stop)
    },
    logging(933, "The reply to the start repeats the ranges", Clause.logging) {
      peer throws(Verdict) in
      let request = Logging.start()
      let reply = try peer.succeed(request, atLeast: request.payload.count)
      // The page size may be another.
      try require(
        "the ranges", shown(Array(reply.payload.dropFirst(16))),
        is: shown(Array(request.payload.dropFirst(16))))
      let page = reply.long(8)
      try require(page.nonzeroBitCount == 1, "a page size that is a power of two", saw: "\(page)")
    },
    logging(934, "A report has a bit for each page", Clause.report) { peer throws(Verdict) in
      try peer.succeed(Logging.start())
      let reply = try peer.succeed(Logging.report(), atLeast: 8 + 24)
      try require("the bytes of the bitmap", reply.payload.count - 32, is: 8)
    },
    logging(935, "A report repeats its range and page size", Clause.report) {
      peer throws(Verdict) in
      try peer.succeed(Logging.start())
      let reply = try peer.succeed(Logging.report(), atLeast: 32)
      try require("the address", hex(reply.long(8)), is: hex(Window.address))
      try require("the length", hex(reply.long(16)), is: hex(Window.size))
      try require("the page size", reply.long(24), is: Logging.page)
    },
    logging(936, "The bits of pages behind the range are zero", Clause.report) {
      peer throws(Verdict) in
      try peer.succeed(Logging.start())
      let reply = try peer.succeed(Logging.report(), atLeast: 40)
      // Four pages.
      try require("the bits from 4 on", hex(reply.long(32) & ~0xF), is: "0x0")
    },
    logging(937, "A device at rest has written nothing", Clause.report) { peer throws(Verdict) in
      try peer.succeed(Logging.start())
      let reply = try peer.succeed(Logging.report(), atLeast: 40)
      try require("the bitmap", hex(reply.long(32)), is: "0x0")
    },
    logging(938, "A report may have larger pages than the log", Clause.report) {
      peer throws(Verdict) in
      try peer.succeed(Logging.start())
      try peer.succeed(Logging.report(2 * Logging.page), "a page size of 8192", atLeast: 40)
    },
    logging(939, "A page size that is no power of two is refused", Clause.report) {
      peer throws(Verdict) in
      try peer.succeed(Logging.start())
      for page: UInt64 in [0, 4097, 12288] {
        try peer.refuse(Logging.report(page), "a page size of \(page)")
      }
    },
    logging(940, "A stopped log cannot be read", Clause.report) { peer throws(Verdict) in
      try peer.succeed(Logging.start())
      try peer.succeed(Logging.stop)
      try peer.refuse(Logging.report(), "DMA_LOGGING_REPORT after DMA_LOGGING_STOP")
    },
    logging(941, "Fewer ranges than the start says are refused", Clause.logging) {
      peer throws(Verdict) in
      for count: UInt32 in [2, .max] {
        let request = Logging.start().with { $0.payload.put(.u32(count), at: 16) }
        try peer.refuse(request, "num_ranges \(count) with one range")
      }
    },
    logging(942, "A report of 2^63 bytes takes no memory", Clause.security) {
      peer throws(Verdict) in
      try peer.succeed(Logging.start())
      let reply = try peer.ask(Logging.report(size: 1 << 63))
      try require(reply.errno != nil, "a refusal: it has 2^51 pages", saw: "success")
    },
  ]

  private static func logging(
    _ number: Int, _ title: String, _ clause: String,
    _ body: @escaping @Sendable (Peer) throws(Verdict) -> Void
  ) -> Check {
    Check(number, .migration, title, clause, isDestructive: true) { probe throws(Verdict) in
      let peer = try probe.openLogging()
      // Some servers report only about windows, and only about those with a descriptor.
      let file = try memory(Window.size)
      try peer.succeed(.map(Window.address, Window.size).carrying([file]))
      try body(peer)
    }
  }
}
