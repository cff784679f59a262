import ArgumentParser
import LinuxPrimitives
import SystemPackage
import VFIOUserClient
import VFIOUserProgram

/// The processors on which something is measured.
struct ProcessorOptions: ParsableArguments {
  @Option(help: ArgumentHelp("Run on this processor only.", valueName: "number"))
  var cpu: Int?

  @Option(
    help: ArgumentHelp(
      "Until the end, have the device's process run on this processor only. It has to be yours.",
      valueName: "number"))
  var deviceCPU: Int?

  func validate() throws {
    guard cpu ?? 0 >= 0, deviceCPU ?? 0 >= 0 else {
      throw ValidationError("--cpu and --device-cpu take the number of a processor, from 0.")
    }
  }

  /// Moves the calling thread, and what it starts from here on.
  func moveThisThread() throws {
    guard let cpu else { return }
    do {
      try ProcessorAffinity([cpu]).apply()
    } catch {
      let usable = (try? ProcessorAffinity())?.processors.map(String.init) ?? []
      throw CommandError(
        "processor \(cpu) cannot be used (\(error)); this process may use \(usable.joined(separator: ", "))."
      )
    }
  }

  /// Moves the processes that listen at the other end of connections.
  ///
  /// - Parameter devices: the path of each, and who listens there.
  /// - Returns: what undoes it at its end.
  func moveDevices(_ devices: [(path: String, peer: PeerCredentials?)]) throws -> [PinnedProcess] {
    guard let deviceCPU else { return [] }
    // Two devices may be in one process, which is put back once.
    let processes = try Set(devices.map { try Self.process(of: $0.path, $0.peer) })
    return try processes.map { try PinnedProcess($0, to: deviceCPU) }
  }

  private static func process(of path: String, _ peer: PeerCredentials?) throws -> Int32 {
    guard let peer, peer.process > 0 else {
      throw CommandError(
        "\(path): the device's process cannot be seen from here; leave --device-cpu out.")
    }
    guard peer.process != 1 else {
      throw CommandError(
        "\(path): systemd listens there for the device, so its process is not known; leave --device-cpu out and use CPUAffinity= of its unit."
      )
    }
    return peer.process
  }
}
