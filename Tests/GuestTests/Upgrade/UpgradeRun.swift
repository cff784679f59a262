import Foundation
import TestSupport
import Testing
import VFIOUserProgram

/// `vfio-user upgrade`, and what it says.
struct UpgradeRun: Decodable {
  /// Milliseconds.
  struct Pause: Decodable {
    let halt: Double
    let execute: Double
    let load: Double
    var total: Double { halt + execute + load }
  }

  let pause: Pause
  let devices: Int
  let count: Int

  /// Replaces the program of the process behind a socket by itself.
  static func run(_ socket: String) throws -> UpgradeRun {
    let run = try ProgramRun(GuestEnvironment.program, ["upgrade", socket, "--json"])
    guard run.exitCode == 0 else { throw HarnessError("upgrade: \(run.exitCode)\n\(run.errors)") }
    return try run.decoded()
  }

  /// Upgrades a process again and again, at random moments.
  ///
  /// - Returns: the pauses in milliseconds.
  static func repeated(_ count: Int, _ socket: String) throws -> [Double] {
    try (1...count).map { number in
      Thread.sleep(forTimeInterval: .random(in: 0...0.3))
      let upgrade = try run(socket)
      #expect(upgrade.count == number)
      return upgrade.pause.total
    }
  }
}

/// The middle and the largest of some measurements.
struct Spread: CustomStringConvertible {
  let values: [Double]

  init(_ values: [Double]) { self.values = values.sorted() }

  var description: String {
    guard let longest = values.last else { return "nothing was measured" }
    let middle = values[values.count / 2]
    return
      "median \((middle * 10).rounded() / 10) ms, longest \((longest * 10).rounded() / 10) ms of \(values.count)"
  }
}
