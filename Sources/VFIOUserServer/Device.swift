public import SystemPackage

/// A PCI device, implemented by its author.
///
/// The framework owns the configuration space, the delivery of interrupts and the memory of the client. The
/// device answers accesses to its regions and raises interrupts. It gets its ``DeviceContext`` when it is
/// made, in the closure of ``DeviceServer/init(_:_:makeDevice:)``.
///
/// All callbacks run on the session's thread, one at a time, while no lock of the framework is held, so a
/// device may take its own locks. A callback must not wait for the client, because the client may be waiting
/// for the callback. Other threads of the device may use the ``DeviceContext`` at any time.
public protocol Device: AnyObject, Sendable {
  /// Whether ``read(_:into:)`` always writes every byte of its buffer.
  ///
  /// If true, the framework does not zero the buffer first, which makes large reads faster. A byte that the
  /// device leaves out then shows the client a byte of an earlier reply. The value must not change during the
  /// life of the device.
  var fillsReads: Bool { get }

  /// Reads from a region.
  ///
  /// - Parameters:
  ///   - access: the region, the offset, and the number of bytes. The range lies in the region; size and
  ///     alignment are the client's choice.
  ///   - bytes: the buffer, of the access's size; zeroed unless ``fillsReads`` is true.
  /// - Throws: the errno with which the client's command fails.
  func read(_ access: RegionAccess, into bytes: inout MutableRawSpan) throws(Errno)

  /// Writes to a region.
  ///
  /// - Parameters:
  ///   - access: as in ``read(_:into:)``.
  ///   - bytes: the data, of the access's size.
  /// - Throws: the errno with which the client's command fails; the client of a posted write gets no reply.
  func write(_ access: RegionAccess, from bytes: Span<UInt8>) throws(Errno)

  /// Returns to the state after power-on, for `VFIO_USER_DEVICE_RESET`, a function level reset, or the
  /// transition from D3hot to D0 without No_Soft_Reset.
  ///
  /// When this is called, INTx is low, nothing is masked or pending, and configuration space has its reset
  /// values. The contents of regions' memory do not change.
  func reset()

  /// Software has written to configuration space; the ``DeviceContext`` has the new values.
  ///
  /// - Parameter access: the region, the offset, and the number of bytes.
  func configurationWritten(_ access: RegionAccess)

  /// The client has written to a region's memory with a message.
  ///
  /// Called only if the region's backing is `notifying`. Writes to memory that the client has mapped are not
  /// reported.
  ///
  /// - Parameter access: the region, the offset, and the number of bytes.
  func memoryWritten(_ access: RegionAccess)

  /// The client unmaps DMA windows while the device is accessing them.
  ///
  /// The client gets its reply when the last of these accesses has ended, on any thread. After
  /// ``ServerOptions/quiesceTimeout`` it gets EBUSY instead, and the windows stay. Until then no new access
  /// to them begins, but other commands are served, so other callbacks may run. A device that holds memory
  /// for a long time (``PinnedSlices``) should release it soon; accesses that end on the calling thread must
  /// end before this returns.
  ///
  /// - Parameter windows: the DMA windows that are being accessed.
  func quiesce(_ windows: [GuestRange])

  /// A client has connected: its VERSION was answered, and no other command was served yet.
  func clientConnected()

  /// The client allows DMA from now on.
  ///
  /// For the first client of a device this follows ``clientConnected()``. A later client allows DMA when it
  /// resets the device, sets an interrupt's eventfd, or sets the bus master bit. While the bus master bit is
  /// clear, accesses still fail; see ``PCIDescription/requiresBusMaster``.
  func dmaAllowed()

  /// The client has disconnected: its memory is no longer accessible, and its eventfds are closed when this
  /// returns. The device keeps its state for the next client.
  func clientLeft()
}

extension Device {
  /// False.
  public var fillsReads: Bool { false }
  /// Does nothing.
  public func configurationWritten(_ access: RegionAccess) {}
  /// Does nothing.
  public func memoryWritten(_ access: RegionAccess) {}
  /// Does nothing: the accesses end without it.
  public func quiesce(_ windows: [GuestRange]) {}
  /// Does nothing.
  public func clientConnected() {}
  /// Does nothing.
  public func dmaAllowed() {}
  /// Does nothing.
  public func clientLeft() {}
}
