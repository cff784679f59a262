import Foundation
import TestSupport
import Testing

/// What the program is told, and what it answers.
struct WrongCommandLine: CustomTestStringConvertible, Sendable {
  let arguments: [String]
  let exitCode: Int32
  /// A part of what stands on standard error.
  let says: String

  var testDescription: String { arguments.joined(separator: " ") }

  init(_ line: String, _ exitCode: Int32, _ says: String) {
    arguments = line.split(separator: " ").map(String.init)
    self.exitCode = exitCode
    self.says = says
  }
}

@Suite struct `A wrong command line` {
  static let long = String(repeating: "x", count: 120)

  static let lines: [WrongCommandLine] = [
    .init("info /tmp/vfio-user-nowhere", 1, "Start a device there first"),
    .init("info /etc/passwd", 1, "/etc/passwd is not a socket"),
    .init("info", 64, "Missing expected argument"),
    .init("info /tmp/a --json --hex", 64, "two ways to print"),
    .init("read /tmp/a bar6 0", 64, "no region"),
    .init("read /tmp/a bar0 x", 64, "is no number"),
    .init("read /tmp/a bar0 0 --width 3", 64, "1, 2, 4 or 8"),
    .init("read /tmp/a bar0 0 --count 6 --width 4", 64, "whole accesses"),
    .init("read /tmp/a bar0 0 --count 17M", 64, "--output"),
    .init("read /tmp/a bar0 0 --json --output b", 64, "Choose one"),
    .init("read /tmp/a bar0 0 --repeat 0", 64, "from 1"),
    .init("read /tmp/vfio-user-nowhere bar0 0", 1, "Start a device there first"),
    .init("write /tmp/a bar0 0", 64, "say what to write"),
    .init("write /tmp/a bar0 0 1 --input b", 64, "say what to write"),
    .init("write /tmp/a bar0 0 0x100 --width 1", 64, "does not fit into 1 bytes"),
    .init("irq /tmp/a --vectors 2048", 64, "no list of vectors"),
    .init("irq /tmp/a --write bar0=1", 64, "no write"),
    .init("irq /tmp/a --type msi-x", 64, "msix"),
    .init("irq /tmp/a --count 0", 64, "from 1"),
    .init("reset /tmp/vfio-user-nowhere", 1, "Start a device there first"),
    .init("reset /tmp/a --reply-timeout 0", 64, "above 0"),
    .init("bench /tmp/a --offset 0", 64, "--region"),
    .init("bench /tmp/a --allow-writes", 64, "--region"),
    .init("bench /tmp/a --seconds 0", 64, "above 0"),
    .init("bench /tmp/a --compare /tmp/a", 64, "another device"),
    .init("trace", 64, "choose one"),
    .init("trace --listen /tmp/a", 64, "--listen and --connect go together"),
    .init("trace --listen /tmp/a --connect /tmp/a", 64, "are the same socket"),
    .init(
      "trace --listen /tmp/a --connect /tmp/b --command region_raed", 64,
      "Did you mean 'REGION_READ'?"),
    .init("trace --listen /tmp/a --connect /tmp/b --region bar6", 64, "there is no region 'bar6'"),
    .init("trace --listen /tmp/a --connect /tmp/b --mode 9", 64, "three octal digits"),
    .init("trace --listen /nonexistent/a --connect /tmp/b", 1, "there is no folder /nonexistent"),
    .init("trace --listen /tmp/a --connect /tmp/b --write /dev/full", 1, "cannot write /dev/full"),
    .init("trace --dissector --once", 64, "belong to --listen"),
    .init("trace --listen /tmp/a --connect /tmp/b --overwrite", 64, "belongs to --write"),
    .init("trace /nonexistent.pcapng", 1, "cannot read /nonexistent.pcapng"),
    .init("trace /etc/passwd", 1, "this is no pcapng file"),
    .init("replay /etc/passwd /tmp/a", 1, "this is no pcapng file"),
    .init("replay /tmp/a /tmp/b --mask bar0:x", 64, "is no mask"),
    .init("replay /tmp/a /tmp/b --timeout 0", 64, "1 to 3600"),
    .init("serve serial --pty", 64, "--socket PATH, --fd NUMBER or --systemd"),
    .init(
      "serve serial --socket /tmp/a --fd 3 --pty", 64, "--socket PATH, --fd NUMBER or --systemd"),
    .init("serve serial --socket /tmp/a", 64, "choose one far end"),
    .init("serve serial --socket /tmp/a --pty --stdio", 64, "choose one far end"),
    .init("serve serial --socket /tmp/a --listen /tmp/a", 64, "two different paths"),
    .init("serve serial --socket /tmp/a --mode 9 --pty", 64, "three octal digits"),
    .init("serve serial --socket /tmp/a --pty --log-level loud", 64, "log-level"),
    .init("serve serial --socket /etc/passwd --pty", 1, "exists and is not a socket"),
    .init("serve serial --socket /nonexistent/a --pty", 1, "there is no folder /nonexistent"),
    .init("serve serial --socket /tmp/\(long) --pty", 1, "a socket path has at most 107"),
    .init("serve serial --fd 1 --pty", 1, "above 2"),
    .init("serve edu", 64, "--socket PATH, --fd NUMBER or --systemd"),
    .init("serve nvme --socket /tmp/a --linger 5", 64, "--linger is called --busy-poll now"),
    .init("serve edu --systemd --socket /tmp/a", 64, "--socket PATH, --fd NUMBER or --systemd"),
    .init("serve edu --systemd", 1, "systemd handed over no socket"),
    .init("serve edu --systemd-name disk", 1, "systemd handed over no socket"),
    .init("serve edu --fd 999", 1, "descriptor 999 is not open"),
    .init("serve edu --socket /tmp/a --dma-mask 0", 64, "1 to 64 bits, not 0"),
    .init("serve edu --socket /tmp/a --dma-mask 65", 64, "1 to 64 bits, not 65"),
    .init("serve scratch", 64, "--socket PATH, --fd NUMBER or --systemd"),
    .init("serve --config /nonexistent/devices.toml", 1, "cannot read /nonexistent/devices.toml"),
    .init("serve --config /etc/passwd", 64, "/etc/passwd, line 1"),
    .init("serve --config", 64, "Missing value for '--config <file>'"),
    .init("serve --config /tmp/a scratch --socket /tmp/b", 64, "leave out the device behind it"),
    .init("serve nvme --memory 1M", 64, "--socket PATH, --fd NUMBER or --systemd"),
    .init("serve nvme --socket /tmp/a", 64, "say where the data is"),
    .init("serve nvme --socket /tmp/a --file b --memory 1M", 64, "say where the data is"),
    .init("serve nvme --socket /tmp/a --memory 1M --size 1M", 64, "--memory has its own"),
    .init("serve nvme --socket /tmp/a --file b --huge-pages", 64, "for disks in memory"),
    .init("serve nvme --socket /tmp/a --memory big", 64, "512M or 10G for example, not 'big'"),
    .init("serve nvme --socket /tmp/a --memory 0", 64, "512M or 10G for example, not '0'"),
    .init("serve nvme --socket /tmp/a --file b --size 1.5G", 64, "for example, not '1.5G'"),
    .init("serve nvme --socket /tmp/a --memory 1M --block-size 1024", 64, "512 or 4096"),
    .init("serve nvme --socket /tmp/a --memory 1M --cache none", 64, "'write-back'"),
    .init("serve nvme --socket /tmp/a --memory 1M --queues 65", 64, "1 to 64, not 65"),
    .init("serve nvme --socket /tmp/a --memory 1M --queues 0", 64, "1 to 64, not 0"),
    .init("serve nvme --socket /tmp/a --memory 1M --queue-entries 1", 64, "2 to 4096, not 1"),
    .init("serve nvme --socket /tmp/a --memory 1M --threads 65", 64, "1 to 64, not 65"),
    .init("serve nvme --socket /tmp/a --memory 1M --serial \(long)", 64, "1 to 20 characters"),
    .init("serve nvme --socket /tmp/a --memory 1M --doorbells loud", 64, "'trapped'"),
    .init("serve nvme --socket /tmp/a --memory 1M --interrupts none", 64, "'msix'"),
    .init("serve nvme --socket /tmp/a --namespace disk.img", 64, "not 'disk.img'"),
    .init("serve nvme --socket /tmp/a --namespace read-only", 64, "a namespace needs a file"),
    .init("serve nvme --socket /tmp/a --namespace memory=1M,block-size=5", 64, "512 or 4096"),
    .init("serve nvme --socket /tmp/a --namespace memory=1M,cache=no", 64, "write-through, direct"),
    .init("serve nvme --socket /tmp/a --namespace memory=1M,nguid=1", 64, "32 hexadecimal digits"),
    .init("serve nvme --socket /tmp/vfio-user-c1 --file /nonexistent/b", 1, "With --size 10G"),
    .init("serve nvme --socket /tmp/vfio-user-c2 --file /dev/null", 1, "nor a block device"),
    .init("serve nvme --socket /tmp/a --memory 256", 64, "whole blocks of 512 bytes"),
    .init("serve nvme --socket /etc/passwd --memory 1M", 1, "exists and is not a socket"),
    .init("nvme identify", 64, "Missing expected argument"),
    .init("nvme identify /tmp/vfio-user-nowhere", 1, "vfio-user serve nvme --socket"),
    .init("nvme identify /etc/passwd", 1, "/etc/passwd is not a socket"),
    .init("nvme identify /tmp/a --namespace 0", 64, "a number from 1"),
    .init("nvme read /tmp/a --offset -1", 64, "--offset"),
    .init("nvme read /tmp/a --count 1.5K", 64, "'1.5K' is no size"),
    .init("nvme read /tmp/a --count 10GB", 64, "K, M, G or T for powers of 1024"),
    .init("serve nvme --socket /tmp/a --memory 10GB", 64, "The units are K, M, G and T"),
    .init("serve nvme --socket /tmp/a --memory 1000", 64, "whole blocks of 512 bytes"),
    .init("serve nvme --socket /tmp/a --file a --size 1000", 64, "'1000' is 1000 bytes"),
    .init("serve nvme --socket /tmp/a --namespace file=a,size=1536,block-size=4096", 64, "4096"),
    .init("serve nvme --socket /tmp/a --namespace file=a,b", 64, "is written twice"),
    .init(
      "serve nvm --socket /tmp/a", 64, "no command 'nvm'. Did you mean 'nvme'? The commands are"),
    .init("sevre nvme", 64, "Did you mean 'serve'?"),
    .init("nvme identfy /tmp/a", 64, "Did you mean 'identify'?"),
    .init("serve nvme --socket /tmp/a --fil b", 64, "--file"),
    .init(
      "serve nvme --socket /tmp/a --namespace file=/x/b --namespace file=/x/b", 64,
      "its file /x/b is taken by the file of the same device"),
    .init("serve nvme --socket /tmp/vfio-user-c5 --file /nonexistent/b --size 1M", 1, "no folder"),
    .init(
      "nvme write /tmp/a --input /nonexistent/b", 1, "cannot read /nonexistent/b: No such file"),
    .init("nvme bench /tmp/a --depth 0", 64, "1 to 1024"),
    .init("nvme bench /tmp/a --depth 1025", 64, "1 to 1024"),
    .init("nvme bench /tmp/a --read-share 101", 64, "0 to 100"),
    .init("nvme bench /tmp/a --read-share 50", 64, "allow it with --overwrite"),
    .init("nvme bench /tmp/a --seconds 0", 64, "0.01 to 86400"),
    .init("nvme bench /tmp/a --block-size 100", 64, "multiples of 512"),
    .init("nvme bench /tmp/a --direct", 64, "--compare FILE"),
    .init("nvme bench /tmp/a --cpu=-1", 64, "from 0"),
    .init("bench /tmp/a --device-cpu=-1", 64, "from 0"),
    .init("nvme verify /tmp/a --overwrite --depth 0", 64, "1 to 1024"),
    .init("nvme verify /tmp/a --overwrite --block-size 4M", 64, "512 to 2M"),
    .init("nvme verify /tmp/a", 64, "allow it with --overwrite"),
    .init("nvme verify /tmp/a --overwrite --read-only --seed 1", 64, "allow it with --overwrite"),
    .init("nvme verify /tmp/a --read-only", 64, "the --seed that the earlier run has printed"),
    .init("nvme fly /tmp/a", 64, "fly"),
    .init("demo serial --bytes 0", 64, "from 1 to 16777216"),
    .init("fly", 64, "fly"),
  ]

  @Test(arguments: lines)
  func `A wrong command line is answered with cause, remedy and a fitting exit code`(
    _ line: WrongCommandLine
  ) throws {
    let process = Process()
    process.executableURL = URL.builtProgram("vfio-user")
    process.arguments = line.arguments
    let errors = Pipe()
    process.standardError = errors
    process.standardOutput = FileHandle.nullDevice
    try process.runClosingFiles()
    let said = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    #expect(process.terminationStatus == line.exitCode)
    #expect(said.contains(line.says), "\(said)")
    if line.arguments.contains("--config") {
      #expect(!said.contains("Usage:") || line.arguments.count == 2, "\(said)")
    }
  }
}
