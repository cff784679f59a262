internal import CLinux
internal import Glibc
internal import LinuxPrimitives

/// The trial of a new program in a child process: it starts with our arguments, reads what it would take over, and says
/// yes.
struct Trial {
  /// How long a new program may take.
  static let patience: Duration = .seconds(10)
  /// What a program prints that says yes.
  static let yes = "vfio-user-upgrade: yes"
  /// Maximum number of bytes of its output that are kept.
  private static let maxOutput = 16 << 10

  /// What is executed.
  let file: String
  /// What it is called.
  let path: String

  /// Runs the trial.
  ///
  /// - Parameter record: the memory file with what would be handed over.
  /// - Throws: ``CommandError`` with the reason if the program does not say yes in time.
  func run(_ record: borrowing OwnedDescriptor) throws {
    var ends: [Int32] = [-1, -1]
    // Sound: the array has two elements.
    let failure = unsafe clinux_pipe(&ends)
    guard failure == 0 else {
      throw CommandError("no pipe for the trial: \(Errno(rawValue: -failure))")
    }
    let input = OwnedDescriptor(adopting: ends[0])
    let child = Self.start(file, record, OwnedDescriptor(adopting: ends[1]))
    guard child > 0 else {
      throw CommandError(
        "\(path) cannot be executed: \(Errno(rawValue: -child))\(child == -EACCES && file != path ? Self.remedy : "")"
      )
    }
    let deadline = Deadline.after(Self.patience)
    let output = Self.read(input, before: deadline)
    guard let status = Self.wait(for: child, before: deadline) else {
      clinux_kill_child(child)
      throw CommandError("\(path) did not say within \(Self.patience) whether it can take over")
    }
    let lines = output.split(separator: "\n").map(String.init)
    guard status == 0, lines.contains(where: { $0.hasPrefix(Self.yes) }) else {
      throw CommandError(Self.refusal(path, status, lines))
    }
  }

  /// What else may be refused in a sandbox.
  private static let remedy =
    ". A confined process executes no scripts, and no program whose loader was replaced since it was started: start it again then"

  /// - Returns: the process ID of the child, or the error.
  private static func start(
    _ path: String, _ file: borrowing OwnedDescriptor, _ output: consuming OwnedDescriptor
  ) -> Int32 {
    // Sound: the strings are lent for the call.
    unsafe clinux_start_trial(
      path, UpgradeVariable.trial(file: file.number).text, file.number, output.number)
  }

  /// What the child prints first, until it closes its output.
  private static func read(_ input: borrowing OwnedDescriptor, before deadline: Deadline) -> String
  {
    var bytes: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 4096)
    while !deadline.hasPassed {
      var interest = clinux_interest(
        descriptor: input.number, wanted: Int16(CLINUX_READABLE), happened: 0)
      // Sound: the structure is lent for the call; the count is that of the array.
      guard unsafe clinux_poll(&interest, 1, deadline.remaining) > 0 else { continue }
      let count = unsafe Glibc.read(input.number, &piece, piece.count)
      guard count > 0 else { break }
      // It may say more than is kept, and must not wait for a reader then.
      bytes += piece[..<min(count, maxOutput - bytes.count)]
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// - Returns: the exit code or minus the signal; nil if the child still runs at the deadline.
  private static func wait(for child: Int32, before deadline: Deadline) -> Int32? {
    while true {
      var status: Int32 = 0
      // Sound: the number is lent for the call.
      let ended = unsafe clinux_child_ended(child, &status)
      if ended == 1 { return clinux_exit_code(status) }
      if ended < 0 { return -1 }
      guard !deadline.hasPassed else { return nil }
      usleep(1000)
    }
  }

  private static func refusal(_ path: String, _ status: Int32, _ lines: [String]) -> String {
    let end =
      switch status {
      case 0:
        "ended without a yes; is it a program that serves devices, in a version with upgrades?"
      case ..<0: "was ended by signal \(-status)"
      default: "ended with exit code \(status)"
      }
    let said = lines.last { !$0.isEmpty }.map { "; it said: \($0)" } ?? ""
    return "\(path) \(end)\(said)"
  }
}
