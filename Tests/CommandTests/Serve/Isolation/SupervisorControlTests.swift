import Foundation
import Glibc
import SystemPackage
import TestSupport
import Testing
import VFIOUserClient
import VFIOUserProgram

@Suite(.timeLimit(.minutes(2))) struct `A supervisor with a control socket` {
  @Test func `Devices come and go with their processes`() throws {
    let devices = try SupervisedDevices("[[edu]]\nsocket = \"one\"")
    let socket = devices.path("two")
    let added = try devices.ctl("add", "nvme", "--socket", socket, "--memory", "1M")
    #expect(added.exitCode == 0 && added.text.contains("-device"), "\(added.errors)")
    let process = try devices.process(of: "two")
    #expect(process > 0)
    let taken = try devices.ctl("add", "edu", "--socket", socket)
    #expect(taken.exitCode == 1 && taken.errors.contains("taken"), "\(taken.errors)")
    let broken = try devices.ctl(
      "add", "nvme", "--socket", devices.path("x"), "--file", "/nowhere/x")
    #expect(broken.exitCode == 1 && broken.errors.contains("/nowhere"), "\(broken.errors)")
    #expect(try devices.list().count == 2)
    let client = try devices.client("two")
    _ = try client.deviceInfo()
    let refused = try devices.ctl("remove", socket)
    #expect(refused.exitCode == 1 && refused.errors.contains("force"), "\(refused.errors)")
    #expect(try devices.process(of: "two") == process, "\(devices.process.whatItSaid)")
    #expect(try devices.ctl("remove", socket, "--force").exitCode == 0)
    #expect(eventually { !isAlive(process) })
    #expect(!FileManager.default.fileExists(atPath: socket))
    #expect(try devices.list().map(\.socket) == [devices.path("one")])
  }

  @Test func `A disk is measured, made larger, and told by its process`() throws {
    let devices = try SupervisedDevices(
      "[[nvme]]\nsocket = \"one\"\nfile = \"image\"\nsize = \"1M\"")
    let socket = devices.path("one")
    #expect(try devices.ctl("resize", socket, "--size", "3M").exitCode == 0)
    let size = try FileManager.default.attributesOfItem(atPath: devices.path("image"))[.size]
    #expect(size as? Int == 3 << 20)
    #expect(try devices.ctl("stats").text.contains("nvme \(socket)"))
    #expect(try devices.ctl("limits", socket).text.contains("descriptors"))
    #expect(try devices.ctl("log-level", "debug").text == "debug\n")
    _ = try devices.client("one").deviceInfo()
    #expect(eventually { devices.process.whatItSaid.contains("a client connected") })
    let text = try devices.ctl("configuration").text
    #expect(text.contains("isolation = \"process\"") && text.contains(socket), "\(text)")
  }

  @Test func `Rate limits that were changed hold when the process of the disk starts again`() throws
  {
    let devices = try SupervisedDevices(
      "[[nvme]]\nsocket = \"one\"\nmemory = \"1M\"\nlimit-ops = 1000")
    let socket = devices.path("one")
    let refused = try devices.ctl("limits", socket, "--ops", "0")
    #expect(refused.exitCode != 0)
    let shown = try devices.ctl("limits", socket, "--ops", "2000/7000")
    #expect(shown.text.contains("7000"), "\(shown.errors)")
    #expect(try devices.ctl("configuration").text.contains("limit-ops = \"2000/7000\""))
    let process = try devices.process(of: "one")
    kill(process, SIGKILL)
    #expect(
      eventually(within: .seconds(20)) {
        guard let now = try? devices.process(of: "one"), now > 0, now != process else {
          return false
        }
        return (try? devices.ctl("limits", socket).text.contains("7000")) == true
      })
  }

  @Test func `A process that does not answer holds up nobody for long`() throws {
    let devices = try SupervisedDevices(
      "[[edu]]\nsocket = \"one\"\n[[edu]]\nsocket = \"two\"")
    let stopped = try devices.process(of: "one")
    kill(stopped, SIGSTOP)
    let began = ContinuousClock.now
    let list = try devices.list()
    #expect(ContinuousClock.now - began < .seconds(6))
    #expect(list.first { $0.socket == devices.path("one") }?.notice?.contains("not answer") == true)
    #expect(list.first { $0.socket == devices.path("two") }?.notice == nil)
    kill(stopped, SIGCONT)
  }

  @Test func `A client of a device may change nothing`() throws {
    let devices = try SupervisedDevices("[[edu]]\nsocket = \"one\"")
    let caller = try ControlClient(path: devices.control)
    let level = JSONValue.object(["level": .text("debug")])
    _ = try caller.call("log-level", level)
    let client = try devices.client("one")
    _ = try client.deviceInfo()
    let error = #expect(throws: CommandError.self) { try caller.call("log-level", level) }
    #expect("\(error as Any)".contains("client"))
    _ = try client.deviceInfo()
  }

  @Test func `Devices without a process of their own share one`() throws {
    let devices = try SupervisedDevices(
      """
      [[edu]]
      socket = "one"
      [[edu]]
      socket = "two"
      isolation = "none"
      [[scratch]]
      socket = "three"
      isolation = "none"
      """)
    let processes = try ["one", "two", "three"].map { try devices.process(of: $0) }
    #expect(processes[1] == processes[2] && processes[0] != processes[1])
    kill(processes[1], SIGKILL)
    #expect(
      eventually {
        (try? devices.client("two").deviceInfo()) != nil
          && (try? devices.client("three").deviceInfo()) != nil
      })
  }
}
