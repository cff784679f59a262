internal import CLinux
internal import Glibc
internal import LinuxPrimitives

/// A queue of lines for standard error.
///
/// Standard error may be a pipe that nobody reads, and a write to it would then block forever; so
/// only a dedicated thread writes, and logging never waits for it. When too much is queued, lines
/// are dropped; their number is reported as soon as a line can be written again.
final class LogQueue: Sendable, TextOutputStream {
  /// How long the end of the program waits for lines to be written.
  static let patience: Duration = .milliseconds(200)

  private struct State {
    var lines: [[UInt8]] = []
    var bytes = 0
    var dropped = 0
    var hasWriter = false
    var isWriting = false
    /// Whether lines wait until the process may have a thread.
    var isHeld = false
  }

  /// The program's standard error.
  static let standardError = LogQueue(STDERR_FILENO)

  private let descriptor: Int32
  private let capacity: Int
  private let state = Monitor(State())

  /// Creates a queue.
  ///
  /// - Parameters:
  ///   - descriptor: must stay open as long as the queue exists.
  ///   - capacity: maximum number of queued bytes.
  init(_ descriptor: Int32, capacity: Int = 256 << 10) {
    self.descriptor = descriptor
    self.capacity = capacity
  }

  /// Queues a line; never blocks.
  func write(_ line: String) {
    let bytes = Self.printable(line)
    state.update { state in
      startWriter(&state)
      guard state.hasWriter || state.isHeld, state.bytes + bytes.count <= capacity else {
        state.dropped += 1
        return
      }
      state.lines.append(bytes)
      state.bytes += bytes.count
    }
  }

  /// Lets lines wait: a process that confines itself has one thread until then.
  func hold() { state.update { $0.isHeld = !$0.hasWriter } }

  /// Writes the lines that have waited, and those to come.
  func release() {
    state.update { state in
      state.isHeld = false
      if !state.lines.isEmpty { startWriter(&state) }
    }
  }

  /// Waits until everything is written, but no longer than `time`.
  func flush(for time: Duration = LogQueue.patience) {
    release()
    _ = state.withLock(
      when: { $0.lines.isEmpty && !$0.isWriting }, before: .after(time)
    ) { _ in }
  }

  /// Registers a handler that writes the last lines when the program ends by `exit`.
  static func flushAtExit() { atexit { LogQueue.standardError.flush() } }

  private func startWriter(_ state: inout State) {
    guard !state.hasWriter, !state.isHeld else { return }
    // If the thread cannot be started, the line is dropped; the next one tries again.
    state.hasWriter = (try? DetachedThread.start("vfio-user-log") { [self] in writeAll() }) != nil
  }

  private func writeAll() {
    while true {
      let (lines, dropped) = takeAll()
      var bytes = Array(lines.joined())
      if dropped > 0 {
        bytes += Array(
          "(\(dropped) lines were dropped: nobody read them in time)\n".utf8)
      }
      put(bytes)
      state.update { $0.isWriting = false }
    }
  }

  private func takeAll() -> (lines: [[UInt8]], dropped: Int) {
    let taken = state.withLock(when: { !$0.lines.isEmpty || $0.dropped > 0 }) { state in
      defer { state = State(hasWriter: true, isWriting: true) }
      return (state.lines, state.dropped)
    }
    return taken ?? ([], 0)
  }

  private func put(_ bytes: [UInt8]) {
    var rest = bytes[...]
    while !rest.isEmpty {
      // Sound: the buffer is that of the slice and valid during the call.
      let written = unsafe rest.withUnsafeBytes {
        unsafe Glibc.write(descriptor, $0.baseAddress, $0.count)
      }
      if written > 0 {
        rest = rest.dropFirst(written)
      } else if errno == EAGAIN {
        // Somebody has set O_NONBLOCK.
        var interest = clinux_interest(
          descriptor: descriptor, wanted: Int16(CLINUX_WRITABLE), happened: 0)
        // Sound: the structure is lent for the duration of the call.
        _ = unsafe clinux_poll(&interest, 1, -1)
      } else if errno != EINTR {
        return
      }
    }
  }

  /// Escapes control characters: a line may contain text from a peer, which must not control the
  /// terminal or look like a separate line.
  static func printable(_ line: String) -> [UInt8] {
    let text = line.hasSuffix("\n") ? line.dropLast() : line[...]
    var bytes: [UInt8] = []
    for scalar in text.unicodeScalars {
      if scalar.properties.generalCategory == .control {
        bytes += Array("\\x\(hex(scalar.value, 2))".utf8)
      } else {
        bytes += Array(String(scalar).utf8)
      }
    }
    return bytes + [0x0A]
  }
}
