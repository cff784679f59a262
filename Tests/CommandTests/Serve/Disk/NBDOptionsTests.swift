import ArgumentParser
import Foundation
import NVMeDevice
import TestSupport
import Testing
import VFIOUserProgram

@testable import vfio_user

@Suite(.timeLimit(.minutes(1))) struct `A disk on an NBD export on the command line` {
  private func disk(_ arguments: String...) throws -> DiskOptions {
    let command = try Serve.parseAsRoot(["nvme", "--socket", "/tmp/a"] + arguments)
    return try #require(command as? ServeNVMe).disk
  }

  private func refusal(_ arguments: String...) -> String {
    do {
      _ = try Serve.parseAsRoot(["nvme", "--socket", "/tmp/a"] + arguments)
      return ""
    } catch {
      return Serve.message(for: error)
    }
  }

  private func serve(_ arguments: String...) throws -> ProgramRun {
    try ProgramRun(.builtProgram("vfio-user"), ["serve"] + arguments, within: .seconds(20))
  }

  @Test func `Is one of the places for data`() throws {
    let disk = try disk("--nbd", "nbd://host/x", "--nbd-connections", "3", "--nbd-replay", "0")
    #expect(try disk.namespaces().map(\.nbd) == ["nbd://host/x"])
    let settings = try disk.server.settings()
    #expect(settings.connections == 3 && settings.replay == 0 && settings.timeout == .seconds(25))
    let described = try NamespaceOptions(parsing: "nbd=nbd://host/a,,b,read-only")
    #expect(described.nbd == "nbd://host/a,b" && described.readOnly == true)
    #expect(described.description == "nbd=nbd://host/a,,b,read-only")
    #expect(refusal("--nbd", "nbd://host/", "--file", "a").contains("say where the data is"))
    #expect(refusal("--nbd", "nbd://host/", "--size", "1G").contains("its server gives it"))
    #expect(refusal("--nbd", "disk.img").contains("is not the address of an NBD export"))
    #expect(refusal("--namespace", "nbd=nbd://host/,size=1G").contains("leave out"))
    #expect(refusal("--nbd", "nbd://h/", "--nbd-connections", "17").contains("1 to 16"))
    #expect(refusal("--nbd", "nbd://h/", "--nbd-timeout", "0").contains("1 to 86400"))
    #expect(refusal("--nbd", "nbd://h/", "--nbd-replay", "much").contains("--nbd-replay"))
  }

  @Test func `Is a key of a configuration file, and one export is for one disk`() throws {
    let folder = try ScratchFolder()
    func file(_ second: String) throws -> String {
      let path = folder.path("devices.toml")
      try """
      [[nvme]]
      socket = "a"
      nbd = "nbd://host/x"
      nbd-timeout = 5
      [[nvme]]
      socket = "b"
      namespace = [{ nbd = "\(second)" }]
      """.write(toFile: path, atomically: true, encoding: .utf8)
      return path
    }
    let devices = try ConfigurationFile(at: file("nbd://host/y")).devices
    let disks = devices.compactMap { ($0.command as? ServeNVMe)?.disk }
    #expect(disks.first?.server.nbdTimeout == 5)
    #expect(try disks.last?.namespaces().first?.nbd == "nbd://host/y")
    #expect(throws: ConfigurationError.self) {
      _ = try ConfigurationFile(at: file("nbds://bob@HOST:10809/x"))
    }
  }

  @Test(.enabled(if: NBDServer.isBuilt, "the package was built without NBD"))
  func `Says what is wrong when there is no server, and ends with 1`() throws {
    let folder = try ScratchFolder()
    let run = try serve(
      "nvme", "--socket", folder.path("a"), "--nbd", "nbd+unix:///?socket=\(folder.path("no"))")
    #expect(run.exitCode == 1)
    #expect(run.errors.contains("nobody listens there"))
    let unknown = try serve("nvme", "--socket", folder.path("a"), "--nbd", "nbd://no.invalid/")
    #expect(unknown.exitCode == 1 && unknown.errors.contains("the host no.invalid is not known"))
  }

  @Test(.enabled(if: !NBDServer.isBuilt, "the package was built with NBD"))
  func `Says what to install when it was built without NBD, and ends with 1`() throws {
    let folder = try ScratchFolder()
    let run = try serve(
      "nvme", "--socket", folder.path("a"), "--nbd", "nbd+unix:///?socket=\(folder.path("no"))")
    #expect(run.exitCode == 1)
    #expect(run.errors.contains("this build has no NBD: install libnbd-dev and build again"))
  }
}
