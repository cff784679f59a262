import Testing

extension Guests {
  /// What a driver in a guest sees of the teaching device.
  @Suite(.timeLimit(.minutes(5))) struct `The edu device in a guest` {
    static let machines = [
      Machine(), Machine(board: .pc),
      // Everything by messages, and a QEMU that waits for each write while it holds its lock.
      Machine(sharesMemory: false, postsWrites: false),
    ]

    @Test(arguments: machines)
    func `The edu device computes factorials, copies by DMA and raises interrupts`(
      _ machine: Machine
    ) throws {
      let device = try DeviceProcess(["edu"])
      defer { device.kill() }
      try withGuest(machine, .edu, [device], kernelArguments: EduMemory.kernelArguments) { guest in
        #expect(guest.greeting.hasPrefix("3412e811 at 0x"))
        try checkRegisters(guest)
        try checkTransfers(guest)
        try checkPin(guest)
        try checkTransferWithInterrupt(guest)
      }
    }
  }
}

private func checkRegisters(_ guest: Guest) throws {
  let said = try guest.run(
    """
    configure 4 '\\006'
    peek 0
    poke 4 32 0x12345678; peek 4
    for number in 0 5 10 12; do factorial $number; done
    peek 0 8
    """)
  #expect(
    said.split(separator: "\n") == [
      "0x010000ED", "0xEDCBA987", "0x00000001", "0x00000078", "0x00375F00", "0x1C8CFC00", "0xFF",
    ])
}

/// A page into the device, a part of it back, and a transfer that has to do nothing.
private func checkTransfers(_ guest: Guest) throws {
  let (memory, page) = (EduMemory.address, EduMemory.address >> 12)
  let said = try guest.run(
    """
    configure 4 '\\006'
    dd if=/dev/urandom of=/tmp/page bs=4096 count=1 2> /dev/null
    dd if=/tmp/page of=/dev/mem bs=4096 seek=\(page) conv=notrunc 2> /dev/null
    dd if=/dev/zero of=/dev/mem bs=4096 seek=\(page + 1) count=1 conv=notrunc 2> /dev/null
    transfer \(memory) 0x40000 4096 1
    transfer 0x40000 \(memory + 4096) 4096 3
    dd if=/dev/mem bs=4096 skip=\(page + 1) count=1 2> /dev/null | cmp - /tmp/page && echo same
    transfer 0x40064 \(memory + 8192) 100 3
    dd if=/dev/mem bs=4096 skip=\(page + 2) count=1 2> /dev/null | head -c 100 > /tmp/part
    tail -c +101 /tmp/page | head -c 100 | cmp - /tmp/part && echo part
    # The buffer ends; nothing may arrive.
    transfer 0x40800 \(memory + 4096) 4096 3
    # Not bus master; nothing may arrive.
    configure 4 '\\002'
    transfer 0x40001 \(memory + 4096) 16 3
    configure 4 '\\006'
    dd if=/dev/mem bs=4096 skip=\(page + 1) count=1 2> /dev/null | cmp - /tmp/page && echo untouched
    peek 0x24
    """)
  #expect(said == "same\npart\nuntouched\n0x00000000", "\(said)")
}

/// An interrupt that the driver raises, one of the factorial, and that the pin is a level.
private func checkPin(_ guest: Guest) throws {
  let said = try guest.run(
    """
    before=$(interrupts)
    unmask
    expect_interrupt
    poke 0x60 32 0x15
    await_interrupt
    peek 0x24
    # Status of configuration space: bit 3 shows the pin.
    echo "pin $((0x$(config 6 1) & 8))"
    poke 0x64 32 0x5; peek 0x24; echo "pin $((0x$(config 6 1) & 8))"
    poke 0x64 32 0x10; peek 0x24; echo "pin $((0x$(config 6 1) & 8))"
    unmask
    expect_interrupt
    poke 0x20 32 0x80
    poke 0x08 32 6
    await_interrupt
    peek 0x24; peek 0x08
    poke 0x64 32 0x1
    poke 0x20 32 0
    echo "count $(cat /tmp/interrupt), $(($(interrupts) - before))"
    """)
  let lines = said.split(separator: "\n").map(String.init)
  #expect(
    lines.dropLast() == [
      "0x00000015", "pin 8", "0x00000010", "pin 8", "0x00000000", "pin 0", "0x00000001",
      "0x000002D0",
    ])
  #expect(lines.last == "count 2, 2")
}

private func checkTransferWithInterrupt(_ guest: Guest) throws {
  let (memory, page) = (EduMemory.address, EduMemory.address >> 12)
  let said = try guest.run(
    """
    unmask
    expect_interrupt
    # The release of the file takes the bus master bit, so it is set while the file is open.
    configure 4 '\\006'
    poke 0x80 64 0x40000; poke 0x88 64 \(memory + 12288); poke 0x90 64 4096; poke 0x98 32 7
    await_interrupt
    peek 0x24
    poke 0x64 32 0x100
    dd if=/dev/mem bs=4096 skip=\(page + 3) count=1 2> /dev/null | cmp - /tmp/page && echo same
    """)
  #expect(said == "0x00000100\nsame", "\(said)")
}
