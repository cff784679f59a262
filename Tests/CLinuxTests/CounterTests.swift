import CLinux
import Glibc
import Synchronization
import SystemCallFilter
import TestSupport
import Testing
import VFIOUserTransport

/// Makes something with a number.
struct DescriptorMaker: CustomTestStringConvertible, Sendable {
  let testDescription: String
  let isEventfd: Bool
  let closesAtOnce: Bool
  let make: @Sendable () -> Int32

  init(
    _ name: String, isEventfd: Bool = false, closesAtOnce: Bool = false,
    _ make: @escaping @Sendable () -> Int32
  ) {
    testDescription = name
    self.isEventfd = isEventfd
    self.closesAtOnce = closesAtOnce
    self.make = make
  }

  static let all: [DescriptorMaker] = [
    .init("an eventfd", isEventfd: true, closesAtOnce: true) { clinux_eventfd() },
    .init("a memory file", closesAtOnce: true) { unsafe clinux_memory_file("x", 4096) },
    .init("an epoll instance") { clinux_epoll() },
    .init("a timer") { clinux_timer() },
    .init("a file") { unsafe open("/proc/self/exe", O_RDONLY) },
    .init("a folder") { unsafe open("/tmp", O_RDONLY) },
    .init("/dev/null") { unsafe open("/dev/null", O_RDWR) },
    .init("a pipe") {
      var ends: [Int32] = [-1, -1]
      _ = unsafe pipe(&ends)
      close(ends[1])
      return ends[0]
    },
    .init("a TCP socket") { socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0) },
    .init("a UNIX socket with nothing in it") {
      var ends: [Int32] = [-1, -1]
      _ = unsafe clinux_socket_pair(&ends)
      close(ends[1])
      return ends[0]
    },
    .init("a UNIX socket with something in it") {
      var ends: [Int32] = [-1, -1]
      _ = unsafe clinux_socket_pair(&ends)
      _ = unsafe write(ends[1], "x", 1)
      close(ends[1])
      return ends[0]
    },
  ]
}

@Suite struct `The kind of a descriptor` {
  @Test(arguments: DescriptorMaker.all)
  func `The kind of a descriptor is asked of the kernel without changing the descriptor`(
    _ maker: DescriptorMaker
  ) {
    let number = maker.make()
    #expect(number >= 0)
    #expect((clinux_is_eventfd(number) == 1) == maker.isEventfd)
    #expect((clinux_closes_at_once(number) == 1) == maker.closesAtOnce)
    if maker.isEventfd { #expect(clinux_eventfd_take(number) == 0) }
    #expect(clinux_close(number) == 0)
    #expect(clinux_is_eventfd(number) == 0)
  }

  @Test func `Only a stream socket without unread bytes counts as an empty stream`() {
    var ends: [Int32] = [-1, -1]
    _ = unsafe clinux_socket_pair(&ends)
    #expect(clinux_is_empty_stream(ends[0]) == 1)
    _ = unsafe write(ends[1], "x", 1)
    #expect(clinux_is_empty_stream(ends[0]) == 0)
    var datagrams: [Int32] = [-1, -1]
    _ = unsafe socketpair(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0, &datagrams)
    #expect(clinux_is_empty_stream(datagrams[0]) == 0)
    for number in ends + datagrams { _ = clinux_close(number) }
  }

  @Test func `Two eventfds are told apart, two descriptors of one eventfd are not`() {
    let (one, other) = (clinux_eventfd(), clinux_eventfd())
    let again = clinux_duplicate(one)
    #expect(clinux_are_different_eventfds(one, other) == 1)
    #expect(clinux_are_different_eventfds(one, again) == 0)
    for number in [one, other, again] { _ = clinux_close(number) }
  }

  @Test func `Two eventfds are told apart also if kcmp is refused`() async {
    await #expect(processExitsWith: .success) {
      #expect(filter_refuse_kcmp() == 0)
      let (one, other) = (clinux_eventfd(), clinux_eventfd())
      #expect(clinux_are_different_eventfds(one, other) == 1)
      #expect(clinux_are_different_eventfds(one, clinux_duplicate(one)) == 0)
    }
  }
}

@Suite struct `An eventfd that a peer shares` {
  @Test func `The kernel signals a shared eventfd without waiting`() {
    #expect(clinux_signals_without_waiting() == 1)
    let number = clinux_eventfd()
    for _ in 0..<1000 { #expect(clinux_eventfd_signal(number) == 0) }
    #expect(clinux_eventfd_take(number) == 1000)
    _ = clinux_close(number)
  }

  /// Between the poll and the write of one who writes, a peer can fill it.
  @Test func `A shared eventfd is signalled without a write system call`() async {
    await #expect(processExitsWith: .success) {
      let number = clinux_eventfd()
      #expect(filter_refuse_counter_writes(EIO) == 0)
      #expect(clinux_eventfd_add(number, 1) < 0)
      #expect(clinux_eventfd_signal(number) == 0)
      #expect(clinux_eventfd_take(number) == 1)
    }
  }

  /// The peer fills its counter in the moment after it was seen not to be full, and leaves it so.
  @Test func `A signal to a shared eventfd does not block while the peer fills the eventfd`() {
    let number = clinux_eventfd()
    _ = clinux_set_nonblocking(number, 0)
    let isOver = Atomic(false)
    let ended = Atomic(0)
    let done = Atomic(0)
    let rounds = Atomic(0)
    try? DetachedThread.start("filler") {
      while !isOver.load(ordering: .relaxed) {
        _ = clinux_eventfd_take(number)
        // Nearly full, so that this does not wait for what was signalled since; then the last ones,
        // which the signaller wants too.
        _ = clinux_eventfd_add(number, .max - 1000)
        for _ in 0..<2000 where !isOver.load(ordering: .relaxed) {
          _ = clinux_eventfd_add(number, 1)
        }
        rounds.add(1, ordering: .relaxed)
      }
      ended.add(1, ordering: .relaxed)
    }
    try? DetachedThread.start("signaller") {
      while !isOver.load(ordering: .relaxed) {
        _ = clinux_eventfd_signal(number)
        done.add(1, ordering: .relaxed)
      }
      ended.add(1, ordering: .relaxed)
    }
    var (lastDone, lastRound) = (0, 0)
    for _ in 0..<1000 {
      let goesOn = eventually(within: .seconds(5)) {
        done.load(ordering: .relaxed) > lastDone + 100
      }
      #expect(goesOn)
      guard goesOn else { break }
      // The filler may wait in its own write: that is not what is looked for.
      if rounds.load(ordering: .relaxed) == lastRound { _ = clinux_eventfd_take(number) }
      lastRound = rounds.load(ordering: .relaxed)
      lastDone = done.load(ordering: .relaxed)
    }
    #expect(lastRound > 100)
    isOver.store(true, ordering: .relaxed)
    _ = eventually(within: .seconds(5)) {
      _ = clinux_eventfd_take(number)
      return ended.load(ordering: .relaxed) == 2
    }
    _ = clinux_close(number)
  }
}
