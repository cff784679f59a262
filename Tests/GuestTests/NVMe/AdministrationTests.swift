import Foundation
import Testing

extension Guests {
  @Suite(.timeLimit(.minutes(5))) struct `The disk under nvme-cli` {
    @Test func `The disk describes itself to nvme-cli and carries out each command`() throws {
      let disk = try NVMeDisk(megabytes: 64)
      // A reset of the subsystem is noticed by a time-out, which is 30 seconds.
      let arguments = "nvme_core.io_timeout=5 nvme_core.admin_timeout=5"
      try withGuest(
        Machine(memory: 512), .disks, [disk.device], kernelArguments: arguments
      ) { guest in
        try checkIdentity(guest, disk)
        try checkLogs(guest)
        try checkFeatures(guest)
        try checkData(guest)
        try checkFormat(guest)
        try checkResize(guest, disk)
        try checkResets(guest)
        try checkSubsystemReset(guest)
      }
    }
  }
}

extension Guest {
  /// What a command prints as `NAME : VALUE` lines.
  fileprivate func table(_ script: String) throws -> [String: String] {
    let pairs = try run(script).split(separator: "\n").compactMap { line -> (String, String)? in
      guard let colon = line.firstIndex(of: ":") else { return nil }
      return (
        line[..<colon].trimmingCharacters(in: .whitespaces),
        line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
      )
    }
    return Dictionary(pairs, uniquingKeysWith: { first, _ in first })
  }
}

private func checkIdentity(_ guest: Guest, _ disk: NVMeDisk) throws {
  let controller = try guest.table("nvme id-ctrl /dev/nvme0")
  #expect(controller["sn"] == disk.serial)
  #expect(controller["ver"] == "0x10400")
  #expect(controller["cntrltype"] == "1")
  #expect(controller["nn"].flatMap { Int($0) } ?? 0 >= 1)
  #expect(controller["mn"]?.isEmpty == false)
  #expect(controller["subnqn"]?.hasPrefix("nqn.") == true)
  let namespace = try guest.table("nvme id-ns /dev/nvme0n1")
  #expect(namespace["nsze"] == "0x20000")
  #expect(namespace["flbas"] == "0")
  let list = try guest.run("nvme list")
  #expect(list.contains("/dev/nvme0n1") && list.contains(disk.serial), "\(list)")
  #expect(list.contains("67.11  MB"), "\(list)")
  #expect(try guest.run("nvme list-ns /dev/nvme0") == "[   0]:0x1")
  let identifiers = try guest.run("nvme ns-descs /dev/nvme0n1")
  #expect(identifiers.contains("uuid") || identifiers.contains("eui64"), "\(identifiers)")
}

private func checkLogs(_ guest: Guest) throws {
  let before = try guest.table("nvme smart-log /dev/nvme0")
  #expect(before["critical_warning"] == "0")
  #expect(before["media_errors"] == "0")
  let script = """
    dd if=/dev/zero of=/dev/nvme0n1 bs=1M count=8 oflag=direct 2> /dev/null
    dd if=/dev/nvme0n1 of=/dev/null bs=1M count=4 iflag=direct 2> /dev/null
    nvme smart-log /dev/nvme0
    """
  let after = try guest.table(script)
  func counted(_ name: String) -> Int {
    let numbers = [after, before].map { table in
      Int(table[name]?.split(separator: " ").first ?? "") ?? -1
    }
    return numbers[0] - numbers[1]
  }
  // Thousands of 512 bytes.
  #expect(abs(counted("Data Units Written") - 16) <= 2)
  #expect(abs(counted("Data Units Read") - 8) <= 2)
  #expect(counted("host_write_commands") > 0)
  // A command that there is not is refused, and told by the log.
  let refusal = try guest.run(
    "nvme io-passthru /dev/nvme0n1 --opcode=0x7f --namespace-id=1 2>&1 || true")
  #expect(refusal.contains("Invalid Command Opcode"), "\(refusal)")
  let errors = try guest.run("nvme error-log -e 1 /dev/nvme0")
  #expect(errors.contains("Invalid Command Opcode"), "\(errors)")
  #expect(try guest.table("nvme fw-log /dev/nvme0")["afi"] == "0x1")
  // nvme-cli 2.4 prints nothing of this log by itself. Identify of the administrator's commands is
  // supported; Write of the others is too, and changes content.
  let effects = try guest.run(
    """
    nvme get-log /dev/nvme0 --log-id=5 --log-len=4096 --raw-binary > /tmp/effects
    for place in 24 1028; do
      dd if=/tmp/effects bs=1 skip=$place count=1 2> /dev/null | hexdump -v -e '1/1 "%d "'
    done
    """)
  #expect(effects == "1 3 ", "\(effects)")
}

private func checkFeatures(_ guest: Guest) throws {
  #expect(try guest.run("nvme get-feature -f 6 -H /dev/nvme0").contains("Enabled"))
  #expect(try guest.run("nvme get-feature -f 7 /dev/nvme0").contains("Number of Queues"))
  for feature in [1, 2, 4, 8, 9, 0xA, 0xB] {
    #expect(try guest.run("nvme get-feature -f \(feature) /dev/nvme0").contains("Current value"))
  }
  #expect(try guest.run("nvme get-feature -f 5 /dev/nvme0n1").contains("Current value"))
  let changed = try guest.run(
    """
    nvme set-feature -f 6 -v 0 /dev/nvme0 > /dev/null
    nvme get-feature -f 6 /dev/nvme0
    nvme set-feature -f 6 -v 1 /dev/nvme0 > /dev/null
    nvme get-feature -f 6 /dev/nvme0
    """)
  let values = changed.split(separator: "\n").map { $0.hasSuffix("0x00000001") }
  #expect(values == [false, true], "\(changed)")
}

private func checkData(_ guest: Guest) throws {
  let said = try guest.run(
    """
    here="/dev/nvme0n1 --start-block=8"
    head -c 8192 /dev/urandom > /tmp/data
    blocks="--block-count=15 --data-size=8192"
    nvme write $here $blocks --data=/tmp/data
    nvme read $here $blocks --data=/tmp/read && cmp /tmp/data /tmp/read && echo same
    nvme compare $here $blocks --data=/tmp/data
    tr 'a' 'b' < /tmp/data > /tmp/other
    nvme compare $here $blocks --data=/tmp/other 2>&1
    nvme verify $here --block-count=15
    nvme flush /dev/nvme0n1
    nvme dsm /dev/nvme0n1 --ad --slbs=8 --blocks=8
    nvme read $here $blocks --data=/tmp/read
    head -c 4096 /tmp/read | cmp -n 4096 - /dev/zero && echo zeros
    tail -c 4096 /tmp/read > /tmp/half; tail -c 4096 /tmp/data | cmp - /tmp/half && echo rest
    nvme write-zeroes /dev/nvme0n1 --start-block=16 --block-count=3
    nvme read $here $blocks --data=/tmp/read
    head -c 6144 /tmp/read | cmp -n 6144 - /dev/zero && echo zeros
    tail -c 2048 /tmp/read > /tmp/half; tail -c 2048 /tmp/data | cmp - /tmp/half && echo rest
    nvme read /dev/nvme0n1 --start-block=0x20000 $blocks --data=/tmp/read 2>&1
    true
    """)
  let lines = said.split(separator: "\n").map(String.init)
  let awaited = [
    "write: Success", "read: Success", "same", "compare: Success", "Compare Failure",
    "NVME Verify Success", "NVMe Flush: success", "NVMe DSM: success", "read: Success", "zeros",
    "rest", "NVME Write Zeroes Success", "read: Success", "zeros", "rest", "LBA Out of Range",
  ]
  #expect(lines.count == awaited.count, "\(said)")
  for (line, part) in zip(lines, awaited) { #expect(line.contains(part)) }
}

/// Blocks of 4096 bytes and back; nothing of the old data is left.
private func checkFormat(_ guest: Guest) throws {
  let said = try guest.run(
    """
    size() { cat /sys/block/nvme0n1/queue/logical_block_size /sys/block/nvme0n1/size; }
    large=$(nvme id-ns /dev/nvme0n1 | sed -n 's/^lbaf *\\([0-9]*\\) .*lbads:12 .*/\\1/p' | head -n 1)
    dd if=/dev/urandom of=/dev/nvme0n1 bs=64k count=1 conv=fsync 2> /dev/null
    nvme format /dev/nvme0n1 --lbaf=$large --force
    size
    head -c 65536 /dev/nvme0n1 | cmp -n 65536 - /dev/zero && echo zeros
    nvme format /dev/nvme0n1 --lbaf=0 --force
    size
    """)
  #expect(
    said.split(separator: "\n") == [
      "Success formatting namespace:1", "4096", "131072", "zeros",
      "Success formatting namespace:1", "512", "131072",
    ], "\(said)")
}

/// The file is made larger under the guest, whose driver hears of it.
private func checkResize(_ guest: Guest, _ disk: NVMeDisk) throws {
  try disk.resize(megabytes: 96)
  let said = try guest.run(
    """
    for turn in $(seq 100); do
      [ $(cat /sys/block/nvme0n1/size) = 196608 ] && break
      usleep 100000
    done
    cat /sys/block/nvme0n1/size
    echo "the last block" | dd of=/dev/nvme0n1 bs=512 seek=196607 conv=sync,fsync 2> /dev/null
    """)
  #expect(said == "196608")
  let file = try Data(contentsOf: URL(filePath: disk.file))
  #expect(file.suffix(512).starts(with: Array("the last block\n".utf8)))
}

/// After a reset of the subsystem Linux 6.1 waits for a command to time out before it looks.
private func checkResets(_ guest: Guest) throws {
  let said = try guest.run(
    """
    dd if=/dev/urandom of=/tmp/kept bs=64k count=1 2> /dev/null
    dd if=/tmp/kept of=/dev/nvme0n1 bs=64k conv=fsync 2> /dev/null
    nvme reset /dev/nvme0; echo "reset $?"
    dd if=/dev/nvme0n1 bs=64k count=1 iflag=direct 2> /dev/null | cmp - /tmp/kept && echo kept
    nvme subsystem-reset /dev/nvme0; echo "subsystem-reset $?"
    dd if=/dev/nvme0n1 bs=64k count=1 iflag=direct 2> /dev/null | cmp - /tmp/kept && echo kept
    for turn in $(seq 100); do
      [ $(cat /sys/class/nvme/nvme0/state) = live ] && break
      usleep 100000
    done
    cat /sys/class/nvme/nvme0/state
    """, within: .seconds(200))
  #expect(
    said.split(separator: "\n") == [
      "reset 0", "kept", "subsystem-reset 0", "kept", "live",
    ], "\(said)")
}

/// Linux clears NSSRO when it starts the controller again, so this is without its driver.
private func checkSubsystemReset(_ guest: Guest) throws {
  let said = try guest.run(
    """
    place=$(basename $(readlink -f /sys/class/nvme/nvme0/device))
    bar=$(head -n 1 /sys/bus/pci/devices/$place/resource | cut -d ' ' -f 1)
    occurred() { echo $(($(devmem $((bar + 0x1c)) 32) >> 4 & 1)); }
    echo $place > /sys/bus/pci/drivers/nvme/unbind
    occurred
    devmem $((bar + 0x20)) 32 0x4e564d65
    occurred
    devmem $((bar + 0x1c)) 32 0x10
    occurred
    echo $place > /sys/bus/pci/drivers/nvme/bind
    for turn in $(seq 100); do set -- /dev/nvme?n1; [ -b $1 ] && break; usleep 100000; done
    dd if=$1 bs=64k count=1 iflag=direct 2> /dev/null | cmp - /tmp/kept && echo kept
    """)
  #expect(said.split(separator: "\n") == ["0", "1", "0", "kept"], "\(said)")
}
