import CLinux
import Glibc
import Synchronization
import SystemPackage
import TestSupport
import Testing
import VFIOUserProtocol
import VFIOUserServer
import VFIOUserTransport

// Descriptors that hold up whoever touches or closes them, and clients that use up what all share.

private let oneEventfd = message(.deviceSetIRQs, words([20, 0x24, 2, 0, 1]))

private func list(_ descriptor: consuming OwnedDescriptor) -> DescriptorList {
  var list = DescriptorList()
  list.append(descriptor)
  return list
}

/// Our own copies may be the last ones, so they too are closed where nobody waits.
private func strange(_ numbers: [Int32]) -> DescriptorList {
  DescriptorList(adopting: numbers, from: PeerDescriptors())
}

private func list(_ sockets: [LingeringSocket]) -> DescriptorList {
  strange(sockets.map { $0.take().release() })
}

private func lingering(_ count: Int) -> [LingeringSocket] {
  (0..<count).map { _ in LingeringSocket() }
}

private func map(_ address: UInt64, _ size: UInt64, flags: UInt32 = 3) -> [UInt8] {
  message(.dmaMap, words([32, flags]) + longs(0, address, size))
}

extension Hostility {
  static let descriptors = lingeringSockets + counters + shares

  static let lingeringSockets: [Hostility] = [
    .init("sends sockets that linger where eventfds belong, and nothing waits for them") { bench in
      let peer = try bench.connect()
      for _ in 0..<3 {
        let sockets = lingering(1)
        let answer = try peer.ask(oneEventfd, descriptors: list(sockets))
        #expect(answer.errno == UInt32(Errno.invalidArgument.rawValue))
        for socket in sockets { socket.end() }
      }
      try peer.checkStep()
    },
    .init("sends sockets that linger with its VERSION, with memory, and with what takes none") {
      bench in
      let peer = try bench.connect(negotiated: false)
      for bytes in [ScriptedPeer.versionOfQEMU, map(0, 4096), message(.deviceReset)] {
        let sockets = lingering(2)
        _ = try peer.ask(bytes, descriptors: list(sockets))
        for socket in sockets { socket.end() }
      }
      try peer.checkStep()
    },
    .init("sends a hundred sockets that linger, and goes") { bench in
      let peer = try bench.connect()
      let sockets = lingering(100)
      for start in stride(from: 0, to: 100, by: 10) {
        let numbers = sockets[start..<start + 10].map { $0.take().release() }
        // Our copies are closed while half of the message is there: so the last ones are the server's.
        let reset = message(.deviceReset)
        let header = Array(reset[..<8])
        guard peer.socket.sendsAtOnce(header, numbers, within: .seconds(10)) else { break }
        peer.send(Array(reset[8...]))
      }
      try peer.expectClosing()
      for socket in sockets { socket.end() }
    },
    .init("leaves a socket that lingers behind in the queue of its own") { bench in
      let peer = try bench.connect()
      let sockets = lingering(1)
      // Half a header: nobody will ever take it out.
      peer.send([1, 2, 3], descriptors: list(sockets))
      peer.socket.shutdown()
      for socket in sockets { socket.end() }
    },
  ]

  static let counters: [Hostility] = [
    .init("passes an epoll instance with a socket in it for an eventfd") { bench in
      let peer = try bench.connect()
      let epoll = OwnedDescriptor(adopting: clinux_epoll())
      let socket = LingeringSocket()
      let inside = socket.take().release()
      #expect(clinux_epoll_add(epoll.number, inside) == 0)
      let answer = try peer.ask(oneEventfd, descriptors: strange([epoll.release()]))
      #expect(answer.errno == UInt32(Errno.invalidArgument.rawValue))
      socket.end()
      _ = strange([inside])
      try peer.checkStep()
    },
    .init("passes a timer for an eventfd") { bench in
      let peer = try bench.connect()
      let timer = OwnedDescriptor(adopting: clinux_timer())
      let answer = try peer.ask(oneEventfd, descriptors: list(timer))
      #expect(answer.errno == UInt32(Errno.invalidArgument.rawValue))
      try peer.checkStep()
    },
    .init("fills its eventfd, which blocks, in the middle of signals") { bench in
      let peer = try bench.connect()
      let counter = try EventFD()
      let set = try peer.ask(oneEventfd, descriptors: list(counter.descriptor.duplicate()))
      #expect(set.errno == nil)
      let isOver = Atomic(false)
      _ = clinux_set_nonblocking(counter.descriptor.number, 0)
      try DetachedThread.start("filler") {
        while !isOver.load(ordering: .relaxed) {
          _ = counter.take()
          _ = clinux_eventfd_add(counter.descriptor.number, .max - 1)
        }
      }
      for _ in 0..<5000 { #expect(try peer.ask(HostileBench.order(.vector, 0)).errno == nil) }
      isOver.store(true, ordering: .relaxed)
      _ = counter.take()
    },
  ]

  static let shares: [Hostility] = [
    .init("sends a thousand descriptors while it does not read") { bench in
      let peer = try bench.connect()
      let before = openDescriptors()
      // Its own socket is full of answers, so that the server waits and receives ahead.
      let read = message(
        .regionRead, bytes(of: RegionAccess(offset: 0, region: .bar2, count: 65_536)))
      for _ in 0..<8 { peer.send(read) }
      let worst = Atomic(0)
      for _ in 0..<64 {
        let numbers = try (0..<16).map { _ in try EventFD().descriptor.duplicate().release() }
        guard peer.socket.sendsAtOnce(message(.deviceReset), numbers) else { break }
        worst.max(openDescriptors(), ordering: .relaxed)
      }
      #expect(worst.load(ordering: .relaxed) < before + 600)
      peer.socket.shutdown()
    },
    .init("maps more address space than a process has") { bench in
      let peer = try bench.connect()
      let size: UInt64 = 1 << 47
      let file = OwnedDescriptor(adopting: unsafe clinux_unsealed_memory_file("sparse", size))
      let answer = try peer.ask(map(0, size), descriptors: list(file))
      #expect(answer.errno == UInt32(Errno.noMemory.rawValue))
      try peer.checkStep()
    },
    .init("answers ten thousand times what was not asked, and the log stays short") { bench in
      let peer = try bench.connect()
      let before = bench.log.lines.withLock { $0.count }
      let burst = (0..<100).flatMap { _ in message(.dmaRead, flags: .reply) }
      for _ in 0..<100 { peer.send(burst) }
      try peer.checkStep()
      #expect(bench.log.lines.withLock { $0.count } < before + 200)
    },
    .init("lends a file on a disk") { bench in
      let peer = try bench.connect()
      let number = unsafe open("/proc/self/exe", O_RDONLY | O_CLOEXEC)
      let answer = try peer.ask(
        map(0, 4096, flags: 1), descriptors: list(OwnedDescriptor(adopting: number)))
      #expect(answer.errno == UInt32(Errno.notSupported.rawValue))
      try peer.checkStep()
    },
  ]
}

extension MessageSocket {
  /// Sends a message if the socket takes it at once, or in time.
  ///
  /// The numbers are closed before this returns, unless they are the last ones and linger.
  fileprivate func sendsAtOnce(
    _ bytes: [UInt8], _ numbers: [Int32], within timeout: Duration = .zero
  ) -> Bool {
    var sent = 0
    _ = eventually(within: timeout) {
      let result = try? unsafe bytes.span.withUnsafeBytes {
        unsafe try trySend($0, descriptors: numbers)
      }
      sent = result.flatMap { $0 } ?? 0
      return sent > 0
    }
    // What was not sent, or was closed by the server already, may linger: in a thread for each.
    let closing = numbers.map { number in
      let closer = PeerDescriptors()
      _ = DescriptorList(adopting: [number], from: closer)
      return closer
    }
    guard sent > 0 else { return false }
    // The threads may begin late: without waiting, ours would be the last ones, and the server need not close.
    _ = eventually { closing.allSatisfy { $0.count == 0 } || peerHasHungUp }
    return true
  }
}

@Suite(
  .enabled(if: StuckFileSystem.isPossible, "mounting a file system takes root and /dev/fuse"))
struct `A file system that does not answer` {
  @Test(.timeLimit(.minutes(1)))
  func `A file of a frozen file system, sent as memory or eventfd, does not block the server`()
    throws
  {
    let files = try #require(StuckFileSystem())
    let bench = try HostileBench()
    let peer = try bench.connect()
    let lent = (0..<3).map { _ in files.open().release() }
    files.freeze()
    let start = ContinuousClock.now
    for (bytes, errno) in [
      (map(0, 4096), Errno.notSupported), (oneEventfd, .invalidArgument),
    ] {
      let number = lent[errno == .notSupported ? 0 : 1]
      let answer = try peer.ask(bytes, descriptors: strange([number]))
      #expect(answer.errno == UInt32(errno.rawValue))
    }
    let reset = try peer.ask(message(.deviceReset), descriptors: strange([lent[2]]))
    #expect(reset.errno == nil)
    peer.socket.shutdown()
    try bench.checkThatAllIsWell()
    #expect(ContinuousClock.now - start < .seconds(5))
    files.abort()
  }

  @Test func `A server that may map any file maps a file of a FUSE file system`() throws {
    let files = try #require(StuckFileSystem())
    var options = ServerOptions()
    options.memoryFiles = .any
    let server = try DeviceServer(Victim(), options)
    let (mine, theirs) = try MessageSocket.pair()
    try DetachedThread.start("server") { server.serve(theirs) }
    let peer = ScriptedPeer(mine)
    #expect(try peer.ask(ScriptedPeer.versionOfQEMU).errno == nil)
    let answer = try peer.ask(map(0, 4096), descriptors: list(files.open()))
    #expect(answer.errno == nil)
    peer.socket.shutdown()
  }
}
