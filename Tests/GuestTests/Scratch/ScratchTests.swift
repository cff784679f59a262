import Testing

extension Guests {
  @Suite(.timeLimit(.minutes(5))) struct `The scratch device in a guest` {
    /// What `Tests/GuestPrograms/scratch-vfio.c` sees; it says what does not work.
    @Test(arguments: [true, false])
    func `The scratch device serves a driver in user space behind an IOMMU`(_ sharesMemory: Bool)
      throws
    {
      let device = try DeviceProcess(["scratch"])
      defer { device.kill() }
      let machine = Machine(sharesMemory: sharesMemory, hasIOMMU: true)
      try withGuest(
        machine, .vfio(try GuestProgram.compiled("scratch-vfio")), [device],
        kernelArguments: "intel_iommu=on"
      ) { guest in
        let said = try guest.run("scratch-vfio $device")
        #expect(said.hasSuffix("\ndone"), "\(said)")
        #expect(said.split(separator: "\n").count { $0.hasPrefix("ok: ") } == 7)
      }
    }
  }
}

extension GuestImage {
  /// A guest whose `vfio-pci` has the scratch device, `$device`, and a program that drives it.
  static func vfio(_ program: [UInt8]) -> GuestImage {
    GuestImage(
      modules: [
        "irqbypass", "vfio", "vfio_iommu_type1", "vfio_virqfd", "vfio-pci-core", "vfio-pci",
      ],
      prelude: #"""
        echo 1234 5c7c > /sys/bus/pci/drivers/vfio-pci/new_id
        for device in /sys/bus/pci/drivers/vfio-pci/0*; do device=${device##*/}; done
        """#,
      files: ["bin/scratch-vfio": program])
  }
}
