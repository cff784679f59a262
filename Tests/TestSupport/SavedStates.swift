internal import Foundation

/// States that devices of earlier versions have saved, as files: every later version has to load them.
///
/// A test run with `KEEP_SAVED_STATES=1` writes those of this version.
package enum SavedStates {
  /// Devices of which there is a state.
  package static let names = ["edu", "scratch", "serial", "nvme"]

  private static let folder = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("SavedStates")

  /// The state of a device.
  package static func bytes(_ name: String) throws -> [UInt8] {
    [UInt8](try Data(contentsOf: folder.appendingPathComponent(name)))
  }

  /// Keeps a state, if this run is to write them.
  package static func keep(_ name: String, _ state: () throws -> [UInt8]) throws {
    guard ProcessInfo.processInfo.environment["KEEP_SAVED_STATES"] != nil else { return }
    try Data(try state()).write(to: folder.appendingPathComponent(name))
  }
}
