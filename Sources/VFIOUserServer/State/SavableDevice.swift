public import SystemPackage

/// A device whose state can be saved, and loaded into another device of its kind: for migration, and for another
/// version of its program.
///
/// The framework saves what it owns: configuration space, interrupts, the memory behind regions, and whether DMA is
/// allowed. The device saves the rest as one `Codable` value, so that the compiler takes care that no property
/// of it is forgotten. A register file is saved and loaded as a whole (``RegisterFile/contents``):
///
/// ```swift
/// extension HelloDevice: SavableDevice {
///   func save() -> RegisterFile.Contents { registers.contents }
///   func load(_ saved: RegisterFile.Contents) throws(StateError) { try registers.load(saved) }
/// }
/// ```
///
/// A device is saved while it is suspended: ``suspend(_:)``, ``save()``, then ``resume()``; it is loaded while it is
/// suspended too. Between ``suspend(_:)`` and ``resume()`` no region is read or written, and what was given to
/// ``DeviceContext/afterReply(_:)`` waits.
public protocol SavableDevice: Device {
  /// What is saved. Its `init(from:)` sees bytes that may be anybody's, and so does ``load(_:)``.
  associatedtype SavedState: Codable & Sendable

  /// The version of ``SavedState``, from 1; one more when an older program would misunderstand it.
  ///
  /// A state of a newer version is refused. One of an older version is decoded as it is: properties that came later
  /// are optional, or an `init(from:)` of the type's own takes care of them, which finds the version in
  /// `decoder.userInfo[.savedStateVersion]` (``Swift/CodingUserInfoKey/savedStateVersion``).
  static var savedStateVersion: UInt16 { get }

  /// Ends what is under way and begins nothing new, until ``resume()``.
  ///
  /// Nothing that a guest, a disk or a clock does may change the device after that. What cannot be ended soon is
  /// interrupted, if ``SavedState`` says how to go on with it.
  ///
  /// - Parameter whenDone: to be called from any thread, once, when nothing is under way any more. When that takes
  ///   longer than ``ServerOptions/quiesceTimeout`` the device is resumed instead; a call that comes later is ignored.
  func suspend(_ whenDone: @escaping @Sendable () -> Void)

  /// What has to be saved.
  ///
  /// - Throws: why the device cannot be saved now.
  func save() throws(StateError) -> SavedState

  /// Takes a state over.
  ///
  /// Checks everything before it changes anything: the values may be anybody's. Interrupts, configuration space and
  /// the memory behind regions are loaded after this.
  ///
  /// - Throws: what does not fit; the device is reset then.
  func load(_ state: SavedState) throws(StateError)

  /// Gives up what only one process can have, such as the lock of a file, because the client has read the whole state.
  ///
  /// Called in a migration, while the device is suspended; may wait for a disk. ``acquireResources()`` follows when the
  /// device is to go on nevertheless.
  ///
  /// - Throws: the errno with which the client's last `MIG_DATA_READ` fails; the device has everything still.
  func releaseResources() throws(Errno)

  /// Takes what only one process can have, before ``resume()``: after ``load(_:)`` for the first time, or back after
  /// ``releaseResources()``.
  ///
  /// Called in a migration also if nothing was given up or loaded; then there is nothing to do.
  ///
  /// - Throws: the errno with which the change to RUNNING fails; the device stays suspended, and the client may try
  ///   again. A device that was reset goes on without what it could not get.
  func acquireResources() throws(Errno)

  /// Goes on: after ``save()``, after ``load(_:)`` with the new state, or after ``suspend(_:)`` alone.
  func resume()
}

extension SavableDevice {
  /// 1.
  public static var savedStateVersion: UInt16 { 1 }
  /// For a device that does nothing by itself: it is done at once.
  public func suspend(_ whenDone: @escaping @Sendable () -> Void) { whenDone() }
  /// Does nothing.
  public func releaseResources() throws(Errno) {}
  /// Does nothing.
  public func acquireResources() throws(Errno) {}
  /// Does nothing.
  public func resume() {}
}

extension CodingUserInfoKey {
  /// The ``SavableDevice/savedStateVersion`` of the program that saved a state, a `UInt16`; in `userInfo` of the decoder
  /// that an `init(from:)` gets.
  public static let savedStateVersion = makeSavedStateVersion()

  private static func makeSavedStateVersion() -> CodingUserInfoKey {
    guard let key = CodingUserInfoKey(rawValue: "savedStateVersion") else {
      preconditionFailure("a coding key can have any name")
    }
    return key
  }
}
