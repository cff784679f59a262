// Effects of the guest's accesses: to the command register, to the capabilities, and to the MSI-X table.

extension Interrupts {
  /// The level of INTx, as in status bit 3: independent of masks.
  var level: Bool { state.withLock { $0.intx.level } }

  /// Command bit 10 gates INTx.
  func setDisabledByCommand(_ disabled: Bool) {
    state.withLock { state in
      state.intx.isDisabledByCommand = disabled
      state.intx.deliver()
    }
  }

  /// Sets the number of MSI vectors that the guest has enabled, a power of two.
  func setEnabledMessages(_ count: Int) { state.withLock { $0.enabledMessages = count } }

  /// Sets the enable bit of a capability.
  func setEnabled(_ index: InterruptIndex, _ isEnabled: Bool) {
    state.withLock { state in
      switch index {
      case .msi: state.msi.setEnabled(isEnabled)
      case .msix: state.msix.setEnabled(isEnabled)
      default: break
      }
      state.updateLevel()
    }
  }

  /// Sets the mask bits of MSI, vector 0 in bit 0.
  func setMaskOfMSI(_ bits: UInt64) {
    state.withLock { state in
      for vector in 0..<state.msi.count {
        state.msi.maskedByGuest[vector] = bits >> UInt64(vector) & 1 != 0
      }
      state.msi.deliverPending()
    }
  }

  /// The pending bits of MSI, vector 0 in bit 0.
  var pendingOfMSI: UInt64 { state.withLock { $0.msi.pending.words.first ?? 0 } }

  /// The function mask of MSI-X.
  func setFunctionMask(_ isMasked: Bool) {
    state.withLock { state in
      state.msix.isFunctionMasked = isMasked
      state.msix.deliverPending()
    }
  }

  /// Reads from the MSI-X table.
  ///
  /// - Precondition: the range lies in the table.
  func readTable(at offset: Int, into bytes: inout MutableRawSpan) {
    state.withLock { $0.table.read(at: offset, into: &bytes) }
  }

  /// Writes to the MSI-X table; pending vectors that are no longer masked are signalled.
  ///
  /// - Precondition: the range lies in the table.
  func writeTable(at offset: Int, from bytes: Span<UInt8>) {
    state.withLock { state in
      state.table.write(at: offset, from: bytes)
      state.applyTable()
      state.msix.deliverPending()
    }
  }

  /// Reads from the pending bits of MSI-X.
  ///
  /// - Precondition: the range lies in the pending bits.
  func readPending(at offset: Int, into bytes: inout MutableRawSpan) {
    state.withLock { state in
      for place in 0..<bytes.byteCount {
        let word = state.msix.pending.words[(offset + place) / 8]
        let byte = UInt8(truncatingIfNeeded: word >> UInt64(8 * ((offset + place) % 8)))
        bytes.storeBytes(of: byte, toByteOffset: place, as: UInt8.self)
      }
    }
  }
}

extension Interrupts.State {
  /// Sets whether the masks of the table take effect.
  mutating func applyTable() {
    for vector in 0..<msix.count { msix.maskedByGuest[vector] = table.isMasked(vector) }
  }
}
