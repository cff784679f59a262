import ArgumentParser
import Foundation
import NVMeDevice
import SystemPackage
import Testing
import VFIOUserProgram

@testable import vfio_user

/// Reads a configuration that is said to be /disks/devices.toml.
private func configuration(_ text: String) throws -> ConfigurationFile {
  try ConfigurationFile(
    text, in: ConfigurationPlace(file: "devices.toml"), folder: "/disks")
}

@Suite struct `A configuration file` {
  @Test func `A configuration file describes devices with the options of the command line`() throws
  {
    let file = try configuration(
      """
      log-level = "debug"

      [[nvme]]
      socket = "one.sock"
      mode = "660"
      file = "../one.img"
      size = "10G"
      block-size = 4096
      read-only = false
      cache = "direct"
      queues = 3
      queue-entries = 64
      workers = 3
      serial = "ONE"
      threads = 2
      doorbells = "mapped"
      busy-poll = 50
      interrupts = "msi"
      state = "one.state"

      [[edu]]
      socket = "/run/edu.sock"
      dma-mask = 32

      [[scratch]]
      fd = 7

      [[scratch]]
      systemd-name = "second"

      [[scratch]]
      systemd = true

      [[serial]]
      socket = "port.sock"
      listen = "far.sock"
      """)
    #expect(file.log.logLevel == .debug)
    #expect(file.devices.count == 6)
    let nvme = try #require(file.devices[0].command as? ServeNVMe)
    #expect(nvme.socket.socket == "/disks/one.sock")
    #expect(nvme.socket.mode == "660")
    #expect(nvme.disk.file == "/one.img")
    #expect(nvme.disk.size == "10G")
    #expect((nvme.disk.blockSize, nvme.disk.controller.queues) == (4096, 3))
    #expect((nvme.disk.controller.queueEntries, nvme.disk.threads) == (64, 2))
    #expect(nvme.disk.controller.workers == 3)
    #expect(nvme.disk.readOnly == false)
    #expect(nvme.disk.cache == .direct)
    #expect(nvme.disk.serial == "ONE")
    #expect((nvme.disk.controller.doorbells, nvme.disk.controller.interrupts) == (.mapped, .msi))
    #expect(nvme.disk.controller.busyPoll == 50)
    #expect(nvme.disk.state == "/disks/one.state")
    let serial = try #require(file.devices[1].command as? ServeSerial)
    #expect((serial.socket.socket, serial.listen) == ("/disks/port.sock", "/disks/far.sock"))
    let edu = try #require(file.devices[2].command as? ServeEdu)
    #expect((edu.socket.socket, edu.dmaMask) == ("/run/edu.sock", 32))
    let scratch = try #require(file.devices[3].command as? ServeScratch)
    #expect(scratch.socket.fd == 7)
    #expect(file.devices[4].command.socket.place == .systemd(name: "second"))
    #expect(file.devices[5].command.socket.place == .systemd(name: nil))
  }

  @Test func `A configuration file has the defaults of the command line`() throws {
    let file = try configuration("[nvme]\nsocket = \"a\"\nmemory = \"1G\"\n")
    let fromFile = try #require(file.devices.first?.command as? ServeNVMe)
    let fromLine = try #require(
      try Serve.parseAsRoot(["nvme", "--socket", "/disks/a", "--memory", "1G"]) as? ServeNVMe)
    #expect(fromFile.disk.controller.queues == fromLine.disk.controller.queues)
    #expect(fromFile.disk.controller.queueEntries == fromLine.disk.controller.queueEntries)
    #expect(fromFile.disk.threads == fromLine.disk.threads)
    #expect(fromFile.disk.blockSize == fromLine.disk.blockSize)
    #expect(fromFile.disk.cache == fromLine.disk.cache)
    #expect(fromFile.socket.mode == fromLine.socket.mode)
    #expect(file.log.logLevel == .notice)
  }

  @Test func `A configuration file has namespaces as tables or as on the command line`() throws {
    let file = try configuration(
      """
      [[nvme]]
      socket = "a.sock"
      namespace = [
        { file = "a, b.img", size = "1G", block-size = 4096, cache = "direct" },
        "file=c.img,read-only",
        { memory = "16M", read-only = false, nguid = "000102030405060708090a0b0c0d0e0f" },
      ]
      [[nvme]]
      socket = "b.sock"
      [[nvme.namespace]]
      file = "/d.img"
      """)
    let commands = file.devices.compactMap { $0.command as? ServeNVMe }
    #expect(
      commands.map(\.disk.namespace) == [
        [
          "file=/disks/a,, b.img,size=1G,block-size=4096,cache=direct",
          "file=/disks/c.img,read-only",
          "memory=16M,nguid=000102030405060708090a0b0c0d0e0f",
        ],
        ["file=/d.img"],
      ])
    #expect(try commands.first?.disk.namespaces().first?.file == "/disks/a, b.img")
  }

  @Test func `What is above the tables is for each process, and a table may say otherwise`() throws
  {
    let file = try configuration(
      """
      isolation = "process"
      user = "alice"
      group = "disks"
      memory-limit = "64M"
      [[edu]]
      socket = "a"
      [[edu]]
      socket = "b"
      user = "bob"
      [[edu]]
      socket = "c"
      isolation = "none"
      """)
    #expect(file.devices.map(\.isIsolated) == [true, true, false])
    let limit: UInt64 = 64 << 20
    #expect(
      file.devices.map(\.command.privileges) == [
        ProcessPrivileges(user: "alice", group: "disks", memoryLimit: limit),
        ProcessPrivileges(user: "bob", memoryLimit: limit), .unchanged,
      ])
    #expect(file.privileges == ProcessPrivileges(user: "alice", group: "disks", memoryLimit: limit))
  }

  @Test func `A configuration file without a serial number leaves it to the disk`() throws {
    let table = "[[nvme]]\nmemory = \"1M\"\n"
    let file = try configuration(
      "\(table)socket = \"a\"\n\(table)socket = \"b\"\nserial = \"MINE\"\n\(table)socket = \"c\"\n")
    let serials = file.devices.map { ($0.command as? ServeNVMe)?.disk.serial }
    #expect(serials == [nil, "MINE", nil])
  }

  @Test func `A configuration file may have read-only disks that share a file`() throws {
    let disk = "file = \"shared.img\"\nread-only = true\n"
    let file = try configuration(
      "[[nvme]]\nsocket = \"a\"\n\(disk)[[nvme]]\nsocket = \"b\"\n\(disk)")
    #expect(file.devices.count == 2)
  }

  @Test func `A configuration file with one disk file under two names is refused`() throws {
    let folder = FileManager.default.temporaryDirectory.appending(
      path: "vfio-user-names-\(UInt64.random(in: .min ... .max))")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
    defer { try? FileManager.default.removeItem(at: folder) }
    try Data(count: 4096).write(to: folder.appending(path: "disk.img"))
    try FileManager.default.createSymbolicLink(
      atPath: folder.appending(path: "soft.img").path, withDestinationPath: "disk.img")
    try FileManager.default.linkItem(
      at: folder.appending(path: "disk.img"), to: folder.appending(path: "hard.img"))
    for other in ["./disk.img", "soft.img", "hard.img"] {
      let text = """
        [[nvme]]
        socket = "a"
        file = "disk.img"
        [[nvme]]
        socket = "b"
        file = "\(other)"
        """
      let flaw = #expect(throws: ConfigurationError.self) {
        _ = try ConfigurationFile(
          text, in: ConfigurationPlace(file: "devices.toml"), folder: FilePath(folder.path))
      }
      #expect(flaw?.description.contains("Only read-only disks can share a file.") == true)
    }
  }

  @Test(arguments: ConfiguredDevice.kinds.map(\.name))
  func `A configuration file knows exactly the options of each subcommand`(_ kind: String) throws {
    let command = try #require(ConfiguredDevice.kinds.first { $0.name == kind }).command
    let help = Serve.helpMessage(for: command, columns: 400)
    let keys = ConfigurationKey.keys(of: command)
    let options = Set(help.matches(of: /(?m)^  --([a-z][a-z-]*)/).map { String($0.1) })
    let ofProcess: Set = ["control", "log-level", "sandbox", "sandbox-allow", "version"]
    #expect(options.subtracting(ofProcess) == Set(keys.map(\.name)))
  }

  /// A file, and how the message about it begins behind the file's name.
  private static let flaws: [(text: String, message: String)] = [
    ("", ": there is no device in it. Begin one with [[nvme]]."),
    ("socket = ", ": there has to be a value here"),
    ("\n[[nvme]\n", ": the name of a table has to end with ]]"),
    (
      "[[nmve]]",
      ": there is no device 'nmve'. Did you mean 'nvme'? The tables are nvme, serial, edu, scratch; the keys above them are log-level, sandbox, sandbox-allow, isolation, user, group, memory-limit."
    ),
    ("loglevel = \"info\"", ": there is no device 'loglevel'."),
    ("log-level = 3", ": log-level = 3: it takes a text, in quotes."),
    (
      "log-level = \"loud\"",
      ": The value 'loud' is invalid for 'log-level'. Please provide one of the following:"
    ),
    ("nvme = \"disk.img\"", ": nvme = \"disk.img\": a device is a table; begin it with [[nvme]]."),
    ("nvme = [1]", ": nvme = 1: a device is a table; begin it with [[nvme]]."),
    (
      "[[edu]]\nsocket = \"a\"\nmask = 1",
      ": [[edu]] number 1: there is no key 'mask'. The keys are dma-mask, fd, group, isolation, memory-files, memory-limit, mode, socket, systemd, systemd-name, user."
    ),
    (
      "isolation = true\n[[edu]]\nsocket = \"a\"",
      ": isolation = true: it takes \"process\" (a process for each device) or \"none\"."
    ),
    (
      "[[edu]]\nsocket = \"a\"\nisolation = \"thread\"",
      ": [[edu]] number 1, isolation = \"thread\": it takes \"process\""
    ),
    (
      "[[edu]]\nsocket = \"a\"\nuser = \"nobody\"",
      ": [[edu]] number 1, user = \"nobody\": it is for a process, and this device has none of its own."
    ),
    (
      "isolation = \"process\"\n[[edu]]\nsocket = \"a\"\ngroup = \"x\"",
      ": [[edu]] number 1: group goes with user."
    ),
    (
      "memory-limit = \"1M\"\n[[edu]]\nsocket = \"a\"",
      ": memory-limit takes at least 32MiB, not 1MiB: the process would not start."
    ),
    (
      "memory-limit = 5\n[[edu]]\nsocket = \"a\"",
      ": memory-limit = 5: it takes a text, in quotes."
    ),
    (
      "[[edu]]\nsocket = \"a\"\nlog-level = \"info\"",
      ": [[edu]] number 1: there is no key 'log-level'. It belongs to the file, above all tables."
    ),
    (
      "[[nvme]]\nsocket = \"a\"\nlinger = 50",
      ": [[nvme]] number 1: there is no key 'linger'. It is called 'busy-poll' now."
    ),
    ("[[edu]]\nsocket = \"a\"\nhelp = true", ": [[edu]] number 1: there is no key 'help'."),
    (
      "[[edu]]",
      ": [[edu]] number 1: give the place of the socket, once: socket PATH, fd NUMBER or systemd."
    ),
    (
      "[[edu]]\nsocket = \"a\"\nfd = 3",
      ": [[edu]] number 1: give the place of the socket, once: socket PATH, fd NUMBER or systemd."
    ),
    ("[[edu]]\nsocket = 3", ": [[edu]] number 1, socket = 3: it takes a text, in quotes."),
    (
      "[[edu]]\nsocket = \"a\"\nmode = 0o660",
      ": [[edu]] number 1, mode = 432: it takes a text, in quotes."
    ),
    (
      "[[edu]]\nsocket = \"a\"\nmode = \"9\"",
      ": [[edu]] number 1: mode takes three octal digits, 600 or 660 for example, not '9'."
    ),
    (
      "[[edu]]\nsocket = \"a\"\ndma-mask = 65",
      ": [[edu]] number 1: dma-mask takes 1 to 64 bits, not 65."
    ),
    (
      "[[edu]]\nsocket = \"a\"\ndma-mask = \"28\"",
      ": [[edu]] number 1, dma-mask = \"28\": it takes a whole number."
    ),
    (
      "[[edu]]\nsocket = \"a\"\ndma-mask = 2.5",
      ": [[edu]] number 1, dma-mask = 2.5: it takes a whole number."
    ),
    (
      "[[edu]]\nfd = 9999999999",
      ": [[edu]] number 1: The value '9999999999' is invalid for 'fd'"
    ),
    (
      "[[serial]]\nsocket = \"a\"",
      ": [[serial]] number 1: choose one far end: pty, stdio or listen PATH."
    ),
    (
      "[[serial]]\nsocket = \"a\"\npty = \"yes\"",
      ": [[serial]] number 1, pty = \"yes\": it takes true or false."
    ),
    (
      "[[serial]]\nsocket = \"a\"\npty = false",
      ": [[serial]] number 1: choose one far end: pty, stdio or listen PATH."
    ),
    (
      "[[serial]]\nsocket = \"a\"\nlisten = \"./a\"",
      ": [[serial]] number 1: socket and listen need two different paths."
    ),
    (
      "[[nvme]]\nsocket = \"a\"",
      ": [[nvme]] number 1: say where the data is: file PATH, memory SIZE, nbd URI or namespace ..."
    ),
    (
      "[[nvme]]\nsocket = \"a\"\nmemory = \"1M\"\nsize = \"1M\"",
      ": [[nvme]] number 1: size is for file; memory has its own."
    ),
    (
      "[[nvme]]\nsocket = \"a\"\nmemory = \"big\"",
      ": [[nvme]] number 1: memory takes a size, 512M or 10G for example, not 'big'."
    ),
    (
      "[[nvme]]\nsocket = \"a\"\nfile = \"x\"\nsize = \"big\"",
      ": [[nvme]] number 1: size takes a size, 512M or 10G for example, not 'big'."
    ),
    (
      "[[nvme]]\nsocket = \"a\"\nmemory = \"1M\"\nblock-size = 1024",
      ": [[nvme]] number 1: block-size takes 512 or 4096, not '1024'."
    ),
    (
      "[[nvme]]\nsocket = \"a\"\nmemory = \"1M\"\ncache = \"none\"",
      ": [[nvme]] number 1: The value 'none' is invalid for 'cache'. Please provide one of 'write-back',"
    ),
    (
      "[[nvme]]\nsocket = \"a\"\nmemory = \"1M\"\nqueues = 0",
      ": [[nvme]] number 1: queues takes 1 to 64, not 0."
    ),
    (
      "[[nvme]]\nsocket = \"a\"\nmemory = \"1M\"\nqueues = 65",
      ": [[nvme]] number 1: queues takes 1 to 64, not 65."
    ),
    (
      "[[nvme]]\nsocket = \"a\"\nmemory = \"1M\"\nqueue-entries = 4097",
      ": [[nvme]] number 1: queue-entries takes 2 to 4096, not 4097."
    ),
    (
      "[[nvme]]\nsocket = \"a\"\nmemory = \"1M\"\nthreads = -1",
      ": [[nvme]] number 1: threads takes 1 to 64, not -1."
    ),
    (
      "[[nvme]]\nsocket = \"a\"\nmemory = \"1M\"\nserial = \"123456789012345678901\"",
      ": [[nvme]] number 1: serial takes 1 to 20 characters, not '123456789012345678901'."
    ),
    (
      "[[nvme]]\nsocket = \"a\"\nnamespace = \"memory=1M\"",
      ": [[nvme]] number 1, namespace = \"memory=1M\": it takes a list of tables or texts, in square brackets."
    ),
    (
      "[[nvme]]\nsocket = \"a\"\nnamespace = [1]",
      ": [[nvme]] number 1, namespace number 1: it is 1, and has to be a table, or a text as behind --namespace."
    ),
    (
      "[[nvme]]\nsocket = \"a\"\nnamespace = [\"memory=1M\", {}]",
      ": [[nvme]] number 1, namespace number 2: a namespace needs a file, the size of its memory, or the address of an export."
    ),
    (
      "[[nvme]]\nsocket = \"a\"\nnamespace = [{ fil = \"x\" }]",
      ": [[nvme]] number 1, namespace number 1: fil = \"x\" is not for a namespace. Did you mean 'file'? It takes file, nbd, size,"
    ),
    (
      "[[nvme]]\nsocket = \"a\"\nnamespace = [{ memory = 5 }]",
      ": [[nvme]] number 1, namespace number 1: memory = 5 is not for a namespace. It takes file, nbd, size,"
    ),
    (
      "[[nvme]]\nsocket = \"a\"\nnamespace = [{ memory = \"1M\", nguid = \"12\" }]",
      ": [[nvme]] number 1, namespace number 1: nguid= takes 32 hexadecimal digits, not '12'."
    ),
    (
      "[[nvme]]\nsocket = \"a\"\nnamespace = [\"memory=1M,block-size=x\"]",
      ": [[nvme]] number 1, namespace number 1: block-size takes 512 or 4096, not 'x'."
    ),
    (
      "[[edu]]\nsocket = \"a\"\n[[scratch]]\nsocket = \"b/../a\"",
      ": [[scratch]] number 1: its socket /disks/a is taken by the socket of [[edu]] number 1. Give each a path of its own."
    ),
    (
      "[[edu]]\nsystemd = true\n[[edu]]\nsystemd = true",
      ": [[edu]] number 2: its socket of systemd is taken by the socket of [[edu]] number 1. Say which with systemd-name: it is FileDescriptorName= of the .socket unit."
    ),
    (
      "[[edu]]\nfd = 5\n[[edu]]\nfd = 5",
      ": [[edu]] number 2: its fd 5 is taken by the fd of [[edu]] number 1. Each device needs a descriptor of its own."
    ),
    (
      "[[serial]]\nsocket = \"a\"\nstdio = true\n[[serial]]\nsocket = \"b\"\nstdio = true",
      ": [[serial]] number 2: its stdio (this terminal) is taken by the stdio of [[serial]] number 1."
    ),
    (
      "[[serial]]\nsocket = \"a\"\nlisten = \"b\"\n[[edu]]\nsocket = \"b\"",
      ": [[edu]] number 1: its socket /disks/b is taken by the listen of [[serial]] number 1."
    ),
    (
      "[[nvme]]\nsocket = \"a\"\nfile = \"d\"\n[[nvme]]\nsocket = \"b\"\nfile = \"d\"\nread-only = true",
      ": [[nvme]] number 2: its file /disks/d is taken by the file of [[nvme]] number 1. Only read-only disks can share a file."
    ),
    (
      "[[nvme]]\nsocket = \"a\"\nnamespace = [\"file=d\", \"file=d\"]",
      ": [[nvme]] number 1: its file /disks/d is taken by the file of the same device."
    ),
    (
      "[[nvme]]\nsocket = \"a\"\nfile = \"1\"\nstate = \"s\"\n[[nvme]]\nsocket = \"b\"\nfile = \"2\"\nstate = \"s\"",
      ": [[nvme]] number 2: its state /disks/s is taken by the state of [[nvme]] number 1."
    ),
    (
      "[[nvme]]\nsocket = \"a\"\nnamespace = [\"file=vm\", \"file=vm.nvme\"]",
      ": [[nvme]] number 1: its state /disks/vm.nvme is taken by the file of the same device. Name the file otherwise, or keep the state in a folder."
    ),
    (
      "[[nvme]]\nsocket = \"a\"\nnamespace = [\"memory=1M,nguid=000102030405060708090a0b0c0d0e0f\", \"memory=1M,nguid=000102030405060708090A0B0C0D0E0F\"]",
      ": [[nvme]] number 1: its nguid 000102030405060708090a0b0c0d0e0f is taken by the nguid of the same device. A guest takes only one of two namespaces with the same."
    ),
    (
      "[[nvme]]\nsocket = \"a\"\nmemory = \"1M\"\nserial = \"\u{434}\u{43E}\u{43C}\"",
      ": [[nvme]] number 1: serial takes ASCII without a blank at either end, not '\u{434}\u{43E}\u{43C}': a guest could not tell it from others."
    ),
    (
      "[[nvme]]\nsocket = \"a\"\nmemory = \"1M\"\nserial = \"S\"\n[[nvme]]\nsocket = \"b\"\nmemory = \"1M\"\nserial = \"S\"",
      ": [[nvme]] number 2: its serial S is taken by the serial of [[nvme]] number 1. A guest takes only one of two disks with the same."
    ),
  ]

  @Test(arguments: flaws)
  func `A configuration error names the place, the value and what is allowed`(
    _ text: String, _ message: String
  ) throws {
    let flaw = #expect(throws: ConfigurationError.self) { _ = try configuration(text) }
    let said = flaw?.description.replacing(/, line [0-9]+/, with: "", maxReplacements: 1)
    #expect(said?.hasPrefix("devices.toml\(message)") == true, "\(flaw as Any)")
  }

  /// A file, and the line that a message about it names.
  @Test(
    arguments: [
      ("\n[[nvme]\n", 2), ("\n[[nmve]]", 2), ("\n\nlog-level = 3", 3),
      ("\nlog-level = \"loud\"", 2),
      ("\nnvme = [1]", 2), ("[[edu]]\nfd = 3\nmask = 1", 3), ("\n[[edu]]", 2),
      ("[[edu]]\ndma-mask = 65\nfd = 3", 2), ("[[edu]]\nfd = 3\n\nmode = \"9\"", 4),
      ("[[edu]]\nfd = 5\n[[edu]]\nfd = 5", 3),
      ("[[nvme]]\nfd = 3\nmemory = \"1M\"\nsize = \"1M\"", 4),
      ("[[nvme]]\nfd = 3\nnamespace = [\n{ memory = \"1M\" },\n{ fil = \"x\" }]", 5),
      ("[[nvme]]\nfd = 3\n[[nvme.namespace]]\nmemory = \"big\"", 3),
    ] as [(String, Int)])
  func `A configuration error names the line`(_ text: String, _ line: Int) {
    let flaw = #expect(throws: ConfigurationError.self) { _ = try configuration(text) }
    #expect(flaw?.description.hasPrefix("devices.toml, line \(line): ") == true, "\(flaw as Any)")
  }

  @Test func `A configuration file that is not UTF-8 is refused with the line number`() throws {
    let path = "/tmp/vfio-user-bytes-\(UInt64.random(in: .min ... .max))"
    try Data("a = 1\nb = \"".utf8 + [0xFF]).write(to: URL(filePath: path))
    defer { try? FileManager.default.removeItem(atPath: path) }
    let flaw = #expect(throws: ConfigurationError.self) { _ = try ConfigurationFile(at: path) }
    #expect(flaw?.description == "\(path), line 2: this is not UTF-8, which TOML is written in.")
  }

  @Test(arguments: [("/dev/zero", "more than 1048576 bytes"), ("/tmp", "Is a directory")])
  func `A configuration file that is too large or a directory is refused`(
    _ path: String, _ says: String
  ) {
    let failure = #expect(throws: CommandError.self) { _ = try ConfigurationFile(at: path) }
    #expect(failure?.description.contains(says) == true, "\(failure as Any)")
  }
}
