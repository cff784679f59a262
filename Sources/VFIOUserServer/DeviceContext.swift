public import SystemPackage

/// What a device sees of the machine that it is plugged into.
///
/// A device gets its context when it is made. Every method may be called from any thread; nothing happens
/// while no client is there.
public final class DeviceContext: Sendable {
  private let core: DeviceCore

  init(_ core: DeviceCore) { self.core = core }

  /// Interrupts of the device.
  public var interrupts: Interrupts { core.interrupts }
  /// The memory of the client.
  public var memory: GuestMemory { core.memory }

  /// Does some work on a thread of the device, one piece after the other; from a callback, after the
  /// callback's reply has been sent.
  ///
  /// This is where a device waits for the client: a callback cannot, because the client may be waiting for
  /// the callback. Work of an earlier generation is dropped: it does not begin after a reset of the device,
  /// nor for another client. Work that is under way then ends with ``GuestMemoryAccess/ifCurrent(_:)``,
  /// which does nothing.
  ///
  /// - Parameter body: gets the memory of the client that was there at the time of the call.
  /// - Throws: `EBUSY` when 4096 pieces wait already, `EAGAIN` when there is no thread; a callback can pass
  ///   that on.
  public func afterReply(_ body: @escaping @Sendable (GuestMemoryAccess) -> Void) throws(Errno) {
    let access = memory.access()
    try core.worker.add(inCallback: memory.isOnReceivingThread) {
      if access.isCurrent { body(access) }
    }
  }
}

extension DeviceContext {
  /// The memory behind a region; nil when its backing has none.
  ///
  /// It keeps what is in it across resets and clients; a device that wants it otherwise fills it.
  public func memory(of region: RegionIndex) -> RegionMemory? { core.regions[region]?.memory }

  /// The counter of the ``IOEventArea`` of this name; nil when there is none.
  public func counter(_ name: String) -> EventFD? { core.signals.counter(name) }

  /// The device's end of the socket of the ``IOEventArea`` of this name; nil when there is none.
  ///
  /// What comes there is data, in the form of whoever writes it: `struct ioregionfd_cmd` and
  /// `struct ioregionfd_resp` of 32 bytes with the kernel's ioregionfd. It is read and written by its descriptor
  /// (``MessageSocket/withDescriptor(_:)``).
  public func socket(_ name: String) -> MessageSocket? { core.signals.socket(name) }

  /// Reads configuration space as a driver does; bytes behind its end are zero.
  public func readConfiguration(at offset: UInt64, into bytes: inout MutableRawSpan) {
    core.configuration.read(at: offset, into: &bytes)
  }

  /// What a register holds that the device has described in one of its capabilities.
  ///
  /// No hook is called; nil when there is none of that name.
  public func configurationValue(of register: String) -> UInt64? {
    core.configuration.value(of: register)
  }

  /// Changes what a register holds that the device has described in one of its capabilities, bits that
  /// software cannot write included, until the next reset.
  ///
  /// Software sees it with its next read. No hook is called, so hooks may do this to other registers and
  /// to their own.
  ///
  /// - Parameters:
  ///   - register: its name.
  ///   - body: runs under the lock of configuration space, and may only change its argument.
  /// - Returns: what the register holds now; nil when there is none of that name.
  @discardableResult
  public func updateConfiguration(
    _ register: String, _ body: (inout UInt64) -> Void
  ) -> UInt64? {
    core.configuration.update(register, body)
  }

  /// The power state that software has chosen, 0 for D0 to 3 for D3hot; 0 without the capability.
  public var powerState: Int { core.configuration.powerState }

  /// Whether software lets the device reach memory (command bit 2).
  public var isBusMaster: Bool { core.configuration.command & 1 << 2 != 0 }
}
