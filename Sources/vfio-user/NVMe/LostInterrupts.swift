import NVMeDriver
import VFIOUserProgram

/// Interrupts of a disk that did not come where the driver waited for them; it has found the completions all the same.
struct LostInterrupts: Codable, Equatable {
  let vector: Int
  /// Completions that were awaited.
  let awaited: UInt64
  /// Those of them that were found without an interrupt.
  let withoutInterrupt: UInt64

  /// For people; `socket` is where the disk is.
  func text(_ socket: String) -> String {
    let who = withoutInterrupt == awaited ? "interrupts" : "some interrupts"
    return
      "warning: \(withoutInterrupt) of \(awaited) completions were found without an interrupt: "
      + "\(who) of vector \(vector) do not arrive. Look with vfio-user irq \(socket) --trigger \(vector)"
  }
}

extension Disk {
  /// By vector; empty if all interrupts came, or the queues are polled.
  var lostInterrupts: [LostInterrupts] {
    let queues = [controller.admin].compactMap { $0 } + controller.queues.values
    let lost = queues.filter { $0.withoutInterrupt > 0 }.sorted { $0.id < $1.id }
    return lost.map {
      LostInterrupts(
        vector: Int($0.id), awaited: $0.awaited, withoutInterrupt: $0.withoutInterrupt)
    }
  }

  /// Says on standard error which interrupts did not come.
  func noteLostInterrupts() {
    for lost in lostInterrupts { note(lost.text(socket)) }
  }
}
