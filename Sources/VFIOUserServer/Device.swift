public import SystemPackage

/// A PCI device, as its author writes it.
///
/// The framework owns the configuration space, the interrupts' plumbing and the memory of the client;
/// the device answers accesses to its regions and says when it interrupts. It is made with its
/// ``DeviceContext``, which ``DeviceServer/init(_:_:makeDevice:)`` hands to it.
///
/// All callbacks run on the thread of the connection, one at a time, and outside of any lock of the
/// framework: a device may take locks of its own. A callback must not wait for anything that the
/// client has to do, because the client may be waiting for the callback. Other threads of the device
/// use the ``DeviceContext``, which is safe from everywhere.
public protocol Device: AnyObject, Sendable {
  /// Whether ``read(_:into:)`` writes every byte that it was asked for.
  ///
  /// Then the bytes are not zeroed beforehand, which is worth it for large reads; what it left out
  /// would show the client the bytes of an earlier reply. The same each time it is asked.
  var fillsReads: Bool { get }

  /// Reads from a region.
  ///
  /// - Parameters:
  ///   - access: which region, where, and how many bytes; inside the region, but of any size and
  ///     alignment that the client liked.
  ///   - bytes: as many as the access says, zeroed unless ``fillsReads`` says that this is not needed.
  /// - Throws: the errno that the client gets instead of data.
  func read(_ access: RegionAccess, into bytes: inout MutableRawSpan) throws(Errno)

  /// Writes to a region.
  ///
  /// - Parameters:
  ///   - access: as in ``read(_:into:)``.
  ///   - bytes: as many as the access says.
  /// - Throws: the errno that the client gets, unless it posted the write.
  func write(_ access: RegionAccess, from bytes: Span<UInt8>) throws(Errno)

  /// Returns to the state after power-on: `VFIO_USER_DEVICE_RESET`, a function level reset, or the way
  /// from D3hot to D0 without No_Soft_Reset.
  ///
  /// The interrupt level is low, nothing is masked or pending, and the configuration space has its
  /// reset values already. Memory behind regions is as it was.
  func reset()

  /// Software has written to configuration space; ``DeviceContext`` says what it has chosen.
  ///
  /// - Parameter access: where, and how many bytes.
  func configurationWritten(_ access: RegionAccess)

  /// The client has written to memory behind a region by message.
  ///
  /// Only called when the region's backing says so. What a client writes to memory that it has mapped
  /// is not heard of.
  ///
  /// - Parameter access: where, and how many bytes.
  func memoryWritten(_ access: RegionAccess)

  /// The client takes windows of its memory back while accesses of the device to them are under way.
  ///
  /// The client gets its answer when the last of these accesses has ended, on whatever thread, or
  /// EBUSY after ``ServerOptions/quiesceTimeout``, and then the windows stay. Nothing new begins in
  /// them meanwhile, but other commands are served, so other callbacks come. A device that holds memory for long (``PinnedSlices``) hurries here;
  /// one whose accesses end on the thread that calls this ends them before it returns.
  ///
  /// - Parameter windows: those that are being accessed.
  func quiesce(_ windows: [GuestRange])

  /// A client has come: its VERSION was answered, and nothing else of it was served yet.
  func clientConnected()

  /// The client lets the device reach its memory, from now on.
  ///
  /// Comes after ``clientConnected()`` for the first client of a device; for a later one when it has reset
  /// the device, set an interrupt's eventfd, or set the bus master bit. Without the bus master bit accesses
  /// fail nevertheless, see ``PCIDescription/requiresBusMaster``.
  func dmaAllowed()

  /// The client has gone: its memory is no longer there, and its interrupts go when this returns. The
  /// device keeps its state for the next one.
  func clientLeft()
}

extension Device {
  /// False.
  public var fillsReads: Bool { false }
  /// Does nothing.
  public func configurationWritten(_ access: RegionAccess) {}
  /// Does nothing.
  public func memoryWritten(_ access: RegionAccess) {}
  /// Does nothing: the accesses end by themselves.
  public func quiesce(_ windows: [GuestRange]) {}
  /// Does nothing.
  public func clientConnected() {}
  /// Does nothing.
  public func dmaAllowed() {}
  /// Does nothing.
  public func clientLeft() {}
}
