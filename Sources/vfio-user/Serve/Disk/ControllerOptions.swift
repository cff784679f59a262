public import ArgumentParser
public import NVMeDevice

extension NVMeConfiguration.DoorbellMode: ExpressibleByArgument {}
extension NVMeConfiguration.InterruptKind: ExpressibleByArgument {}

/// The options of a disk's controller: its queues, its doorbells and its interrupts.
struct ControllerOptions: ParsableArguments {
  @Option(help: "Pairs of I/O queues, 1 to 64.")
  var queues = 16

  @Option(help: "Entries of a queue, 2 to 4096.")
  var queueEntries = 1024

  @Option(
    help:
      "How the guest rings: trapped (by messages) or mapped (in memory; the device polls and keeps a core busy, and QEMU waits for the reply to every write of another register, which it does not otherwise)."
  )
  var doorbells = NVMeConfiguration.DoorbellMode.trapped

  @Option(
    help: ArgumentHelp(
      "How long the disk polls for commands while the guest keeps it busy, in microseconds up to 100000; 0 leaves the processor to others and makes each command slower.",
      valueName: "microseconds"))
  var busyPoll = 400

  @Option(
    help:
      "Threads that serve the queues, 1 to 64, at most one for each queue; others than the first work when that cannot keep up, on data in memory or in the page cache. Usual: as many as there are processors, less one."
  )
  var workers: Int?

  @Option(
    help:
      "The best interrupts that the guest is offered: msix, msi or intx. QEMU 11.1 dies at the hot unplug of a device with MSI-X."
  )
  var interrupts = NVMeConfiguration.InterruptKind.msix
}
