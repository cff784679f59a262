import FoundationEssentials
import VFIOUserProgram

/// The dissector for Wireshark and tshark: a script in Lua for packets of LINKTYPE_USER0.
enum Dissector {
  /// The script.
  static var source: String {
    [fields, tables, payloads, features, matching].joined(separator: "\n")
  }

  static let fileName = "vfio-user.lua"

  /// Writes the script to where this user's Wireshark looks for it.
  ///
  /// - Returns: what to tell the user.
  static func install() throws -> String {
    let home = ProcessInfo.processInfo.environment["HOME"] ?? ""
    guard home.hasPrefix("/") else { throw CommandError("HOME is not set; use --dissector > FILE") }
    let folder = "\(home)/.local/lib/wireshark/plugins"
    do {
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
      try source.write(toFile: "\(folder)/\(fileName)", atomically: true, encoding: .utf8)
    } catch {
      throw CommandError("cannot write \(folder)/\(fileName); use --dissector > FILE")
    }
    return """
      \(folder)/\(fileName) is installed. Wireshark and tshark load it when they start; those that run \
      load it with Analyze, Reload Lua Plugins.
      """
  }
}
