/// What an upgrade was.
package struct UpgradeResult: Codable, Sendable {
  /// The versions before and after.
  package var from: String
  package var to: String
  package var pause: UpgradePause
  /// Number of devices that were handed over.
  package var devices: Int
  /// Number of upgrades of the process, this one included.
  package var count: Int
}

/// From the moment at which the devices were halted until they went on, in milliseconds.
package struct UpgradePause: Codable, Sendable, CustomStringConvertible {
  /// Until all devices were at rest and written down.
  package let halt: Double
  /// Until the new program ran: what the kernel needs to end the threads and memory of the old one, and the loader.
  package let execute: Double
  /// Until the new program had loaded the devices.
  package let load: Double

  package var total: Double { halt + execute + load }

  /// - Parameters: moments, in nanoseconds of the monotonic clock.
  init(began: UInt64, written: UInt64, started: UInt64, done: UInt64) {
    func milliseconds(_ from: UInt64, _ to: UInt64) -> Double {
      (Double(to) - Double(from)) / 1e6
    }
    halt = milliseconds(began, written)
    execute = milliseconds(written, started)
    load = milliseconds(started, done)
  }

  package var description: String {
    "\(Self.text(total)) ms (halt \(Self.text(halt)), execute \(Self.text(execute)), load \(Self.text(load)))"
  }

  private static func text(_ milliseconds: Double) -> String {
    "\((milliseconds * 10).rounded() / 10)"
  }
}
