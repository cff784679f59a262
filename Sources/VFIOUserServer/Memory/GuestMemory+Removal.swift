internal import LinuxPrimitives
package import SystemPackage

// DMA_UNMAP in steps, none of which waits: it starts, and ends or is given up later. All of it runs on the
// session's thread, which alone changes the map.

extension GuestMemory {
  /// Windows that are being taken back while accesses to them are under way; nothing new begins in them.
  ///
  /// It ends with ``finish(_:)`` or ``cancel(_:)``, or with the client.
  package struct Removal {
    fileprivate let windows: [DMAWindow]

    /// The windows that are still being accessed.
    package var busyWindows: [GuestRange] {
      windows.filter(\.isPinned).map { GuestRange(address: $0.address, count: $0.size) }
    }
  }

  /// Takes the window back that matches exactly, as soon as no access to it is under way.
  ///
  /// - Parameter observer: counts when ``finish(_:)`` may succeed.
  /// - Returns: nil when it is gone already.
  /// - Throws: `ENOENT` when none matches.
  package func startRemoving(
    address: UInt64, size: UInt64, telling observer: EventFD? = nil
  ) throws(Errno) -> Removal? {
    // The window is handed out in any case: unmapping takes long, and must not happen under the lock.
    let (window, isGone) = try state.update { state throws(Errno) -> (DMAWindow, Bool) in
      guard size > 0, let window = state.table.window(address, through: address &+ (size - 1))
      else { throw .noSuchFileOrDirectory }
      guard Self.close(window, &state) else {
        state.removalObserver = observer
        return (window, false)
      }
      state.table.remove(window)
      state.changes += 1
      return (window, true)
    }
    return isGone ? nil : Removal(windows: [window])
  }

  /// Takes all windows back, as soon as no access to any of them is under way.
  ///
  /// - Parameter observer: counts when ``finish(_:)`` may succeed.
  /// - Returns: nil when they are gone already.
  package func startRemovingAll(telling observer: EventFD? = nil) -> Removal? {
    let removal = state.withLock { state in
      state.removalObserver = observer
      let windows = state.table.all
      for window in windows { _ = Self.close(window, &state) }
      return Removal(windows: windows)
    }
    return finish(removal) ? nil : removal
  }

  /// Keeps new accesses out; what is not pinned after that stays so.
  ///
  /// - Returns: whether no access is under way.
  private static func close(_ window: DMAWindow, _ state: inout State) -> Bool {
    window.isClosing = true
    state.holesMayCloseUntil = Deadline.after(holePatience).instant
    return !window.isPinned
  }

  /// Removes the windows, unless an access to one of them is still under way.
  ///
  /// - Returns: whether they are gone.
  package func finish(_ removal: Removal) -> Bool {
    guard removal.windows.allSatisfy({ !$0.isPinned }) else { return false }
    state.update { state in
      for window in removal.windows { state.table.remove(window) }
      state.changes += 1
      state.holesMayCloseUntil = Deadline.after(Self.holePatience).instant
      state.removalObserver = nil
    }
    return true
  }

  /// Leaves the windows where they are, after all.
  package func cancel(_ removal: Removal) {
    state.update { state in
      for window in removal.windows { window.isClosing = false }
      state.changes += 1
      state.removalObserver = nil
    }
  }

  /// Lets go of a window; the last one to do so tells a removal that waits for it.
  func unpin(_ window: DMAWindow) {
    guard window.unpin() else { return }
    state.withLock { $0.removalObserver }?.signal()
  }
}
