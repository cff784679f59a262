package import Foundation

extension Process {
  /// Starts the program and closes the files that were meant for it.
  ///
  /// Foundation keeps a `Process` and its files long after the program has ended; a run of all tests would have
  /// hundreds of open descriptors, which every program that a test starts inherits.
  package func runClosingFiles() throws {
    let files = [standardInput, standardOutput, standardError].compactMap { $0 as? FileHandle }
    if environment == nil {
      // A system call that the sandbox's list has forgotten ends the program, so that a test sees it.
      environment = ProcessInfo.processInfo.environment.merging(["VFIO_USER_SANDBOX_KILL": "1"]) {
        $1
      }
    }
    try run()
    // What is not set is this process's own.
    for file in files where file !== FileHandle.nullDevice && file.fileDescriptor > 2 {
      try? file.close()
    }
  }
}
