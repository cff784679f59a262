public import SystemPackage

/// The device's access to the client: its memory, interrupts and configuration space.
///
/// A device gets its context when it is made. Every method may be called from any thread. Without a client,
/// interrupts and memory accesses have no effect.
public final class DeviceContext: Sendable {
  let core: DeviceCore

  init(_ core: DeviceCore) { self.core = core }

  /// Interrupts of the device.
  public var interrupts: Interrupts { core.interrupts }
  /// The memory of the client.
  public var memory: GuestMemory { core.memory }

  /// Runs a closure on the worker thread of the device; if called from a callback, after the callback's reply
  /// was sent.
  ///
  /// Closures run one at a time, in the order of the calls. They may wait for the client; a callback may not,
  /// because the client may be waiting for the callback. A closure that has not begun when the device is
  /// reset or the client disconnects is dropped. One that is running shows its result with
  /// ``GuestMemoryAccess/ifCurrent(_:)``, which does nothing then.
  ///
  /// - Parameter body: gets the memory of the client that was connected at the time of the call.
  /// - Throws: `EBUSY` if 4096 closures wait already, `EAGAIN` if no thread can be started; a callback can
  ///   rethrow both.
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
  /// Its contents are kept across resets and clients, unless the device overwrites them.
  public func memory(of region: RegionIndex) -> RegionMemory? { core.regions[region]?.memory }

  /// The eventfd of the ``IOEventArea`` with this name, nil if there is none.
  public func counter(_ name: String) -> EventFD? { core.signals.counter(name) }

  /// The device's end of the socket of the ``IOEventArea`` with this name, nil if there is none.
  ///
  /// The socket carries data in the format of the kernel's ioregionfd: `struct ioregionfd_cmd` and `struct
  /// ioregionfd_resp` of 32 bytes each. Read and write it by its descriptor
  /// (``/VFIOUserTransport/MessageSocket/withDescriptor(_:)``).
  public func socket(_ name: String) -> MessageSocket? { core.signals.socket(name) }

  /// Reads configuration space as a driver does; bytes beyond its end are zero.
  public func readConfiguration(at offset: UInt64, into bytes: inout MutableRawSpan) {
    core.configuration.read(at: offset, into: &bytes)
  }

  /// The value of a register that the device has described in one of its capabilities.
  ///
  /// Calls no hook. Nil if no register has this name.
  public func configurationValue(of register: String) -> UInt64? {
    core.configuration.value(of: register)
  }

  /// Changes the value of a register that the device has described in one of its capabilities, until the next
  /// reset.
  ///
  /// Bits that software cannot write may be changed too. Software sees the new value with its next read.
  /// Calls no hook, so hooks may change other registers and their own.
  ///
  /// - Parameters:
  ///   - register: its name.
  ///   - body: changes the value; runs under the lock of configuration space, and may use its argument only.
  /// - Returns: the new value, nil if no register has this name.
  @discardableResult
  public func updateConfiguration(
    _ register: String, _ body: (inout UInt64) -> Void
  ) -> UInt64? {
    core.configuration.update(register, body)
  }

  /// The power state that software has set, from 0 for D0 to 3 for D3hot; 0 without the capability.
  public var powerState: Int { core.configuration.powerState }

  /// Whether software has set the bus master bit of the command register (bit 2).
  public var isBusMaster: Bool { core.configuration.command & 1 << 2 != 0 }
}
