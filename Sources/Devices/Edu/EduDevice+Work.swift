internal import Logging
internal import SystemPackage

// Work that a register write starts runs after the reply (`DeviceContext.afterReply`): a factorial, so that
// drivers have to wait for it, as on QEMU's device; a transfer, because it may need messages to the client.

extension EduDevice {
  /// Changes the registers, and raises or lowers the interrupt in the same order.
  @discardableResult
  func change(_ body: (inout EduRegisters) -> EduEffect) -> EduEffect {
    registers.withLock { registers in
      let effect = body(&registers)
      if effect == .raised { interrupt.raise() }
      if registers.interruptStatus == 0 { interrupt.lower() }
      return effect
    }
  }

  /// Starts work after the reply.
  ///
  /// - Throws: `EBUSY` if too many works wait, which a client causes by starting work and resetting again and
  ///   again; the work is dropped then.
  func start(_ work: EduEffect) throws(Errno) {
    do {
      switch work {
      case .none, .raised: break
      case .compute(let work):
        try context.afterReply { memory in memory.ifCurrent { self.change { $0.finish(work) } } }
      case .transfer(let work): try context.afterReply { self.carryOut(work, $0) }
      }
    } catch {
      change { $0.abandonTransfer(work) }
      throw error
    }
  }

  private func carryOut(_ work: EduTransfer, _ memory: GuestMemoryAccess) {
    do throws(EduTransferError) {
      try move(work, memory)
    } catch .memory(.stale) {
      return  // A reset has come, or its client has gone.
    } catch {
      logger.info("no transfer: \(error)", metadata: ["count": "\(work.count)"])
    }
    memory.ifCurrent { change { $0.finish(work) } }
  }

  private func move(_ work: EduTransfer, _ memory: GuestMemoryAccess) throws(EduTransferError) {
    guard let range = work.bufferRange else {
      throw .outsideBuffer(source: work.source, destination: work.destination, count: work.count)
    }
    let address = work.address & dmaMask
    if address != work.address {
      logger.info("the address \(work.address) is cut to \(address) by the mask")
    }
    do throws(MemoryError) {
      if work.command.contains(.toMemory) {
        let content = registers.withLock { $0.content(of: range) }
        try memory.write(at: address, from: content)
      } else {
        let bytes = try memory.read(at: address, count: range.count)
        memory.ifCurrent { registers.withLock { $0.fill(range, with: bytes) } }
      }
    } catch {
      throw .memory(error)
    }
  }
}

/// Why a transfer failed.
enum EduTransferError: Error, CustomStringConvertible {
  /// The device's address of the transfer does not lie in its buffer.
  case outsideBuffer(source: UInt64, destination: UInt64, count: UInt64)
  /// The access to guest memory failed.
  case memory(MemoryError)

  var description: String {
    switch self {
    case .outsideBuffer(let source, let destination, let count):
      "\(count) bytes from \(source) to \(destination) leave the buffer"
        + " (\(EduTransfer.bufferSize) bytes at \(EduTransfer.bufferAddress))"
    case .memory(.notBusMaster): "the device is not bus master"
    case .memory(let error): "\(error)"
    }
  }
}
