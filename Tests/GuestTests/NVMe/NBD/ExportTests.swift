import Foundation
import TestSupport
import Testing

extension Guests {
  @Suite(.timeLimit(.minutes(5)), .enabled(if: NBDPrograms.isPossible, "\(NBDPrograms.remedy)"))
  struct `Disks on NBD servers` {
    /// One boot for all: qcow2, memory, TLS, a slow one, and one with errors.
    @Test func `A guest's data is verified on every kind of server, and outlives what servers do`()
      throws
    {
      let exports = try Exports()
      try withGuest(Machine(memory: 512), .load, [exports.disks]) { guest in
        try guest.run(findDisk)
        try verifyAll(guest)
        try meetErrors(guest, exports)
        try loseServer(guest, exports)
        try takeSnapshot(guest, exports)
        let complaints = try guest.run(
          "dmesg | grep -v 'Shutdown timeout' | grep -E 'nvme.*(timeout|abort|resetting)' || true")
        #expect(complaints == "", "\(complaints)")
      }
    }
  }
}

/// The servers, and one process with a disk on each.
private final class Exports {
  static let names = ["qcow2", "memory", "tls", "delay", "error"]

  let folder: ScratchFolder
  let image: String
  /// While this file is there, the server of `error` fails.
  let failing: String
  let qcow2: ExportProcess
  private let others: [ExportProcess]
  let disks: DeviceProcess

  init() throws {
    folder = try ScratchFolder()
    let folder = folder
    (image, failing) = (folder.path("image.qcow2"), folder.path("failing"))
    try NBDPrograms.run("qemu-img", "create", "-q", "-f", "qcow2", image, "64M")
    qcow2 = try ExportProcess(
      "qemu-nbd", "qcow2", ["-f", "qcow2", "--shared=8", image], in: folder)
    let keys = folder.path("keys")
    try NBDPrograms.run("psktool", "-u", "alice", "-p", keys)
    others = try [
      ("memory", ["memory", "64M"]),
      ("tls", ["--tls=require", "--tls-psk=\(keys)", "memory", "64M"]),
      ("delay", ["--filter=delay", "memory", "64M", "rdelay=5ms", "wdelay=5ms"]),
      (
        "error",
        ["--filter=error", "memory", "64M", "error-rate=100%", "error-file=\(failing)"]
      ),
    ].map { try ExportProcess("nbdkit", $0.0, $0.1, in: folder) }
    disks = try DeviceProcess(
      configuration: Self.configuration(folder, keys), sockets: Self.names, in: folder)
  }

  private static func configuration(_ folder: ScratchFolder, _ keys: String) -> String {
    names.map { name in
      let socket = folder.path("\(name).nbd")
      let address =
        name == "tls"
        ? "nbds+unix://alice@/?socket=\(socket)&tls-psk-file=\(keys)"
        : "nbd+unix:///?socket=\(socket)"
      return """
        [[nvme]]
        socket = "\(name)"
        nbd = "\(address)"
        serial = "\(name)"
        state = "\(folder.path("\(name).state"))"
        """
    }.joined(separator: "\n")
  }
}

/// Which disk of the guest has a serial number: `disk qcow2` is /dev/nvme0n1 or another.
private let findDisk = """
  disk() {
    for controller in /sys/class/nvme/nvme*; do
      [ "$(tr -d ' ' < $controller/serial)" = $1 ] && echo /dev/${controller##*/}n1
    done
  }
  for number in 0 1 2 3 4; do await_disk $number; done
  """

private func verifyAll(_ guest: Guest) throws {
  let said = try guest.run(
    """
    for name in \(Exports.names.joined(separator: " ")); do
      fio --name=mix --filename=$(disk $name) $mix --numjobs=1 --size=8m > /tmp/fio.$name 2>&1 &
    done
    wait
    for name in \(Exports.names.joined(separator: " ")); do
      echo "$name errors $(awk -F ';' '/^3;fio/ { print $5 }' /tmp/fio.$name)"
    done
    """)
  #expect(said == Exports.names.map { "\($0) errors 0" }.joined(separator: "\n"), "\(said)")
}

/// An error of the server is an I/O error of the guest, and no more.
private func meetErrors(_ guest: Guest, _ exports: Exports) throws {
  _ = FileManager.default.createFile(atPath: exports.failing, contents: nil)
  let failed = try guest.run(
    """
    dd if=$(disk error) of=/dev/null bs=4k count=1 iflag=direct 2> /dev/null || echo failed
    dd if=/bin/fio of=$(disk error) bs=4k count=1 oflag=direct 2> /dev/null || echo failed
    [ $(dmesg | grep -c "error, dev $(basename $(disk error)),") -ge 2 ] && echo told || dmesg | tail -n 5
    dd if=$(disk memory) of=/dev/null bs=4k count=1 iflag=direct 2>/dev/null && echo "neighbour reads"
    """)
  #expect(failed == "failed\nfailed\ntold\nneighbour reads", "\(failed)")
  try FileManager.default.removeItem(atPath: exports.failing)
  let mended = try guest.run(
    """
    dd if=/bin/fio of=$(disk error) bs=64k count=16 oflag=direct conv=fsync 2> /dev/null
    dd if=$(disk error) bs=64k count=16 iflag=direct 2> /dev/null | cmp -n 1048576 - /bin/fio && echo same
    """)
  #expect(mended == "same", "\(mended)")
}

/// The server is killed and started again twenty times while fio writes and verifies.
private func loseServer(_ guest: Guest, _ exports: Exports) throws {
  let script = """
    touch /tmp/go
    seed=0
    while [ -e /tmp/go ]; do
      seed=$((seed + 1))
      fio --name=mix --filename=$(disk qcow2) $mix --size=4m --offset_increment=8m --randseed=$seed \\
        > /tmp/fio 2>&1 || { echo "seed $seed"; cat /tmp/fio; }
      cat /tmp/fio >> /tmp/all
      echo "@@round $seed"
    done
    awk -F ';' '/^3;fio/ { errors += $5; rounds++ } END { print (rounds > 1 ? "rounds," : "one round,"), "errors", errors }' /tmp/all
    """
  try guest.begin("(sleep 14; rm /tmp/go) &\n" + script)
  for _ in 0..<20 {
    exports.qcow2.kill()
    try exports.qcow2.restart()
    // So that the disk works in between, too.
    _ = eventually(within: .milliseconds(350)) { false }
  }
  let said = try guest.end(script)
  #expect(said.hasSuffix("rounds, errors 0"), "\(said)")
}

/// qemu-img takes the snapshot while no server has the image: the guest goes on, and waits for a moment.
private func takeSnapshot(_ guest: Guest, _ exports: Exports) throws {
  try guest.run(
    """
    fill() { yes "$1" | head -c 1048576 | dd of=$(disk qcow2) bs=64k oflag=direct conv=fsync,notrunc 2> /dev/null; }
    fill before
    sync
    (while [ ! -e /tmp/enough ]; do
      dd if=/bin/fio of=$(disk qcow2) bs=64k seek=256 count=64 oflag=direct conv=notrunc 2> /dev/null
    done) &
    sleep 1
    """)
  exports.qcow2.kill()
  try NBDPrograms.run("qemu-img", "snapshot", "-c", "first", exports.image)
  try exports.qcow2.restart()
  try guest.run("fill after\ntouch /tmp/enough\nwait")
  exports.qcow2.kill()
  func content(_ options: String...) throws -> String {
    let copy = exports.folder.path("copy")
    let made = try ProgramRun(
      URL(filePath: "/usr/bin/qemu-img"),
      ["convert", "-f", "qcow2", "-O", "raw"] + options + [exports.image, copy])
    guard made.exitCode == 0 else { throw HarnessError(made.errors) }
    let bytes = try FileHandle(forReadingFrom: URL(filePath: copy)).read(upToCount: 1 << 20)
    return String(decoding: bytes ?? Data(), as: UTF8.self)
  }
  func filled(_ word: String) -> String {
    String(String(repeating: "\(word)\n", count: (1 << 20) / (word.count + 1) + 1).prefix(1 << 20))
  }
  #expect(try content("-l", "snapshot.name=first") == filled("before"))
  #expect(try content() == filled("after"))
  try exports.qcow2.restart()
}
