import ArgumentParser
import Foundation
import LinuxPrimitives
import TestSupport
import Testing
import VFIOUserProgram

@testable import vfio_user

@Suite(.timeLimit(.minutes(1))) struct `A bench on chosen processors` {
  /// The processors of all threads of a process.
  private func processors(of process: Int32) throws -> Set<[Int]> {
    let threads = try FileManager.default.contentsOfDirectory(atPath: "/proc/\(process)/task")
    return Set(
      threads.compactMap { Int32($0) }.compactMap { try? ProcessorAffinity(of: $0).processors })
  }

  private static let disk = ["nvme", "--memory", "1M"]

  @Test(arguments: [["bench"], ["nvme", "bench"]])
  func `All threads of the device are moved until the end, and the bench itself too`(
    command: [String]
  ) throws {
    let all = try ProcessorAffinity().processors
    let chosen = try #require(all.last)
    let served = try ServedProcess(Self.disk)
    let device = served.process.processID
    let bench = try ChildProcess(
      .builtProgram("vfio-user"),
      command + [
        served.socket, "--seconds", "30", "--cpu", "\(chosen)", "--device-cpu", "\(chosen)",
      ],
      log: served.path("bench.log"))
    #expect(eventually { (try? processors(of: device)) == [[chosen]] })
    #expect(eventually { (try? ProcessorAffinity(of: bench.processID).processors) == [chosen] })
    bench.send(SIGINT)
    #expect(try bench.exitCode() == 130)
    #expect(try processors(of: device) == [all])
  }

  @Test(arguments: ["--cpu", "--device-cpu"])
  func `A processor that does not exist is refused with those that do`(option: String) throws {
    let served = try ServedProcess(Self.disk)
    let run = try served.run("bench", "--seconds", "0.02", option, "8000")
    #expect(run.exitCode == 1 && run.errors.contains("processor 8000"), "\(run.errors)")
    #expect(try processors(of: served.process.processID) == [ProcessorAffinity().processors])
  }

  @Test func `Two devices of one process are put back to where they were`() throws {
    let all = try ProcessorAffinity().processors
    let options = try ProcessorOptions.parse(["--device-cpu", "\(all[0])"])
    let served = try ServedProcess(Self.disk)
    let device = served.process.processID
    let peer = PeerCredentials(process: device, user: 0)
    var pinned = try options.moveDevices([("one", peer), ("other", peer)])
    #expect(pinned.count == 1)
    #expect(try processors(of: device) == [[all[0]]])
    pinned = []
    #expect(try processors(of: device) == [all])
  }

  @Test(arguments: [nil, 0, 1] as [Int32?])
  func `A process that may not be the device's is left alone`(process: Int32?) throws {
    let options = try ProcessorOptions.parse(["--device-cpu", "0"])
    #expect(throws: CommandError.self) {
      _ = try options.moveDevices([("a", process.map { PeerCredentials(process: $0, user: 0) })])
    }
  }
}
