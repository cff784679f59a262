import VFIOUserProgram

/// Writes a configuration file that ``ConfigurationFile`` reads as the same devices.
enum ConfigurationWriter {
  /// - Parameter isolated: those of the devices that have a process of their own.
  static func text(
    _ devices: [DeviceRequest], isolated: [DeviceRequest] = [], logLevel: String
  ) -> String {
    var lines = ["log-level = \(quoted(logLevel))"]
    for device in devices {
      let isolation = isolated.contains(device) ? ["isolation = \"process\""] : []
      lines += ["", "[[\(device.kind)]]"] + isolation + entries(of: device)
    }
    return lines.map { $0 + "\n" }.joined()
  }

  private static func entries(of device: DeviceRequest) -> [String] {
    let kind = ConfiguredDevice.kinds.first { $0.name == device.kind }
    let keys = kind.map { ConfigurationKey.keys(of: $0.command) } ?? []
    var lines: [String] = []
    var lists: [String: [String]] = [:]
    for argument in device.arguments {
      let parts = argument.drop { $0 == "-" }.split(separator: "=", maxSplits: 1)
      guard let name = parts.first.map(String.init) else { continue }
      let value = parts.count > 1 ? String(parts[1]) : ""
      switch keys.first(where: { $0.name == name })?.kind {
      case .flag: lines.append("\(name) = true")
      // TOML has no leading zeros.
      case .amount where Int(value) == nil: lines.append("\(name) = \(quoted(value))")
      case .number, .amount: lines.append("\(name) = \(Int(value).map { "\($0)" } ?? value)")
      case .list: lists[name, default: []].append("  \(quoted(value)),")
      case .text, nil: lines.append("\(name) = \(quoted(value))")
      }
    }
    for (name, values) in lists.sorted(by: { $0.key < $1.key }) {
      lines += ["\(name) = ["] + values + ["]"]
    }
    return lines
  }

  /// A basic string of TOML.
  static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case "\t": result += "\\t"
      case _ where scalar.value < 0x20 || scalar.value == 0x7F:
        result += "\\u" + hex(scalar.value, 4)
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }
}
