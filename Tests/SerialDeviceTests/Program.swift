import CLinux
import Glibc
import SystemPackage
import TestSupport
import VFIOUserTransport

/// A program at the far end of the cable.
final class Program: Sendable {
  private let input: OwnedDescriptor
  private let output: OwnedDescriptor

  /// F_SETPIPE_SZ, which Glibc does not import.
  private static let setPipeSize: Int32 = 1031

  init(reading input: consuming OwnedDescriptor, writing output: consuming OwnedDescriptor) {
    // A port takes 16 bytes in a millisecond: what the kernel keeps is to be little. One of the two fails, or both.
    _ = clinux_set_send_buffer(output.number, 8 << 10)
    _ = fcntl(output.number, Self.setPipeSize, 4096)
    for number in [input.number, output.number] { _ = clinux_set_nonblocking(number, 1) }
    self.input = input
    self.output = output
  }

  /// Opens a pseudo-terminal, without making it the controlling one (O_NOCTTY).
  convenience init(at terminal: FilePath) throws {
    let options = FileDescriptor.OpenOptions(rawValue: 0o400)
    let number = try FileDescriptor.open(terminal, .readWrite, options: options).rawValue
    let descriptor = OwnedDescriptor(adopting: number)
    self.init(reading: try descriptor.duplicate(), writing: descriptor)
  }

  convenience init(connectingTo path: FilePath) throws {
    let number = try checked("connect", unsafe clinux_connect(path.string, 1_000_000_000))
    let descriptor = OwnedDescriptor(adopting: number)
    self.init(reading: try descriptor.duplicate(), writing: descriptor)
  }

  /// Writes until nothing more is taken for as long as `patience`.
  ///
  /// - Returns: how many bytes were taken.
  func write(_ bytes: [UInt8], patience: Duration = .seconds(10)) -> Int {
    let file = FileDescriptor(rawValue: output.number)
    var done = 0
    while done < bytes.count {
      let put = unsafe bytes.withUnsafeBytes { whole in
        unsafe try? file.write(UnsafeRawBufferPointer(rebasing: whole[done...]))
      }
      done += put ?? 0
      if put == nil, !wait(output.number, CLINUX_WRITABLE, patience) { break }
    }
    return done
  }

  /// Reads until `count` bytes are there, the stream ends, or nothing comes for `patience`.
  func read(_ count: Int, patience: Duration = .seconds(10)) -> [UInt8] {
    let file = FileDescriptor(rawValue: input.number)
    var bytes: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 4096)
    while bytes.count < count {
      let wanted = min(piece.count, count - bytes.count)
      let got = unsafe piece.withUnsafeMutableBytes {
        unsafe try? file.read(into: UnsafeMutableRawBufferPointer(rebasing: $0[..<wanted]))
      }
      if got == 0 { break }
      bytes += piece[..<(got ?? 0)]
      if got == nil, !wait(input.number, CLINUX_READABLE, patience) { break }
    }
    return bytes
  }

  /// Ends one direction of a socket: SHUT_RD, SHUT_WR.
  func shut(_ direction: CInt) { _ = shutdown(output.number, direction) }

  private func wait(_ number: Int32, _ wanted: Int32, _ patience: Duration) -> Bool {
    var interest = clinux_interest(descriptor: number, wanted: Int16(wanted), happened: 0)
    return unsafe clinux_poll(&interest, 1, Deadline.after(patience).remaining) > 0
  }
}

/// Both ends of a pipe.
struct Pipe: ~Copyable {
  let reading: OwnedDescriptor
  let writing: OwnedDescriptor

  init() throws {
    let ends = try FileDescriptor.pipe()
    reading = OwnedDescriptor(adopting: ends.readEnd.rawValue)
    writing = OwnedDescriptor(adopting: ends.writeEnd.rawValue)
  }
}

/// Runs something on another thread; `finish` waits for what it returns.
final class Parallel<Result: Sendable>: Sendable {
  private let result = Monitor<Result?>(nil)

  init(_ body: @escaping @Sendable () -> Result) throws {
    let result = result
    try DetachedThread.start("test") {
      let value = body()
      result.update { $0 = value }
    }
  }

  func finish() -> Result? {
    result.withLock(when: { $0 != nil }, before: .after(.seconds(60))) { $0 } ?? nil
  }
}
