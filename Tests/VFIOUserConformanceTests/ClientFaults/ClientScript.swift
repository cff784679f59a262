import LinuxPrimitives
import SystemPackage
import VFIOUserProtocol
import VFIOUserTransport

@testable import VFIOUserConformance

/// What a client does that is right but for its fault.
final class ClientScript {
  private let fault: ClientFault
  private let linger: Duration
  private var wire: Wire?
  private var memory = [UInt8](repeating: 0, count: ClientScript.size)
  private var lastID: UInt16 = 0
  private var descriptorLimit = 1
  private var transferLimit: UInt64 = 1 << 20
  private var counters: [EventFD] = []

  static let address: UInt64 = 0x10_0000
  static let size = 0x4000

  struct Failure: Error {}

  init(_ fault: ClientFault, linger: Duration) {
    self.fault = fault
    self.linger = linger
  }

  /// - Returns: an exit code.
  func run(_ path: FilePath) -> Int32 {
    do {
      wire = Wire(try MessageSocket(connectingTo: path))
      defer { wire?.close() }
      try work()
      try idle()
      if fault.has(.leavesGarbage) { _ = wire?.push([1, 2, 3], from: 0) }
      let isInterrupted = counters.contains { $0.take() > 0 }
      return isInterrupted && fault.has(.afraidOfInterrupts) ? -5 : 0
    } catch {
      if fault.has(.hangs) { _ = EventFD.wait(forAnyOf: [], for: .milliseconds(600)) }
      return fault.has(.crashes) ? -6 : 1
    }
  }

  private func work() throws {
    if !fault.has(.skipsVersion) { try negotiate() }
    if fault.has(.sendsVersionTwice) { try negotiate() }
    if fault.has(.answersUnasked) { send(Request(.deviceReset).with { $0.flags = .reply }) }
    if fault.has(.asksRegionFirst) { try region(0) }
    let info = try ask(.deviceInfo())
    guard info.payload.count >= 16, info.word(8) <= 100 else { throw Failure() }
    for index in 0..<min(9, info.word(8)) { try region(index) }
    var interrupts: [UInt32] = []
    for index: UInt32 in 0..<5 { interrupts.append(try ask(.irqInfo(index)).word(12)) }
    try lend()
    for index in [0, 2] { try setInterrupts(UInt32(index), count: interrupts[index]) }
    try access()
    if info.word(4) & 1 != 0 || fault.has(.ignoresResetFlag) { _ = try ask(.reset) }
    _ = try ask(.feature(Feature.probe | Feature.migration, argsz: 8), mayFail: true)
  }

  private func negotiate() throws {
    let json =
      #"{"capabilities":{"max_msg_fds":8,"max_data_xfer_size":1048576,"twin_socket":{"supported":true}}}"#
    let facts = try VersionFacts(ask(.version(json)))
    guard facts.major == 0 || fault.has(.ignoresMajor) else { throw Failure() }
    let capabilities = try facts.capabilities()
    if capabilities["twin_socket"]?["supported"] == .boolean(true), !fault.has(.ignoresTwin),
      facts.message.descriptors.isEmpty
    {
      throw Failure()
    }
    descriptorLimit = Int(capabilities["max_msg_fds"]?.whole ?? 1)
    transferLimit = capabilities["max_data_xfer_size"]?.whole ?? 1 << 20
    if fault.has(.ignoresDescriptorLimit) { descriptorLimit = 8 }
    if fault.has(.ignoresTransferLimit) { transferLimit = 1 << 20 }
  }

  private func region(_ index: UInt32) throws {
    var reply = try ask(.regionInfo(index, argsz: 32), mayFail: index == RegionFacts.vga)
    if reply.errno != nil { return }
    guard reply.payload.count >= 32, reply.word(0) <= 4096 else { throw Failure() }
    if reply.word(0) > 32 { reply = try ask(.regionInfo(index, argsz: reply.word(0))) }
    let facts = RegionFacts(reply)
    guard facts.size < 1 << 62 else { throw Failure() }
    _ = try facts.capabilities()
  }

  /// A window in a file, and one without.
  private func lend() throws {
    let file = try HeldDescriptor.memory(0x2000)
    let size = UInt64(Self.size)
    _ = try ask(Request.map(1 << 30, 0x2000).carrying([file]))
    _ = try ask(.map(Self.address, size))
    _ = try ask(.unmap(1 << 30, 0x2000))
  }

  private func setInterrupts(_ index: UInt32, count: UInt32) throws {
    var start: UInt32 = 0
    while start < count {
      let batch = min(count - start, UInt32(descriptorLimit))
      var descriptors: [HeldDescriptor] = []
      for _ in 0..<batch {
        let counter = try EventFD()
        counters.append(counter)
        descriptors.append(try HeldDescriptor(counter))
      }
      let request = Request.setIRQs(
        IRQSet.eventfd | IRQSet.trigger, index, start: start, count: batch)
      _ = try ask(request.carrying(descriptors))
      start += batch
    }
  }

  private func access() throws {
    let step = min(transferLimit, 256)
    for offset in stride(from: UInt64(0), to: 256, by: Int(step)) {
      let reply = try ask(.read(7, offset, UInt32(step)))
      guard reply.payload.count == 16 + Int(step) else { throw Failure() }
    }
    _ = try ask(.write(7, 4, .u16(6)))
  }

  // MARK: Messages

  private func send(_ request: Request) {
    lastID &+= 1
    _ = wire?.send(request.bytes(id: lastID), request.descriptors, before: .after(.seconds(1)))
  }

  private func ask(_ request: Request, mayFail: Bool = false) throws -> Message {
    var request = request
    fault.request(&request)
    send(request)
    while let message = try next(before: .after(.seconds(1))) {
      guard message.header.flags.isReply else {
        try answer(message)
        continue
      }
      guard message.header.id == lastID || request.id != nil else {
        if fault.has(.startled) { throw Failure() }
        continue
      }
      guard message.errno == nil || mayFail, !fault.dislikes(request, message) else {
        throw Failure()
      }
      return message
    }
    throw Failure()
  }

  /// The next message; nil when none comes.
  private func next(before deadline: Deadline) throws -> Message? {
    guard let wire else { throw Failure() }
    var due = fault.has(.hasty) ? min(deadline, .after(.milliseconds(5))) : deadline
    if fault.has(.impatient) {
      while !wire.isReadable, !deadline.hasPassed { EventFD.pauseShortly() }
      due = .after(.zero)
    }
    switch wire.next(before: due) {
    case .message(let message): return message
    case .silence(let unfinished):
      guard unfinished == 0 else { throw Failure() }
      return nil
    case .ended, .malformed: throw Failure()
    }
  }

  /// Waits for questions.
  private func idle() throws {
    guard linger > .zero else { return }
    while true {
      switch wire?.next(before: .after(linger)) {
      case .message(let message): try answer(message)
      case .malformed, .ended(unfinished: 1...): throw Failure()
      default: return
      }
    }
  }

  private func answer(_ question: Message) throws {
    guard !fault.has(.mute), !question.header.flags.isReply else { return }
    let (payload, errno) = result(of: question)
    var reply = question.header.reply(payload: payload.count).bytes + payload
    if errno != 0 { reply = question.header.errorReply(errno: errno).bytes }
    guard fault.answer(question, &reply) else {
      if fault.has(.crashes) { throw Failure() }
      return
    }
    _ = wire?.send(reply, before: .after(.seconds(1)))
  }

  /// What a question is answered with: a payload, or an error.
  private func result(of question: Message) -> ([UInt8], UInt32) {
    let (address, count) = (question.long(0), question.long(8))
    guard question.header.command == .dmaRead || question.header.command == .dmaWrite else {
      return ([], 38)
    }
    let (end, wraps) = address.addingReportingOverflow(count)
    guard address >= Self.address, !wraps, end <= Self.address + UInt64(Self.size) else {
      return ([], 14)
    }
    let place = Int(address - Self.address)
    if question.header.command == .dmaRead {
      return (.u64(address, count) + memory[place..<place + Int(count)], 0)
    }
    let data = Array(question.payload.dropFirst(16))
    guard data.count == Int(count) else { return ([], 22) }
    memory.put(data, at: place)
    return (.u64(address) + .u32(UInt32(count)), 0)
  }
}

extension EventFD {
  /// Waits a quarter of a millisecond.
  static func pauseShortly() { _ = wait(forAnyOf: [], for: .microseconds(250)) }
}
