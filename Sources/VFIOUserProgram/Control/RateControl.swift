package import VFIOUserServer

/// How the rate limits of a device are shown, and changed while it runs.
package struct RateControl {
  /// The limits in force, as rows of `limits`.
  let shown: (any Device) -> [ProcessLimits.Limit]
  /// Changes limits that are called by their names, and throws what is wrong with one; then nothing has changed.
  let change: (any Device, [String: String]) throws -> Void

  package init(
    shown: @escaping (any Device) -> [ProcessLimits.Limit],
    change: @escaping (any Device, [String: String]) throws -> Void
  ) {
    self.shown = shown
    self.change = change
  }
}

/// The parameters of `limit`.
package struct LimitParameters: Codable, Sendable {
  package var socket: String
  /// Rates by the names of their limits, as the options `--limit-NAME` take them, and "off" for none.
  package var limits: [String: String]

  package init(socket: String, limits: [String: String]) {
    self.socket = socket
    self.limits = limits
  }

  package init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: CodingKeys.self)
    socket = try container.decode(String.self, forKey: .socket)
    let values = try container.decode([String: JSONValue].self, forKey: .limits)
    limits = values.mapValues { value in
      switch value {
      case .text(let text): text
      case .null: "off"
      default: "\(value)"
      }
    }
  }
}

extension OpenDevice {
  /// Changes rate limits.
  func limit(_ limits: [String: String]) throws {
    guard let rates = files.rates else {
      throw CommandError("the device on \(socketName) has no rate limits")
    }
    try rates.change(running.device, limits)
  }
}

extension DeviceRequest {
  /// The request for the same device with other rate limits.
  func limited(by limits: [String: String]) -> DeviceRequest {
    var request = self
    for (name, rate) in limits {
      let option = "--limit-\(name)="
      request.arguments.removeAll { $0.hasPrefix(option) }
      guard rate != "off" else { continue }
      let place = request.arguments.firstIndex { $0 > option } ?? request.arguments.endIndex
      request.arguments.insert(option + rate, at: place)
    }
    return request
  }
}
