import CLinux
import FoundationEssentials
import LinuxPrimitives
import SystemPackage
import VFIOUserInspection
import VFIOUserProgram
import VFIOUserTransport

/// `vfio-user trace --listen --connect`: forwards, shows and records until it is interrupted.
struct LiveTrace {
  let listen: FilePath
  let connect: FilePath
  let mode: FilePermissions
  let once: Bool
  var output: TraceOutput
  private var file: CaptureFile?

  /// How long what is in flight may take at the end.
  private static let patience = Duration.seconds(2)
  private static let refreshInterval: UInt64 = 500_000_000

  private enum Finish { case interrupted, clientGone, cannotAccept }

  /// Traces until the end.
  ///
  /// - Parameter openRecording: called when nothing stands in the way any more, so that a failure leaves
  ///   no file and empties none.
  mutating func run(_ openRecording: () throws -> CaptureFile?) throws {
    try Interruption.watch()
    _ = clinux_raise_descriptor_limit()
    let listener: ListeningSocket
    do {
      listener = try ListeningSocket(path: listen, mode: mode)
    } catch {
      throw CommandError("\(error)")
    }
    file = try openRecording()
    let queue = TraceQueue(file == nil ? .drop : .wait)
    let proxy = try Proxy(listener, to: connect, queue)
    try DetachedThread.start("trace-accept") { proxy.run() }
    note("tracing: clients connect to \(listen), the server is at \(connect)")
    noteAbsence()
    var reader = TraceReader()
    let finish = try follow(queue, &reader)
    proxy.stop(within: Self.patience)
    queue.close()
    while let items = queue.next(before: .after(.seconds(1))) { try take(items, &reader) }
    file?.flush()
    try output.finish()
    try conclude(reader, queue, finish)
  }

  /// The server may come later, but the path may also be mistyped.
  private func noteAbsence() {
    guard !FileManager.default.fileExists(atPath: connect.string) else { return }
    note("there is no server at \(connect) yet; clients are disconnected until there is one")
  }

  private mutating func follow(_ queue: TraceQueue, _ reader: inout TraceReader) throws -> Finish {
    var refreshAt: UInt64 = 0
    while !Interruption.hasCome {
      guard let items = queue.next(before: .after(.milliseconds(200))) else { break }
      if let finish = try take(items, &reader) { return finish }
      guard Deadline.now >= refreshAt else { continue }
      refreshAt = Deadline.now + Self.refreshInterval
      output.refresh()
    }
    return .interrupted
  }

  /// - Returns: why the trace has to end, if it has to.
  @discardableResult
  private mutating func take(
    _ items: [TraceQueue.Item], _ reader: inout TraceReader
  ) throws -> Finish? {
    var finish: Finish?
    for item in items {
      for outcome in reader.take(item) {
        switch outcome {
        case .message(let checked):
          record(checked.message)
          try output.add(checked)
        case .event(let event):
          output.add(event)
          if case .closed = event, once { finish = .clientGone }
          if case .refused = event, once { finish = .clientGone }
          if case .stopped = event { finish = .cannotAccept }
        }
      }
    }
    file?.flush()
    noteFailure()
    output.flush()
    return finish
  }

  private var hasSaidFailure = false

  private func record(_ message: TracedMessage) { file?.add(message) }

  /// A full disk ends the recording, not the trace.
  private mutating func noteFailure() {
    guard let failure = file?.failure, !hasSaidFailure else { return }
    hasSaidFailure = true
    note(
      "the recording ends here: \(failure). It has \(file?.count ?? 0) messages; forwarding goes on."
    )
  }

  private func conclude(_ reader: TraceReader, _ queue: TraceQueue, _ finish: Finish) throws {
    let lost = reader.dropped + queue.droppedSince
    if lost > 0 {
      note("\(lost) pieces were forwarded but not shown: this program was too slow for them")
    }
    let plural = output.violations == 1 ? "" : "s"
    note("\(output.messages) messages, \(output.violations) violation\(plural)")
    if let failure = file?.failure {
      throw CommandError("the recording is not complete: \(failure)")
    }
    if let failure = output.failure, failure != .brokenPipe {
      throw CommandError("what was shown is not complete: \(failure)")
    }
    if finish == .cannotAccept {
      throw CommandError("no more clients can be accepted on \(listen)")
    }
  }

  init(
    listen: String, connect: String, mode: FilePermissions, once: Bool, output: TraceOutput
  ) {
    self.listen = FilePath(listen)
    self.connect = FilePath(connect)
    self.mode = mode
    self.once = once
    self.output = output
  }
}
