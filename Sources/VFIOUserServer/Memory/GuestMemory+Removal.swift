internal import LinuxPrimitives
package import SystemPackage

// A DMA_UNMAP is started, and is finished or cancelled later; no step blocks. All of it runs on the session's
// thread, which alone changes the windows.

extension GuestMemory {
  /// Windows that are being removed while accesses to them are in progress; no new access to them begins.
  ///
  /// It ends with ``finish(_:)``, ``cancel(_:)``, or the end of the client.
  package struct Removal {
    fileprivate let windows: [DMAWindow]

    /// The windows that are still being accessed.
    package var busyWindows: [GuestRange] {
      windows.filter(\.isPinned).map { GuestRange(address: $0.address, count: $0.size) }
    }
  }

  /// Removes the window with exactly this range; if accesses to it are in progress, starts to remove it.
  ///
  /// - Parameter observer: signalled when ``finish(_:)`` may succeed.
  /// - Returns: nil if it is removed already.
  /// - Throws: `ENOENT` if there is no such window.
  package func startRemoving(
    address: UInt64, size: UInt64, telling observer: EventFD? = nil
  ) throws(Errno) -> Removal? {
    // The window leaves the lock in any case, because unmapping takes long.
    let (window, isGone) = try state.update { state throws(Errno) -> (DMAWindow, Bool) in
      guard size > 0, let window = state.table.window(address, through: address &+ (size - 1))
      else { throw .noSuchFileOrDirectory }
      guard close(window, &state) else {
        state.removalObserver = observer
        return (window, false)
      }
      state.table.remove(window)
      state.changes += 1
      return (window, true)
    }
    return isGone ? nil : Removal(windows: [window])
  }

  /// Removes all windows; if accesses to some are in progress, starts to remove all.
  ///
  /// - Parameter observer: signalled when ``finish(_:)`` may succeed.
  /// - Returns: nil if they are removed already.
  package func startRemovingAll(telling observer: EventFD? = nil) -> Removal? {
    let removal = state.withLock { state in
      state.removalObserver = observer
      let windows = state.table.all
      for window in windows { _ = close(window, &state) }
      return Removal(windows: windows)
    }
    return finish(removal) ? nil : removal
  }

  /// Closes a window for new accesses; if it is not pinned then, it stays unpinned.
  ///
  /// - Returns: whether no access is in progress.
  private func close(_ window: DMAWindow, _ state: inout State) -> Bool {
    window.isClosing = true
    endAccesses()
    state.holesMayCloseUntil = Deadline.after(Self.holePatience).instant
    return !window.isPinned
  }

  /// Removes the windows, unless an access to one of them is still in progress.
  ///
  /// - Returns: whether they were removed.
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

  /// Opens the windows again.
  package func cancel(_ removal: Removal) {
    state.update { state in
      for window in removal.windows { window.isClosing = false }
      state.changes += 1
      state.removalObserver = nil
    }
  }

  /// Unpins a window; the last unpin of a window that is being removed signals the observer.
  func unpin(_ window: DMAWindow) {
    guard window.unpin() else { return }
    state.withLock { $0.removalObserver }?.signal()
  }
}
