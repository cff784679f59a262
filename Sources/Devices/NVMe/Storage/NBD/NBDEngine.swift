internal import CLinux
internal import LinuxPrimitives
internal import Logging

/// The engine of namespaces on NBD: asynchronous, on the controller's thread itself.
///
/// The thread sleeps on the sockets of all exports and on its own bell (``ThreadParker``), so that no other thread is on the
/// way of a command. Only that thread calls this, but for `init` and `close` when there is none: the connection's thread
/// takes no commands of such namespaces (``Namespace/inlineBudget(of:on:at:)``).
final class NBDEngine: StorageEngine, @unchecked Sendable {
  // Sound: as said above; what other threads bring comes through `NBDArrivals`.

  private let clients: [NBDClient]
  /// When this turn began.
  private var now = Deadline.now
  /// By the tags of their requests.
  private var tasks: [NBDTask] = []
  private var interests: [clinux_interest] = []
  /// Whether the events in `interests` have not been looked at.
  private var isFresh = false
  private let bell: EventFD
  private let parker: ThreadParker

  /// - Parameter mailbox: the controller's.
  /// - Returns: nil for a disk without exports, whose thread has no bell.
  init?(_ options: NVMeConfiguration, _ mailbox: Mailbox) {
    guard let bell = mailbox.wake.bell else { return nil }
    self.bell = bell
    parker = mailbox.wake
    clients = options.exports.map { export in
      NBDClient(export, options.logger) {
        mailbox.wake.signal()
      } resized: {
        mailbox.post(.measure)
      }
    }
  }

  // MARK: Requests

  func submit(_ request: StorageRequest) {
    guard let client = client(of: request) else { return request.complete(.abandoned) }
    while tasks.count <= request.tag { tasks.append(NBDTask()) }
    let task = tasks[request.tag]
    task.begin(request, at: now)
    client.submit(task, at: now)
  }

  func flush() {
    for client in clients { client.issue() }
  }

  func cancel(_ request: StorageRequest) -> Bool {
    guard request.tag < tasks.count else { return false }
    return client(of: request)?.cancel(tasks[request.tag]) ?? false
  }

  private func client(of request: StorageRequest) -> NBDClient? {
    clients.first { $0.export === request.storage }
  }

  // MARK: Turns

  /// Does what the sockets and the time ask for.
  ///
  /// - Returns: whether there was anything.
  func serve(at now: UInt64) -> Bool {
    if isFresh {
      takeEvents()
    } else {
      for client in clients where client.isBusy || !client.drains.isEmpty { look(client) }
    }
    self.now = now
    var found = false
    for client in clients where client.receive(at: now) { found = true }
    // Requests that have ended in there have rung this thread's own bell. What others ring for is looked at after this.
    if found { _ = parker.take() }
    for client in clients where client.proceed() { found = true }
    return found
  }

  /// Gives connections the events that a wait has found.
  private func takeEvents() {
    isFresh = false
    var place = 1
    for client in clients {
      for connection in client.connections where place < interests.count {
        connection.events = interests[place].happened
        place += 1
      }
      for drain in client.drains where place < interests.count {
        drain.events = interests[place].happened
        place += 1
      }
    }
  }

  /// Has sockets looked at between two waits: by receiving, or by a poll for those where libnbd does that.
  private func look(_ client: NBDClient) {
    for connection in client.connections where connection.count > 0 {
      connection.events = Self.events(of: connection.transport)
    }
    for drain in client.drains { drain.events = Self.events(of: drain.transport) }
  }

  private static func events(of transport: any NBDTransport) -> Int16 {
    guard transport.needsPoll else { return Int16(CLINUX_READABLE) }
    var interest = clinux_interest(
      descriptor: transport.descriptor, wanted: transport.wanted, happened: 0)
    _ = unsafe clinux_poll(&interest, 1, 0)
    return interest.happened
  }

  private func prepare() {
    interests.removeAll(keepingCapacity: true)
    add(bell.descriptor.number, Int16(CLINUX_READABLE))
    for client in clients {
      for connection in client.connections {
        add(connection.transport.descriptor, connection.transport.wanted)
      }
      for drain in client.drains { add(drain.transport.descriptor, drain.wanted) }
    }
  }

  private func add(_ descriptor: Int32, _ wanted: Int16) {
    interests.append(clinux_interest(descriptor: descriptor, wanted: wanted, happened: 0))
  }

  /// Sleeps until something happens, or somebody wakes the thread, or it is time.
  func wait(_ parker: ThreadParker, before deadline: Deadline) {
    var first = deadline
    for client in clients { first = min(first, client.deadline) }
    prepare()
    parker.wait(before: first, with: &interests)
    isFresh = true
  }

  // MARK: A suspension

  /// Whether a storage has changes that a flush has not brought to its server's disk.
  func holdsChanges(_ storage: Storage) -> Bool {
    clients.contains { $0.export === storage && $0.journal.holdsChanges }
  }

  /// Whether a server may still carry out what it was asked for on a connection that was given up.
  var isDraining: Bool { clients.contains { !$0.drains.isEmpty } }

  /// Those count as flushed: that they may be lost is known.
  func forgetChanges(_ storage: Storage) {
    for client in clients where client.export === storage { client.forgetChanges() }
  }

  // MARK: The end

  /// Commands that the server does not answer fail soon.
  func hurry() {
    for client in clients { client.timeout = min(client.timeout, 2_000_000_000) }
  }

  func close() {
    for client in clients { client.close() }
  }
}
