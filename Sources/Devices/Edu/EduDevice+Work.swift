internal import Logging
internal import SystemPackage
internal import VFIOUserProtocol
internal import VFIOUserServer
internal import VFIOUserTransport

// What a register write starts happens on the worker of the bus, after the reply: a factorial so that
// drivers have to wait for it, as on QEMU's device, and a transfer because it may need the client.

extension EduDevice {
  /// Changes the registers and shows the interrupt, in the order of the changes.
  @discardableResult
  func change(_ body: (inout EduRegisters) -> EduEffect) -> (EduEffect, DeviceContext?) {
    state.withLock { state in
      let effect = body(&state.registers)
      if let bus = state.bus { Self.show(effect, state.registers, on: bus.interrupts) }
      return (effect, state.bus)
    }
  }

  /// With the lock held, so that the level shown last is the level.
  private static func show(
    _ effect: EduEffect, _ registers: EduRegisters, on interrupts: Interrupts
  ) {
    guard effect == .raised || effect == .acknowledged else { return }
    let usesMessages = interrupts.isEnabled(.msi)
    interrupts.setLevel(registers.interruptStatus != 0 && !usesMessages)
    if effect == .raised, usesMessages { interrupts.signal(.msi) }
  }

  /// Has some work done after the reply.
  ///
  /// - Throws: `EBUSY` when a client has begun and reset more than the worker's queue holds; the work is
  ///   given up then.
  func start(_ work: EduEffect, on bus: DeviceContext?) throws(Errno) {
    guard let bus else { return }
    do {
      switch work {
      case .none, .raised, .acknowledged: break
      case .compute(let work): try bus.afterReply { _ in self.change { $0.finish(work) } }
      case .transfer(let work): try bus.afterReply { self.carryOut(work, $0, bus) }
      }
    } catch {
      change { $0.abandonTransfer(work) }
      throw error
    }
  }

  private func carryOut(_ work: EduTransfer, _ memory: GuestMemoryAccess, _ bus: DeviceContext) {
    do throws(EduTransferError) {
      try move(work, memory, bus)
    } catch .memory(.stale) {
      return  // Its client has gone; `clientLeft` has come, or is about to.
    } catch {
      logger.info("no transfer: \(error)", metadata: ["count": "\(work.count)"])
    }
    change { $0.finish(work) }
  }

  private func move(
    _ work: EduTransfer, _ memory: GuestMemoryAccess, _ bus: DeviceContext
  ) throws(EduTransferError) {
    guard bus.isBusMaster else { throw .notBusMaster }
    guard let range = work.bufferRange else {
      throw .outsideBuffer(source: work.source, destination: work.destination, count: work.count)
    }
    let address = work.address & dmaMask
    if address != work.address {
      logger.info("the address \(work.address) is cut to \(address) by the mask")
    }
    do throws(MemoryError) {
      if work.command.contains(.toMemory) {
        let content = state.withLock { $0.registers.content(of: range, for: work) }
        if let content { try memory.write(at: address, from: content) }
      } else {
        let bytes = try memory.read(at: address, count: range.count)
        state.withLock { $0.registers.fill(range, with: bytes, for: work) }
      }
    } catch {
      throw .memory(error)
    }
  }
}

/// Why a transfer did not happen.
enum EduTransferError: Error, CustomStringConvertible {
  /// Software has not set the bus master bit of the command register.
  case notBusMaster
  /// The device's end of the transfer is not inside of its buffer.
  case outsideBuffer(source: UInt64, destination: UInt64, count: UInt64)
  /// Memory did not take part.
  case memory(MemoryError)

  var description: String {
    switch self {
    case .notBusMaster: "the device is not bus master"
    case .outsideBuffer(let source, let destination, let count):
      "\(count) bytes from \(source) to \(destination) leave the buffer"
        + " (\(EduTransfer.bufferSize) bytes at \(EduTransfer.bufferAddress))"
    case .memory(let error): "\(error)"
    }
  }
}
