import Foundation
import TestSupport

/// Where QEMU, the guest's kernel and programs, and our own program are.
enum GuestEnvironment {
  /// The package.
  static let package = URL(filePath: #filePath)
    .deletingLastPathComponent()  // Harness
    .deletingLastPathComponent()  // GuestTests
    .deletingLastPathComponent()  // Tests
    .deletingLastPathComponent()

  /// The folder that Scripts/fetch-guest fills.
  static let folder = package.appending(path: ".guest")

  static let qemu = folder.appending(path: "qemu-system-x86_64")
  static let kernel = folder.appending(path: "vmlinuz")
  static let busybox = folder.appending(path: "busybox")
  /// OVMF: UEFI firmware for a virtual machine.
  static let uefi = folder.appending(path: "ovmf.fd")
  /// Dynamically linked programs for guests, with their libraries.
  static let programs = folder.appending(path: "guestroot/usr")

  /// What the folder lacks.
  static var missing: [String] {
    [qemu, kernel, busybox, programs]
      .filter { !FileManager.default.isReadableFile(atPath: $0.path) }
      .map { $0.path.replacing("\(folder.path)/", with: "") }
  }

  static var isComplete: Bool { missing.isEmpty }

  /// What to tell somebody whose guest tests are skipped.
  static var remedy: String {
    """
    \(folder.path) lacks \(missing.joined(separator: ", ")): \
    run Scripts/fetch-guest --with nvme (or make test)
    """
  }

  /// Runs one of the guest's programs on the host.
  static func run(_ program: String, _ arguments: [String]) throws {
    let libraries = programs.appending(path: "lib/x86_64-linux-gnu")
    try ToolRun.output(
      of: libraries.appending(path: "ld-linux-x86-64.so.2"),
      ["--library-path", libraries.path, programs.appending(path: "sbin/\(program)").path]
        + arguments)
  }

  /// A module of the guest's kernel.
  static func module(_ name: String) throws -> URL {
    let modules = folder.appending(path: "modules")
    let files = FileManager.default.enumerator(at: modules, includingPropertiesForKeys: nil)
    while let file = files?.nextObject() as? URL {
      if file.lastPathComponent == "\(name).ko" { return file }
    }
    throw HarnessError("\(modules.path) has no \(name).ko")
  }

  /// The program under test.
  static let program = URL.builtProgram("vfio-user")
}

extension ProgramRun {
  /// Runs `vfio-user`.
  init(
    _ arguments: [String], input: String? = nil, within timeout: Duration = .seconds(120)
  ) throws {
    try self.init(GuestEnvironment.program, arguments, input: input, within: timeout)
  }
}
