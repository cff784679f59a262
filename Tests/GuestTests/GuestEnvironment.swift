import Foundation

/// Where QEMU, the guest's kernel and our own program are.
enum GuestEnvironment {
  /// The folder that Scripts/fetch-guest fills.
  static let folder = URL(filePath: #filePath)
    .deletingLastPathComponent()  // GuestTests
    .deletingLastPathComponent()  // Tests
    .deletingLastPathComponent()
    .appending(path: ".guest")

  static let qemu = folder.appending(path: "qemu-system-x86_64")
  static let kernel = folder.appending(path: "vmlinuz")
  static let busybox = folder.appending(path: "busybox")

  /// What the folder lacks.
  static var missing: [String] {
    [qemu, kernel, busybox]
      .filter { !FileManager.default.isReadableFile(atPath: $0.path) }
      .map(\.lastPathComponent)
  }

  static var isComplete: Bool { missing.isEmpty }

  /// What to tell somebody whose guest tests are skipped.
  static var remedy: String {
    "\(folder.path) lacks \(missing.joined(separator: ", ")): run Scripts/fetch-guest (or make test)"
  }

  /// The program under test: SwiftPM builds it next to the test bundle, which is this process.
  static let program = URL(filePath: "/proc/self/exe")
    .resolvingSymlinksInPath()
    .deletingLastPathComponent()
    .appending(path: "vfio-user")
}
