internal import LinuxPrimitives
internal import Synchronization
internal import SystemPackage

/// How a disk uses an NBD server.
public struct NBDSettings: Equatable, Sendable {
  /// Connections, 1 to 16; nil for as many as are of use.
  public var connections: Int?
  /// How long a command waits for the server before it fails.
  ///
  /// Linux's NVMe driver gives a command 30 seconds and resets the controller then; before that it should hear what is
  /// wrong.
  public var timeout: Duration = .seconds(25)
  /// Bytes of acknowledged writes that are kept until they are flushed, to be written again when the server was lost; 0
  /// for none.
  public var replay = 64 << 20

  /// The defaults.
  public init() {}
}

/// An export of an NBD server, of which a namespace is made.
///
/// Nobody is kept away from an export: the protocol has no lock. Two disks of one process cannot have the same one; others
/// are the owner's matter.
public final class NBDExport: Storage, @unchecked Sendable {
  // Sound: as in the class above.

  /// Where it is.
  public let address: NBDAddress
  let known: NBDServerAddresses
  let settings: NBDSettings
  /// What the server said when the disk was opened.
  let facts: NBDFacts
  private let bytes: Atomic<UInt64>
  /// The first connection, until the disk's engine takes it: some servers end with their last client.
  private let first: Monitor<NBDConnector.Connected?>
  /// For a new version of the program.
  private let kept: NBDKeptFacts?
  /// Whether the connections are to be made anew.
  private let renews = Atomic<Bool>(false)
  /// What the engine counts.
  let counters = NBDCounters()

  /// Connects, and looks what is there.
  ///
  /// Waits for the server, for some seconds.
  ///
  /// - Parameters:
  ///   - address: where it is.
  ///   - isDurable: whether each write has to be on the server's disk before its command is done.
  ///   - isReadOnly: whether it must not be written to.
  ///   - settings: how it is used.
  ///   - isIncoming: whether another process has the disk and will give it up.
  /// - Throws: why there is no connection, or none that a namespace can be made of.
  public init(
    _ address: NBDAddress, isDurable: Bool = false, isReadOnly: Bool = false,
    settings: NBDSettings = NBDSettings(), isIncoming: Bool = false
  ) throws(NBDError) {
    self.address = address
    self.settings = settings
    known = try NBDServerAddresses(of: address)
    let name = "NBD export \(address.identity)"
    let connected: NBDConnector.Connected?
    let facts: NBDFacts
    if let kept = NBDKeptFacts.take(name) {
      // The program before this one knows it, and its guest does not wait for a server.
      (facts, connected) = (kept, nil)
    } else {
      let made = try NBDConnector.connect(to: address, at: known)
      (facts, connected) = (made.facts, made)
    }
    self.facts = facts
    kept = NBDKeptFacts(name, facts)
    bytes = Atomic(facts.size)
    first = Monitor(isIncoming ? nil : connected)
    super.init(
      .export, name: address.identity, cache: isDurable ? .writeThrough : .direct,
      isReadOnly: isReadOnly || facts.isReadOnly, alignment: facts.minimum,
      isHeld: !isIncoming || isReadOnly)
  }

  /// Bytes, as the server last said.
  public override func size() throws(SystemCallError) -> UInt64 {
    bytes.load(ordering: .relaxed)
  }

  override var identity: String? { address.identity }

  override var granularity: Int { facts.preferred }

  /// A command that has timed out says nothing of others.
  override func mayHaveLostData(_ failure: Errno) -> Bool { failure != .timedOut }

  /// The connection that was made when the disk was opened; once.
  func takeFirst() -> NBDConnector.Connected? { first.update { $0.take() } }

  /// Whether a connection leads to what the guest knows.
  ///
  /// - Throws: ``NBDError/changed(_:)``.
  func check(_ new: NBDFacts) throws(NBDError) {
    let size = bytes.load(ordering: .relaxed)
    guard new.size >= size else { throw .changed("it has \(new.size) bytes, and had \(size)") }
    guard !new.isReadOnly || isReadOnly else { throw .changed("it is read-only") }
    guard new.canFlush || !facts.canFlush else { throw .changed("it knows no flush") }
    guard new.minimum <= alignment || alignment % new.minimum == 0 else {
      throw .changed("it wants blocks of \(new.minimum) bytes, not \(alignment)")
    }
  }

  /// Bytes, as all connections know them.
  var knownSize: UInt64 { bytes.load(ordering: .relaxed) }

  /// The server has this size now.
  ///
  /// - Returns: whether that is another one.
  func noteSize(_ size: UInt64) -> Bool {
    guard bytes.exchange(size, ordering: .relaxed) != size else { return false }
    var facts = facts
    facts.size = size
    kept?.write(facts)
    return true
  }

  /// Asks the server for the size, by a connection of its own.
  ///
  /// - Parameter done: called on another thread: with nil when there is something to be done about it, which the
  ///   controller's thread does.
  func lookAgain(_ done: @escaping @Sendable (NBDError?) -> Void) {
    NBDConnector.start(address, known) { [self] result in
      switch result {
      case .success(let connected):
        guard connected.facts.size != bytes.load(ordering: .relaxed) else { return }
        do throws(NBDError) {
          try check(connected.facts)
        } catch {
          return done(error)
        }
        requestRenewal()
        done(nil)
      case .failure(let error): done(error)
      }
    }
  }

  /// The connections are to be made anew; from any thread.
  func requestRenewal() { renews.store(true, ordering: .releasing) }

  /// Whether the connections are to be made anew; once.
  func takesRenewal() -> Bool { renews.take() }
}
